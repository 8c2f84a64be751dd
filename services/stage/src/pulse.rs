//! The watchdog's evidence: every loop that matters beats, and systemd is told "alive" only while all do.

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use lumen_ipc::Stage;

use crate::clock::now_ns;

/// Longest silence of a session's loop before the stage counts as hung.
pub const SILENCE: Duration = Duration::from_secs(2);

/// The same for an encoder. Because it beats once a picture, and on a machine that gives it a twentieth of a core a picture
/// that is encoded twice takes seconds.
const ENCODING: Duration = Duration::from_millis(3500);

/// How long a loop of `stage` may be silent.
pub fn limit(stage: Stage) -> Duration {
    if stage == Stage::Encoded { ENCODING } else { SILENCE }
}

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

    /// How long the loop that beat longest ago has been silent at `now_ns`; zero if there is none.
    pub fn silence(&self, now_ns: u64) -> Duration {
        let beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let silences =
            beats.iter().filter_map(Weak::upgrade).map(|beat| now_ns.saturating_sub(beat.load(Relaxed)));
        Duration::from_nanos(silences.max().unwrap_or(0))
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
        assert!(pulses.silence(later) > SILENCE);
        a.0.store(later, Relaxed);
        assert!(pulses.silence(later) > SILENCE);
        drop(b);
        assert_eq!(pulses.silence(later), Duration::ZERO);
        assert!(pulses.busy());
        drop(a);
        assert!(!pulses.busy());
    }
}
