//! A direction of a path, as conn/conntest/link.go has it: a queue with tail drop, a rate that is
//! fixed or recorded, random loss behind it, and a delay.

use std::sync::Arc;
use std::time::Duration;

use crate::Error;

/// How many bytes each line of a trace lets through.
const OPPORTUNITY: u64 = 1500;

pub struct Link {
    rate: f64, // bits per second
    trace: Option<Arc<Trace>>,
    pub delay: Duration,
    queue: u64, // bytes
    loss: f64,
    random: u64,
    free: Duration, // when all that was accepted will have been sent
    last: u64,      // the byte of the trace with which that will have been sent
}

impl Link {
    pub fn new(rate: f64, delay: Duration, queue: u64, loss: f64, seed: u64) -> Link {
        Link { rate, trace: None, delay, queue, loss, random: seed, free: Duration::ZERO, last: 0 }
    }

    pub fn traced(trace: Arc<Trace>, delay: Duration, queue: u64, seed: u64) -> Link {
        Link { trace: Some(trace), ..Link::new(0.0, delay, queue, 0.0, seed) }
    }

    /// Takes a datagram, and returns when it arrives; None if it does not.
    pub fn send(&mut self, now: Duration, size: usize) -> Option<Duration> {
        let chance = self.random();
        let waiting = self.backlog(now);
        if waiting > 0 && waiting + size as u64 > self.queue {
            return None;
        }
        match &self.trace {
            Some(t) => {
                self.last = self.last.max(t.bytes(now)) + size as u64;
                self.free = t.when(self.last).max(now);
            }
            None => self.free = self.free.max(now) + Duration::from_secs_f64(size as f64 * 8.0 / self.rate),
        }
        (chance >= self.loss).then_some(self.free + self.delay)
    }

    /// Returns how long a byte that comes now would wait.
    pub fn wait(&self, now: Duration) -> Duration {
        match &self.trace {
            Some(t) => t.when(self.last.max(t.bytes(now)) + 1).saturating_sub(now),
            None => self.free.saturating_sub(now),
        }
    }

    /// Returns the bytes that were accepted and are not sent yet.
    fn backlog(&self, now: Duration) -> u64 {
        match &self.trace {
            Some(t) => self.last.saturating_sub(t.bytes(now)),
            None => (self.free.saturating_sub(now).as_secs_f64() * self.rate / 8.0).ceil() as u64,
        }
    }

    /// Returns a number from 0 to below 1: SplitMix64.
    fn random(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The recorded rate of a link: at which milliseconds 1,500 bytes may leave it. It repeats.
pub struct Trace(Vec<u64>);

impl Trace {
    pub fn parse(text: &str) -> Result<Trace, Error> {
        let at = text.lines().filter(|l| !l.trim().is_empty()).map(|l| l.trim().parse()).collect::<Result<Vec<u64>, _>>()?;
        if !at.is_sorted() || at.last().is_none_or(|&ms| ms == 0) {
            return Err("a trace has times that do not fall, the last of which is its length".into());
        }
        Ok(Trace(at))
    }

    pub fn period(&self) -> Duration {
        Duration::from_millis(self.0[self.0.len() - 1])
    }

    /// Returns the mean rate from the beginning on, in bits per second.
    pub fn mean(&self, until: Duration) -> f64 {
        self.bytes(until) as f64 * 8.0 / until.as_secs_f64()
    }

    /// Returns how many bytes could leave the link until now.
    fn bytes(&self, now: Duration) -> u64 {
        let (now, period) = (now.as_millis() as u64, self.period().as_millis() as u64);
        let within = self.0.partition_point(|&ms| ms <= now % period) as u64;
        (now / period * self.0.len() as u64 + within) * OPPORTUNITY
    }

    /// Returns when the link has let n bytes through. n is at least 1.
    fn when(&self, n: u64) -> Duration {
        let i = (n - 1) / OPPORTUNITY;
        let (rounds, line) = (i / self.0.len() as u64, i % self.0.len() as u64);
        self.period() * rounds as u32 + Duration::from_millis(self.0[line as usize])
    }
}
