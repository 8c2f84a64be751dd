//! Measurements that are printed, not judged: a number on another machine is another number.

pub mod cpu;
pub mod hop;
pub mod input;
pub mod moonlight;
pub mod pipeline;
pub mod starved;
pub mod syscalls;

use std::time::Duration;

/// Two points of a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    /// Half of all samples were not longer.
    pub p50: Duration,
    /// 99 of 100 were not longer.
    pub p99: Duration,
}

impl Spread {
    /// Of `samples`, in any order; zero when there are none.
    pub fn of(mut samples: Vec<Duration>) -> Self {
        samples.sort_unstable();
        let at = |percent: usize| {
            samples.get((samples.len() * percent / 100).min(samples.len().saturating_sub(1)))
        };
        Self { p50: at(50).copied().unwrap_or_default(), p99: at(99).copied().unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_taken_from_sorted_samples() {
        let samples = (1..=200).rev().map(Duration::from_micros).collect();
        assert_eq!(
            Spread::of(samples),
            Spread { p50: Duration::from_micros(101), p99: Duration::from_micros(199) }
        );
        assert_eq!(Spread::of(Vec::new()).p99, Duration::ZERO);
    }
}
