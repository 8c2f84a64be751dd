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
    /// Time between the beginnings of two sends at least.
    pub gap: Duration,
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
    /// Before it nothing is sent.
    closed_until: Timestamp,
}

const SCALE: u128 = 1_000_000_000;
/// Because 65,507 bytes is the most that one UDP send takes.
const MAX_SEND_BYTES: usize = 65_507;

impl Pacer {
    /// A full bucket.
    pub fn new(config: PacerConfig, now: Timestamp) -> Self {
        let mut pacer = Self { config, level: 0, filled: now, closed_until: now };
        pacer.level = pacer.capacity();
        pacer
    }

    /// Changes the rate from now on.
    pub fn set_rate(&mut self, rate_bps: u64, now: Timestamp) {
        self.fill(now, self.level);
        self.config.rate_bps = rate_bps;
    }

    /// How many of `pending` datagrams of `segment_len` bytes may leave now. At least one always fits into the bucket, however
    /// small it was configured.
    pub fn poll(&mut self, pending: usize, segment_len: usize, now: Timestamp) -> Pace {
        if pending == 0 {
            return Pace::Idle;
        }
        let segment_len = segment_len.max(1);
        if now < self.closed_until {
            return Pace::Wait(self.closed_until);
        }
        let most = pending.min(self.config.max_segments).min(MAX_SEND_BYTES / segment_len).max(1);
        if self.config.rate_bps == 0 {
            return self.send(most, now);
        }
        let price = bits(segment_len);
        let capacity = self.capacity().max(price);
        self.fill(now, price);
        let affordable = usize::try_from(self.level / price).unwrap_or(usize::MAX);
        // A burst is worth its syscall only when it is full, the batch's last, or all the bucket ever holds.
        let worth = most.min(usize::try_from(capacity / price).unwrap_or(usize::MAX));
        if affordable >= worth {
            let count = most.min(affordable);
            self.level -= price * count as u128;
            return self.send(count, now);
        }
        Pace::Wait(now + self.wait(price * worth as u128 - self.level))
    }

    /// When the last of `pending` datagrams of `segment_len` bytes may leave, if each send comes in time.
    pub fn end(&self, pending: usize, segment_len: usize, now: Timestamp) -> Timestamp {
        let sends = pending.div_ceil(self.config.max_segments.max(1)) as u32;
        let gaps = self.config.gap.saturating_mul(sends.saturating_sub(1));
        let missing = (bits(segment_len) * pending as u128).saturating_sub(self.level);
        let rated = if self.config.rate_bps == 0 { Duration::ZERO } else { self.wait(missing) };
        self.closed_until.max(now) + gaps.max(rated)
    }

    fn send(&mut self, count: usize, now: Timestamp) -> Pace {
        self.closed_until = now + self.config.gap;
        Pace::Send(count)
    }

    /// How long it takes to earn `missing`.
    fn wait(&self, missing: u128) -> Duration {
        let wait = missing.div_ceil(u128::from(self.config.rate_bps));
        Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX))
    }

    fn capacity(&self) -> u128 {
        bits(self.config.burst_bytes)
    }

    /// Fills the bucket, to the burst or to `least`, so that a bucket smaller than a datagram can still pay for one.
    fn fill(&mut self, now: Timestamp, least: u128) {
        let elapsed = now.since(self.filled).as_nanos();
        self.filled = self.filled.max(now);
        let full = self.capacity().max(least);
        self.level = (self.level + elapsed * u128::from(self.config.rate_bps)).min(full);
    }
}

fn bits(bytes: usize) -> u128 {
    bytes as u128 * 8 * SCALE
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pacer(rate_bps: u64, burst_bytes: usize) -> Pacer {
        Pacer::new(
            PacerConfig { rate_bps, burst_bytes, max_segments: 46, gap: Duration::ZERO },
            Timestamp::from_ns(0),
        )
    }

    #[test]
    fn without_a_rate_all_leaves_in_full_sends() {
        let mut pacer = pacer(0, 0);
        assert_eq!(pacer.poll(100, 1400, Timestamp::from_ns(0)), Pace::Send(46));
        assert_eq!(pacer.poll(8, 1400, Timestamp::from_ns(0)), Pace::Send(8));
        assert_eq!(pacer.poll(100, 8952, Timestamp::from_ns(0)), Pace::Send(7));
        assert_eq!(pacer.poll(0, 1400, Timestamp::from_ns(0)), Pace::Idle);
    }

    #[test]
    fn a_burst_leaves_at_once_and_the_rest_at_the_rate() {
        // 14,000 bytes are ten datagrams, and 11.2 Mbit/s is one datagram a millisecond.
        let mut pacer = pacer(11_200_000, 14_000);
        assert_eq!(pacer.poll(25, 1400, Timestamp::from_ns(0)), Pace::Send(10));
        assert_eq!(pacer.poll(15, 1400, Timestamp::from_ns(0)), Pace::Wait(Timestamp::from_ns(10_000_000)));
        assert_eq!(pacer.poll(15, 1400, Timestamp::from_ns(10_000_000)), Pace::Send(10));
        assert_eq!(
            pacer.poll(5, 1400, Timestamp::from_ns(10_000_000)),
            Pace::Wait(Timestamp::from_ns(15_000_000))
        );
        assert_eq!(pacer.poll(5, 1400, Timestamp::from_ns(15_000_000)), Pace::Send(5));
    }

    #[test]
    fn a_bucket_smaller_than_a_datagram_still_sends() {
        let mut pacer = pacer(11_200_000, 10);
        assert!(matches!(pacer.poll(2, 1400, Timestamp::from_ns(0)), Pace::Wait(_)));
        assert_eq!(pacer.poll(2, 1400, Timestamp::from_ns(1_000_000)), Pace::Send(1));
    }

    // Sabotage: forget the gap when there is no rate, or begin it when the bucket was asked.
    #[test]
    fn sends_keep_their_distance() {
        for rate_bps in [0, 95_000_000] {
            let gap = Duration::from_micros(250);
            let config = PacerConfig { rate_bps, burst_bytes: 24 * 1400, max_segments: 8, gap };
            let (mut now, mut left, mut sends) = (Timestamp::from_ns(0), 100, Vec::new());
            let mut pacer = Pacer::new(config, now);
            let end = pacer.end(left, 1400, now);
            loop {
                match pacer.poll(left, 1400, now) {
                    Pace::Send(count) => {
                        left -= count;
                        sends.push(now);
                        assert!(count <= 8);
                    }
                    Pace::Wait(until) => now = until,
                    Pace::Idle => break,
                }
            }
            assert!(sends.windows(2).all(|pair| pair[1].since(pair[0]) >= gap));
            let last = *sends.last().unwrap();
            assert!(end.since(last).max(last.since(end)) < Duration::from_millis(1), "{end:?}, {last:?}");
        }
    }

    proptest! {
        // Sabotage: fill beyond the burst, take too little for a send, or wait a nanosecond too long each time.
        #[test]
        fn it_keeps_its_rate_and_uses_it(
            rate in 1_000_000u64..10_000_000_000, burst in 0usize..200_000, len in 512usize..8952, pending in 1usize..4000,
        ) {
            let (mut pacer, mut now, mut left, mut sent) = (pacer(rate, burst), Timestamp::from_ns(0), pending, 0usize);
            loop {
                match pacer.poll(left, len, now) {
                    Pace::Send(count) => {
                        left -= count;
                        sent += count * len;
                        let allowed = burst.max(len) as f64 + rate as f64 * now.as_ns() as f64 / 8e9;
                        prop_assert!(sent as f64 <= allowed + 1.0, "{sent} of {allowed} bytes at {now:?}");
                    }
                    Pace::Wait(until) => {
                        prop_assert!(until > now);
                        now = until;
                    }
                    Pace::Idle => break,
                }
            }
            let due = (sent as f64 - burst as f64).max(0.0) * 8e9 / rate as f64;
            // Each wait may round up by a nanosecond, and there is at most one for each datagram.
            prop_assert!(now.as_ns() as f64 <= due + pending as f64 + 1.0, "{now:?} instead of {due}");
        }
    }
}
