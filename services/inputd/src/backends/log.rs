//! Counts events and plays none.
//!
//! **Invariant:** neither key codes nor text are kept or logged, only how many there were.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use lumen_ipc::{Failure, FailureClass};

use super::Backend;
use crate::stage::Event;

/// What happened, and that it does not help yet.
pub const WHY: &str = "this version of lumen receives input and cannot type yet";
/// What to do about it.
pub const ADVICE: &str =
    "use the machine's own keyboard and mouse until a version with the uinput backend is installed";

/// How many events of each kind there were. Cloning shares the numbers.
#[derive(Debug, Clone, Default)]
pub struct Counts(Arc<[AtomicU64; KINDS.len()]>);

/// The kinds in the order of [`Counts::read`].
pub const KINDS: [&str; 7] =
    ["presses", "releases", "motions", "positions", "scrolls", "texts", "texts_lost"];

impl Counts {
    /// Kind and number of each.
    pub fn read(&self) -> impl Iterator<Item = (&'static str, u64)> {
        KINDS.into_iter().zip(self.0.iter().map(|count| count.load(Relaxed)))
    }

    fn add(&self, event: &Event) {
        let [presses, releases, motions, positions, scrolls, texts, _] = &*self.0;
        let count = match event {
            Event::Press(_) => presses,
            Event::Release(_) => releases,
            Event::Motion { .. } => motions,
            Event::Position { .. } => positions,
            Event::Scroll { .. } => scrolls,
            Event::Text(_) => texts,
        };
        count.fetch_add(1, Relaxed);
    }
}

/// The backend `log`.
#[derive(Debug)]
pub struct Log {
    counts: Counts,
}

impl Log {
    /// Adds to `counts`.
    pub fn new(counts: Counts) -> Self {
        Self { counts }
    }
}

impl Backend for Log {
    fn play(&mut self, event: &Event) {
        self.counts.add(event);
    }

    fn lose(&mut self, texts: u64) {
        let [.., lost] = &*self.counts.0;
        lost.fetch_add(texts, Relaxed);
    }

    fn failure(&self) -> Option<Failure> {
        Some(Failure::new(FailureClass::Environment, WHY, ADVICE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sabotage: add a field to `Log` that keeps the event.
    #[test]
    fn events_are_counted_by_kind_and_nothing_else_is_kept() {
        let counts = Counts::default();
        let mut log = Log::new(counts.clone());
        let secret = Event::Text("correct horse".into());
        for event in [Event::Press(30), Event::Press(31), Event::Release(30), secret] {
            log.play(&event);
        }
        log.lose(3);
        let read: Vec<_> = counts.read().filter(|(_, count)| *count > 0).collect();
        assert_eq!(read, [("presses", 2), ("releases", 1), ("texts", 1), ("texts_lost", 3)]);
        assert!(!format!("{log:?}").contains("horse"));
        assert!(log.failure().is_some_and(|failure| failure.text.contains("cannot type yet")));
    }
}
