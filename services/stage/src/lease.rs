//! The time for which a stage keeps what it made for a session after its reader hung up.

use std::time::Duration;

/// How long by default: a neighbour's restart, or a client's short absence, costs no encoder and no Output.
pub const DEFAULT: Duration = Duration::from_secs(10);

/// Runs while nobody reads. Times are CLOCK_MONOTONIC nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    length_ns: u64,
    ends_ns: Option<u64>,
}

impl Lease {
    /// A lease of `length` that is not running.
    pub fn new(length: Duration) -> Self {
        Self { length_ns: u64::try_from(length.as_nanos()).unwrap_or(u64::MAX), ends_ns: None }
    }

    /// The reader hung up. Has no effect while the lease already runs.
    pub fn start(&mut self, now_ns: u64) {
        self.ends_ns.get_or_insert(now_ns.saturating_add(self.length_ns));
    }

    /// A reader is back.
    pub fn stop(&mut self) {
        self.ends_ns = None;
    }

    /// Whether it has run out.
    pub fn is_over(&self, now_ns: u64) -> bool {
        self.ends_ns.is_some_and(|end| now_ns >= end)
    }

    /// Time left, `None` while it is not running.
    pub fn left(&self, now_ns: u64) -> Option<Duration> {
        self.ends_ns.map(|end| Duration::from_nanos(end.saturating_sub(now_ns)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_hang_up_does_not_prolong_it() {
        let mut lease = Lease::new(Duration::from_secs(10));
        lease.start(0);
        lease.start(9_000_000_000);
        assert!(!lease.is_over(9_999_999_999));
        assert!(lease.is_over(10_000_000_000));
        lease.stop();
        assert!(!lease.is_over(u64::MAX));
    }
}
