//! When to send again. None of it survives a restart: the next process measures anew.

use lumen_core::Timestamp;
use std::time::Duration;

const FIRST_GUESS: Duration = Duration::from_millis(200);
const LEAST: Duration = Duration::from_millis(20);
const MOST: Duration = Duration::from_secs(2);

/// How long answers take.
#[derive(Clone, Copy, Debug)]
pub(super) struct RoundTrip {
    mean: Duration,
    deviation: Duration,
    measured: bool,
}

impl RoundTrip {
    pub(super) fn new() -> Self {
        Self { mean: FIRST_GUESS, deviation: Duration::ZERO, measured: false }
    }

    /// An answer took `sample`; the weights are those of RFC 6298.
    pub(super) fn add(&mut self, sample: Duration) {
        if self.measured {
            let difference = self.mean.abs_diff(sample);
            self.deviation = (self.deviation * 3 + difference) / 4;
            self.mean = (self.mean * 7 + sample) / 8;
        } else {
            (self.mean, self.deviation, self.measured) = (sample, sample / 2, true);
        }
    }

    /// After how long something unanswered is sent again for the first time.
    pub(super) fn timeout(&self) -> Duration {
        (self.mean + self.deviation * 4).clamp(LEAST, MOST)
    }
}

/// When a command was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// For the first time.
    pub(super) first: Timestamp,
    /// It is due again then.
    pub(super) due: Timestamp,
    /// How long it then waits.
    pub(super) wait: Duration,
}

impl Sent {
    /// One that is due at once.
    pub(super) fn new(now: Timestamp) -> Self {
        Self { first: now, due: now, wait: Duration::ZERO }
    }

    /// It is sent now: each time waits twice as long as the one before.
    pub(super) fn again(&mut self, round_trip: &RoundTrip, now: Timestamp) {
        self.wait = (self.wait * 2).clamp(round_trip.timeout(), MOST);
        self.due = now + self.wait;
    }
}

/// The clock in datagrams: milliseconds, which wrap after 65.5 s.
pub(super) fn wire_ms(now: Timestamp) -> u16 {
    (now.as_ns() / 1_000_000) as u16
}
