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

/// The second flow begins so much after the first.
const LATER: Duration = Duration::from_secs(2);

fn main() -> Result<(), Error> {
    let files: Vec<String> = std::env::args().skip(1).collect();
    if files.is_empty() {
        losses();
        shares();
        return Ok(());
    }
    traces(&files)
}

/// A link with a fixed rate. queue is in bandwidth-delay products.
fn fixed(rate: f64, rtt: Duration, queue: f64, loss: f64, seed: u64) -> Link {
    let bytes = (queue * rate / 8.0 * rtt.as_secs_f64()) as u64;
    Link::new(rate, rtt / 2, bytes.max(3000), loss, seed)
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
                let mut link = fixed(rate, rtt, 1.0, percent as f64 / 100.0, SEED);
                let r = run(&mut link, &[c], 0, Duration::from_secs(20), LATER);
                match r.failed {
                    true => print!(" fails | |"),
                    false => print!(" {:.0} % | {:.1} ms |", 100.0 * r.goodput(0) / rate, r.mean_delay() * 1e3),
                }
            }
            println!();
        }
    }
}

/// Prints how two flows share a link, as examples/linklab does: the share of the first, by queue.
/// Without loss a link draws nothing, so the runs differ in when the second flow starts.
fn shares() {
    const RUNS: u32 = 12;
    const QUEUES: [f64; 4] = [0.5, 1.0, 2.0, 4.0];
    println!("\n| flows | round trip | 0.5 | 1 | 2 | 4 | goodput, at least |\n|---|---|---|---|---|---|---|");
    let all = controllers();
    let pairs: Vec<(&Controller, &Controller)> =
        all.iter().flat_map(|a| all.iter().map(move |b| (a, b))).filter(|(a, b)| a.library == b.library).collect();
    for ms in [50, 100] {
        for (a, b) in &pairs {
            let (rate, rtt) = (20e6, Duration::from_millis(ms));
            print!("| {}, {} | {ms} ms |", a.name, b.name);
            let mut least = 1f64;
            for queue in QUEUES {
                let mut first = Vec::new();
                for i in 0..RUNS {
                    let mut link = fixed(rate, rtt, queue, 0.0, SEED);
                    let later = LATER + i * Duration::from_millis(13);
                    let r = run(&mut link, &[a, b], 0, Duration::from_secs(60), later);
                    let both = r.goodput(0) + r.goodput(1);
                    first.push(100.0 * r.goodput(0) / both);
                    least = least.min(both / rate);
                }
                first.sort_by(f64::total_cmp);
                print!(" {:.0} ({:.0} to {:.0}) |", first[first.len() / 2], first[0], first[first.len() - 1]);
            }
            println!(" {:.0} % |", 100.0 * least);
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
            let r: Outcome = run(&mut link(), &[&c], 0, time, LATER);
            let page = run(&mut link(), &[&c], 200_000, time, LATER);
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
