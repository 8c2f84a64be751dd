//! The offset between two machines' clocks, from the round trips that waited least.
//!
//! ```text
//! local    sent ─────────────────────────────► received      offset = ((remote_received − sent) + (remote_sent − received)) / 2
//! remote        remote_received ─ remote_sent                rtt    = (received − sent) − (remote_sent − remote_received)
//! ```
//! The error is at most half the round trip, so the sample with the least is believed, among the last [`WINDOW`] ones because
//! clocks drift apart (50 ppm is 0.5 ms in ten seconds).

use crate::time::Timestamp;
use std::collections::VecDeque;
use std::time::Duration;

/// Because at a ping each half second it spans 16 s, within which 50 ppm of drift stay below a millisecond.
pub const WINDOW: usize = 32;

/// One ping and its pong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The ping left, on the local clock.
    pub sent: Timestamp,
    /// It came, on the remote clock.
    pub remote_received: Timestamp,
    /// The pong left, on the remote clock.
    pub remote_sent: Timestamp,
    /// It came, on the local clock.
    pub received: Timestamp,
}

/// What is known of the remote clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Remote minus local, in nanoseconds.
    pub offset_ns: i64,
    /// The least round trip seen; the offset is off by half of it at most.
    pub rtt: Duration,
}

/// Keeps the last samples.
#[derive(Clone, Debug, Default)]
pub struct ClockEstimator {
    samples: VecDeque<Estimate>,
}

impl ClockEstimator {
    /// Nothing known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a sample; ignores one whose pong came before its ping left.
    pub fn add(&mut self, sample: Sample) {
        let Some(estimate) = estimate(&sample) else { return };
        if self.samples.len() >= WINDOW {
            self.samples.pop_front();
        }
        self.samples.push_back(estimate);
    }

    /// The best of the last samples; of equal ones the newest.
    pub fn estimate(&self) -> Option<Estimate> {
        self.samples.iter().rev().min_by_key(|sample| sample.rtt).copied()
    }

    /// A moment of the remote clock on the local one.
    pub fn to_local(&self, remote: Timestamp) -> Option<Timestamp> {
        let offset = i128::from(self.estimate()?.offset_ns);
        let local = i128::from(remote.as_ns()) - offset;
        Some(Timestamp::from_ns(u64::try_from(local.max(0)).unwrap_or(u64::MAX)))
    }
}

fn estimate(sample: &Sample) -> Option<Estimate> {
    let [sent, remote_received, remote_sent, received] =
        [sample.sent, sample.remote_received, sample.remote_sent, sample.received]
            .map(|at| i128::from(at.as_ns()));
    let rtt = (received - sent) - (remote_sent - remote_received);
    let offset = ((remote_received - sent) + (remote_sent - received)) / 2;
    if received < sent || remote_sent < remote_received {
        return None;
    }
    Some(Estimate {
        offset_ns: i64::try_from(offset).ok()?,
        rtt: Duration::from_nanos(u64::try_from(rtt).ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ns: i64) -> Timestamp {
        Timestamp::from_ns(ns as u64)
    }

    #[test]
    fn nothing_is_known_without_a_sample() {
        assert_eq!(ClockEstimator::new().to_local(at(5)), None);
    }

    #[test]
    fn an_impossible_sample_is_ignored() {
        let mut clock = ClockEstimator::new();
        clock.add(Sample { sent: at(10), remote_received: at(5), remote_sent: at(5), received: at(9) });
        clock.add(Sample { sent: at(10), remote_received: at(5), remote_sent: at(4), received: at(12) });
        clock.add(Sample { sent: at(10), remote_received: at(5), remote_sent: at(50), received: at(12) });
        assert_eq!(clock.estimate(), None);
    }

    #[test]
    fn an_old_sample_is_forgotten_because_clocks_drift() {
        let mut clock = ClockEstimator::new();
        let sample = |offset: i64, half: i64| Sample {
            sent: at(1000),
            remote_received: at(1000 + offset + half),
            remote_sent: at(1000 + offset + half),
            received: at(1000 + 2 * half),
        };
        clock.add(sample(0, 1));
        for _ in 0..WINDOW {
            clock.add(sample(700, 50));
        }
        assert_eq!(clock.estimate().map(|estimate| estimate.offset_ns), Some(700));
    }

    proptest! {
        // Sabotage: believe the mean instead of the sample with the least round trip, or lose the offset's sign.
        #[test]
        fn the_error_is_at_most_half_the_least_round_trip(
            offset in -5_000_000_000i64..5_000_000_000,
            delays in prop::collection::vec((0i64..50_000_000, 0i64..50_000_000, 0i64..1_000_000), 1..WINDOW),
        ) {
            let mut clock = ClockEstimator::new();
            let mut sent = 10_000_000_000;
            for (there, back, thought) in &delays {
                let remote_received = sent + there + offset;
                clock.add(Sample {
                    sent: at(sent), remote_received: at(remote_received), remote_sent: at(remote_received + thought),
                    received: at(sent + there + thought + back),
                });
                sent += 500_000_000;
            }
            let least = delays.iter().map(|(there, back, _)| there + back).min().unwrap();
            let estimate = clock.estimate().unwrap();
            prop_assert_eq!(estimate.rtt, Duration::from_nanos(least as u64));
            prop_assert!((estimate.offset_ns - offset).abs() <= least / 2 + 1);
            let local = clock.to_local(at(sent + offset)).unwrap();
            prop_assert!((local.as_ns() as i64 - sent).abs() <= least / 2 + 1);
        }
    }
}
