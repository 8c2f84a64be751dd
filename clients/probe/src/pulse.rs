//! Pings, and what their answers say about the host's clock.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lumen_core::{ClockEstimator, Sample, Timestamp};

use crate::report::ClockSummary;

/// The first pings follow each other closely, because the clocks must be compared before the pictures come.
const EAGER: u64 = 8;
const EAGER_INTERVAL: Duration = Duration::from_millis(5);
const STEADY_INTERVAL: Duration = Duration::from_millis(500);

/// When to ping, and the estimate so far, which the decoder's thread shares.
#[derive(Debug, Default)]
pub struct Pulse {
    host_clock: Arc<Mutex<ClockEstimator>>,
    sent: u64,
    answered: u64,
    next: Option<Timestamp>,
}

impl Pulse {
    /// Begins, or begins again on a new connection.
    pub fn start(&mut self, now: Timestamp) {
        self.next = Some(now);
    }

    /// When [`is_due`](Self::is_due) is to be asked.
    pub fn next(&self) -> Option<Timestamp> {
        self.next
    }

    /// Whether a ping is to be sent now; then counts it as sent.
    pub fn is_due(&mut self, now: Timestamp) -> bool {
        let due = self.next.is_some_and(|next| next <= now);
        if due {
            self.sent += 1;
            let interval = if self.sent < EAGER { EAGER_INTERVAL } else { STEADY_INTERVAL };
            self.next = Some(now + interval);
        }
        due
    }

    /// Takes an answer.
    pub fn handle_pong(&mut self, sample: Sample) {
        self.answered += 1;
        self.host_clock.lock().unwrap_or_else(PoisonError::into_inner).add(sample);
    }

    /// The host's clock, for another thread.
    pub fn host_clock(&self) -> Arc<Mutex<ClockEstimator>> {
        Arc::clone(&self.host_clock)
    }

    /// What is known.
    pub fn summary(&self) -> ClockSummary {
        let estimate = self.host_clock.lock().unwrap_or_else(PoisonError::into_inner).estimate();
        estimate.map_or_else(ClockSummary::default, |estimate| ClockSummary {
            offset_ns: estimate.offset_ns,
            rtt_us: estimate.rtt.as_nanos() as f64 / 1e3,
            samples: self.answered,
        })
    }
}
