//! Where a session stands with captured.

use std::time::Duration;

/// Pause before each attempt upstream after failures in a row; the last one stays. Because a stage that restarts is back
/// within the first two.
const BACKOFF: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(50), Duration::from_millis(200), Duration::from_secs(1)];

/// The link to captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// There is none; it is opened at this time.
    Waiting {
        /// CLOCK_MONOTONIC nanoseconds.
        until_ns: u64,
    },
    /// It is open, or being opened.
    Linked,
    /// captured cannot serve this request: only another one leads out.
    Refused,
}

/// The pause after so many failures in a row.
pub fn pause(failures: u32) -> Duration {
    BACKOFF.get(failures as usize).or(BACKOFF.last()).copied().unwrap_or_default()
}
