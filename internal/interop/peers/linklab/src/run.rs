//! Flows over a link, in virtual time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use crate::link::Link;
use crate::peers::{Controller, End};

/// How often the queue is looked at.
const SAMPLE: Duration = Duration::from_millis(20);

/// What a run has measured.
pub struct Outcome {
    read: Vec<u64>, // bytes, of each flow
    pub ran: Duration,
    pub failed: bool, // a connection did not last
    waits: Vec<f64>, // seconds that the queue took, one each SAMPLE
}

impl Outcome {
    /// Returns the bits per second that a flow read.
    pub fn goodput(&self, flow: usize) -> f64 {
        self.read[flow] as f64 * 8.0 / self.ran.as_secs_f64()
    }

    /// Returns how many seconds the queue took on average.
    pub fn mean_delay(&self) -> f64 {
        self.waits.iter().sum::<f64>() / self.waits.len().max(1) as f64
    }

    /// Returns a quantile of that.
    pub fn delay(&self, q: f64) -> f64 {
        let mut all = self.waits.clone();
        all.sort_by(f64::total_cmp);
        all.get((q * all.len().saturating_sub(1) as f64) as usize).copied().unwrap_or(0.0)
    }
}

/// A flow is a client that sends and a server that reads.
struct Flow {
    client: Box<dyn End>,
    server: Box<dyn End>,
}

/// A datagram on its way: when it arrives, its number, its flow and whether it goes to the server.
type Arrival = Reverse<(Duration, u64, usize, bool, Vec<u8>)>;

/// Runs flows over the link: for a while, or until the first one has read size bytes, if not 0.
/// Each flow begins later than the one before. What the servers send takes the link's delay alone.
pub fn run(link: &mut Link, flows: &[&Controller], size: u64, time: Duration, later: Duration) -> Outcome {
    let start = Instant::now(); // time is virtual from here on
    let mut at = Duration::ZERO;
    let mut all: Vec<Flow> = Vec::new();
    let mut arrivals: BinaryHeap<Arrival> = BinaryHeap::new();
    let mut out = Outcome { read: vec![0; flows.len()], ran: time, failed: false, waits: Vec::new() };
    let (mut sample, mut number) = (SAMPLE, 0);
    let mut datagrams = Vec::new();
    while at < time {
        if all.len() < flows.len() && at >= later * all.len() as u32 {
            let (client, server) = (flows[all.len()].make)(start + at, size);
            all.push(Flow { client, server });
        }
        while let Some(Reverse((when, ..))) = arrivals.peek() {
            if *when > at {
                break;
            }
            let Some(Reverse((_, _, flow, to_server, data))) = arrivals.pop() else { break };
            let f = &mut all[flow];
            if to_server { &mut f.server } else { &mut f.client }.receive(start + at, &data);
        }
        let mut next = sample;
        if all.len() < flows.len() {
            next = next.min(later * all.len() as u32);
        }
        for (i, f) in all.iter_mut().enumerate() {
            for to_server in [true, false] {
                let end = if to_server { &mut f.client } else { &mut f.server };
                end.work(start + at, &mut datagrams);
                for data in datagrams.drain(..) {
                    let when = if to_server { link.send(at, data.len()) } else { Some(at + link.delay) };
                    if let Some(when) = when {
                        number += 1;
                        arrivals.push(Reverse((when, number, i, to_server, data)));
                    }
                }
                if let Some(t) = end.timeout() {
                    next = next.min(t.saturating_duration_since(start));
                }
            }
            out.read[i] = f.server.read();
            out.failed |= f.client.failed() || f.server.failed();
        }
        if let Some(Reverse((when, ..))) = arrivals.peek() {
            next = next.min(*when);
        }
        if out.failed || size > 0 && out.read[0] >= size {
            out.ran = at;
            break;
        }
        at = next.max(at + Duration::from_nanos(1));
        if at >= sample {
            out.waits.push(link.wait(at).as_secs_f64());
            sample += SAMPLE;
        }
    }
    out
}
