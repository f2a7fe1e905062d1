//! Runs the congestion controllers of quinn and noq over the simulated links of examples/linklab, in
//! virtual time, and prints tables of Markdown:
//!
//!     cargo run --release
//!     cargo run --release -- FILE...
//!
//! The second runs them over links whose rate changes as in the files, which have mahimahi's format.

mod link;
mod peers;
mod run;

use std::sync::Arc;
use std::time::Duration;

use link::{Link, Trace};
use peers::{Controller, controllers};
use run::{Outcome, run};

type Error = Box<dyn std::error::Error + Send + Sync>;

const SEED: u64 = 1;

fn main() -> Result<(), Error> {
    let files: Vec<String> = std::env::args().skip(1).collect();
    if files.is_empty() {
        losses();
        shares();
        return Ok(());
    }
    traces(&files)
}

/// A link with a fixed rate and a queue of one bandwidth-delay product.
fn fixed(rate: f64, rtt: Duration, loss: f64, seed: u64) -> Link {
    let queue = (rate / 8.0 * rtt.as_secs_f64()) as u64;
    Link::new(rate, rtt / 2, queue.max(3000), loss, seed)
}

/// Prints a row for each link, with goodput and delay for each controller.
fn losses() {
    let all = controllers();
    print!("| link | loss |");
    for c in &all {
        print!(" {} | delay |", c.name);
    }
    println!("\n|---|---|{}", "---|---|".repeat(all.len()));
    for (mbit, ms) in [(10, 50), (10, 200), (100, 50), (100, 200)] {
        for percent in [0, 1, 2, 5] {
            print!("| {mbit} Mbit/s, {ms} ms | {percent} % |");
            let (rate, rtt) = (mbit as f64 * 1e6, Duration::from_millis(ms));
            for c in &all {
                let mut link = fixed(rate, rtt, percent as f64 / 100.0, SEED);
                let r = run(&mut link, &[c], 0, Duration::from_secs(20));
                match r.failed {
                    true => print!(" fails | |"),
                    false => print!(" {:.0} % | {:.1} ms |", 100.0 * r.goodput(0) / rate, r.mean_delay() * 1e3),
                }
            }
            println!();
        }
    }
}

/// Prints how two flows share a link: the means of five seeds.
fn shares() {
    const RUNS: u64 = 5;
    println!("\n| flows | round trip | first | second | goodput |\n|---|---|---|---|---|");
    let all = controllers();
    let pairs: Vec<(&Controller, &Controller)> =
        all.iter().flat_map(|a| all.iter().map(move |b| (a, b))).filter(|(a, b)| a.library == b.library).collect();
    for ms in [50, 100] {
        for (a, b) in &pairs {
            let rate = 20e6;
            let (mut first, mut second) = (0.0, 0.0);
            for seed in SEED..SEED + RUNS {
                let mut link = fixed(rate, Duration::from_millis(ms), 0.0, seed);
                let r = run(&mut link, &[a, b], 0, Duration::from_secs(60));
                first += r.goodput(0) / RUNS as f64;
                second += r.goodput(1) / RUNS as f64;
            }
            let both = first + second;
            println!(
                "| {}, {} | {ms} ms | {:.0} % | {:.0} % | {:.0} % |",
                a.name,
                b.name,
                100.0 * first / both,
                100.0 * second / both,
                100.0 * both / rate
            );
        }
    }
}

/// Prints a row for each trace and controller.
fn traces(files: &[String]) -> Result<(), Error> {
    println!("| link | mean rate | controller | goodput | delay of the queue: median | 95 % | a page of 200 KB |");
    println!("|---|---|---|---|---|---|---|");
    for file in files {
        let trace = Arc::new(Trace::parse(&std::fs::read_to_string(file)?)?);
        let time = trace.period().min(Duration::from_secs(120));
        let name = std::path::Path::new(file).file_name().unwrap_or_default().to_string_lossy();
        for c in controllers() {
            let link = || Link::traced(trace.clone(), Duration::from_millis(25), 1 << 20, SEED);
            let r: Outcome = run(&mut link(), &[&c], 0, time);
            let page = run(&mut link(), &[&c], 200_000, time);
            let mean = trace.mean(time);
            if r.failed {
                println!("| {name} | {:.1} Mbit/s | {} | fails | | | |", mean / 1e6, c.name);
                continue;
            }
            println!(
                "| {name} | {:.1} Mbit/s | {} | {:.0} % | {:.0} ms | {:.0} ms | {:.2} s |",
                mean / 1e6,
                c.name,
                100.0 * r.goodput(0) / mean,
                r.delay(0.5) * 1e3,
                r.delay(0.95) * 1e3,
                page.ran.as_secs_f64()
            );
        }
    }
    Ok(())
}
