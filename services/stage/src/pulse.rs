//! The watchdog's evidence: every loop that matters beats, and systemd is told "alive" only while all do.

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::clock::now_ns;

/// Longest silence of a session's loop before the stage counts as hung.
pub const SILENCE: Duration = Duration::from_secs(2);

/// After so much of it systemd is told nothing more, and kills [`SILENCE`] later: together with the time that the killing
/// takes that stays below the 4 s of promise C5. Twice the longest time between two beats.
const QUIET: Duration = Duration::from_millis(1800);

/// Held by one loop; dropping it ends the obligation.
#[derive(Debug, Clone)]
pub struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// The loop is alive now. Call it at least every [`SILENCE`] / 2.
    pub fn beat(&self) {
        self.0.store(now_ns(), Relaxed);
    }
}

/// All loops of a stage that must beat.
#[derive(Debug, Clone, Default)]
pub struct Pulses(Arc<Mutex<Vec<Weak<AtomicU64>>>>);

impl Pulses {
    /// A new loop starts.
    pub fn register(&self) -> Pulse {
        let beat = Arc::new(AtomicU64::new(now_ns()));
        let mut beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        beats.retain(|other| other.strong_count() > 0);
        beats.push(Arc::downgrade(&beat));
        Pulse(beat)
    }

    /// Whether every loop beat lately, seen from `now_ns`.
    pub fn alive(&self, now_ns: u64) -> bool {
        let beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let silence = QUIET.as_nanos() as u64;
        beats
            .iter()
            .filter_map(Weak::upgrade)
            .all(|beat| now_ns.saturating_sub(beat.load(Relaxed)) <= silence)
    }

    /// Whether any loop runs, that is, whether a session lives.
    pub fn busy(&self) -> bool {
        let beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        beats.iter().any(|beat| beat.strong_count() > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_silent_loop_is_enough() {
        let pulses = Pulses::default();
        let (a, b) = (pulses.register(), pulses.register());
        let later = now_ns() + 3_000_000_000;
        assert!(!pulses.alive(later));
        a.0.store(later, Relaxed);
        assert!(!pulses.alive(later));
        drop(b);
        assert!(pulses.alive(later));
        assert!(pulses.busy());
        drop(a);
        assert!(!pulses.busy());
    }
}
