//! Spreads the datagrams of a frame over time: a token bucket of bytes, drained in GSO bursts.

use crate::time::Timestamp;
use std::time::Duration;

/// How fast datagrams may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacerConfig {
    /// Bits per second of UDP payload; 0 paces nothing.
    pub rate_bps: u64,
    /// Bytes that may leave at once after a pause.
    pub burst_bytes: usize,
    /// Datagrams of one send; the kernel's limit for GSO is 64, and 65,507 bytes.
    pub max_segments: usize,
}

/// What to do with a batch now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Send this many datagrams now, at least 1. They are accounted for.
    Send(usize),
    /// Ask again then.
    Wait(Timestamp),
    /// Nothing is pending.
    Idle,
}

/// The bucket. Its level is in bit-nanoseconds per second, so that no rounding is ever lost.
#[derive(Clone, Debug)]
pub struct Pacer {
    config: PacerConfig,
    /// Bits × 10⁹ that may leave now.
    level: u128,
    filled: Timestamp,
}

const SCALE: u128 = 1_000_000_000;
/// Because 65,507 bytes is the most that one UDP send takes.
const MAX_SEND_BYTES: usize = 65_507;

impl Pacer {
    /// A full bucket.
    pub fn new(config: PacerConfig, now: Timestamp) -> Self {
        let mut pacer = Self { config, level: 0, filled: now };
        pacer.level = pacer.capacity();
        pacer
    }

    /// Changes the rate from now on.
    pub fn set_rate(&mut self, rate_bps: u64, now: Timestamp) {
        self.fill(now);
        self.config.rate_bps = rate_bps;
    }

    /// How many of `pending` datagrams of `segment_len` bytes may leave now. At least one always fits into the bucket, however
    /// small it was configured.
    pub fn poll(&mut self, pending: usize, segment_len: usize, now: Timestamp) -> Pace {
        if pending == 0 {
            return Pace::Idle;
        }
        let segment_len = segment_len.max(1);
        let most = pending.min(self.config.max_segments).min(MAX_SEND_BYTES / segment_len).max(1);
        if self.config.rate_bps == 0 {
            return Pace::Send(most);
        }
        self.fill(now);
        let price = bits(segment_len);
        let capacity = self.capacity().max(price);
        let affordable = usize::try_from(self.level / price).unwrap_or(usize::MAX);
        // A burst is worth its syscall only when it is full, the batch's last, or all the bucket ever holds.
        let worth = most.min(usize::try_from(capacity / price).unwrap_or(usize::MAX));
        if affordable >= worth {
            let count = most.min(affordable);
            self.level -= price * count as u128;
            return Pace::Send(count);
        }
        let missing = price * worth as u128 - self.level;
        let wait = missing.div_ceil(u128::from(self.config.rate_bps));
        Pace::Wait(now + Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX)))
    }

    fn capacity(&self) -> u128 {
        bits(self.config.burst_bytes)
    }

    fn fill(&mut self, now: Timestamp) {
        let elapsed = now.since(self.filled).as_nanos();
        self.filled = self.filled.max(now);
        // One datagram's worth beyond the burst, so that a bucket smaller than a datagram can still pay for one.
        let capacity = self.capacity().max(bits(MAX_SEND_BYTES));
        self.level = (self.level + elapsed * u128::from(self.config.rate_bps)).min(capacity);
    }
}

fn bits(bytes: usize) -> u128 {
    bytes as u128 * 8 * SCALE
}
