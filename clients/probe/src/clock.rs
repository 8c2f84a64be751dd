//! This machine's monotonic clock, as lumen-core wants it.

use lumen_core::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// `CLOCK_MONOTONIC`, set ahead by a constant so that tests can show that no figure depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    ahead_ns: u64,
}

impl Clock {
    /// A clock that is `seconds` ahead of the machine's.
    pub fn ahead_by(seconds: u32) -> Self {
        Self { ahead_ns: u64::from(seconds) * 1_000_000_000 }
    }

    /// Now.
    pub fn now(self) -> Timestamp {
        let time = clock_gettime(ClockId::Monotonic);
        // CLOCK_MONOTONIC is never negative.
        let ns = time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs();
        Timestamp::from_ns(ns + self.ahead_ns)
    }
}
