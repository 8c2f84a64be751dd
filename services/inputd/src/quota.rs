//! How much of something may pass in a second. Sans-IO: times are CLOCK_MONOTONIC nanoseconds.

use std::time::Duration;

const SECOND_NS: u64 = 1_000_000_000;

/// A bucket that fills at a steady rate and is emptied by what passes.
#[derive(Debug, Clone, Copy)]
pub struct Quota {
    per_second: u64,
    /// A unit's share of a second, times what is in the bucket: nothing is lost to rounding.
    filled_ns: u64,
    /// What a full bucket holds, likewise.
    most_ns: u64,
    filled_at_ns: u64,
}

impl Quota {
    /// `per_second` units a second, and `burst` at once after a rest. Starts full.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let per_second = u64::from(per_second).max(1);
        let most_ns = u64::from(burst) * SECOND_NS / per_second;
        Self { per_second, filled_ns: most_ns, most_ns, filled_at_ns: 0 }
    }

    /// Takes `units` if they are there; whether they were.
    pub fn take(&mut self, units: u64, now_ns: u64) -> bool {
        self.fill(now_ns);
        let price = units.saturating_mul(SECOND_NS / self.per_second);
        let is_there = self.filled_ns >= price;
        if is_there {
            self.filled_ns -= price;
        }
        is_there
    }

    /// Time until one unit is there.
    pub fn left(&self, now_ns: u64) -> Duration {
        let filled = self.filled_ns + now_ns.saturating_sub(self.filled_at_ns);
        Duration::from_nanos((SECOND_NS / self.per_second).saturating_sub(filled))
    }

    fn fill(&mut self, now_ns: u64) {
        let since = now_ns.saturating_sub(self.filled_at_ns);
        self.filled_ns = self.filled_ns.saturating_add(since).min(self.most_ns);
        self.filled_at_ns = self.filled_at_ns.max(now_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sabotage: fill the bucket without an upper bound, or never empty it.
    #[test]
    fn no_more_passes_than_the_rate_and_one_burst() {
        let mut quota = Quota::new(2000, 100);
        let tries = (0..80_000_u64).filter(|n| quota.take(1, 10 * SECOND_NS + n * SECOND_NS / 8000));
        let passed = tries.count();
        assert!((20_000..=20_101).contains(&passed), "{passed} in ten seconds");
    }

    #[test]
    fn what_does_not_fit_takes_nothing_and_tells_when_one_does() {
        let mut quota = Quota::new(1000, 2);
        assert!(!quota.take(3, 0));
        assert!(quota.take(2, 0));
        assert_eq!(quota.left(0), Duration::from_millis(1));
        assert!(!quota.take(1, 999_999));
        assert!(quota.take(1, 1_000_000));
    }
}
