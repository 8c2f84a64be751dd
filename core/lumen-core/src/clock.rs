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
