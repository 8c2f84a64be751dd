//! How many events of each kind there were.
//!
//! **Invariant:** neither key codes nor text are kept or logged, only how many there were.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::{event::Event, stage::Losses};

/// Shared by all sessions. Cloning shares the numbers.
#[derive(Debug, Clone, Default)]
pub struct Counts(Arc<[AtomicU64; KINDS.len()]>);

/// The kinds in the order of [`Counts::read`]: what was to be played, and then what became of it.
pub const KINDS: [&str; 15] = [
    "presses",
    "releases",
    "motions",
    "positions",
    "scrolls",
    "texts",
    "touches",
    "texts_lost",
    "texts_over_quota",
    "coalesced",
    "fingers_lost",
    "codes_refused",
    "characters_refused",
    "fingers_refused",
    "nowhere",
];

impl Counts {
    /// Kind and number of each.
    pub fn read(&self) -> impl Iterator<Item = (&'static str, u64)> {
        KINDS.into_iter().zip(self.0.iter().map(|count| count.load(Relaxed)))
    }

    /// An event that is played now.
    pub fn add(&self, event: &Event) {
        let [presses, releases, motions, positions, scrolls, texts, touches, ..] = &*self.0;
        let count = match event {
            Event::Press(_) => presses,
            Event::Release(_) => releases,
            Event::Motion { .. } => motions,
            Event::Position { .. } => positions,
            Event::Scroll { .. } => scrolls,
            Event::Text(_) => texts,
            Event::Touch(_) => touches,
        };
        count.fetch_add(1, Relaxed);
    }

    /// What the stage did not pass on.
    pub fn lose(&self, losses: Losses) {
        let [.., lost, over_quota, coalesced, fingers, _, _, _, _] = &*self.0;
        lost.fetch_add(losses.texts, Relaxed);
        over_quota.fetch_add(losses.texts_over_quota, Relaxed);
        coalesced.fetch_add(losses.coalesced, Relaxed);
        fingers.fetch_add(losses.fingers, Relaxed);
    }

    /// What a backend could not play.
    pub fn refuse(&self, refused: Refused) {
        let [.., codes, characters, fingers, nowhere] = &*self.0;
        match refused {
            Refused::Code => codes.fetch_add(1, Relaxed),
            Refused::Characters(count) => characters.fetch_add(count, Relaxed),
            Refused::Finger => fingers.fetch_add(1, Relaxed),
            Refused::Nowhere => nowhere.fetch_add(1, Relaxed),
        };
    }
}

/// What could not be played, and was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// A key or button that the backend does not have.
    Code,
    /// So many characters that nothing types: controls, and where the backend makes no keymap those that its keymap lacks.
    Characters(u64),
    /// A finger that came down where nothing takes it.
    Finger,
    /// An event while input reached no Output.
    Nowhere,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sabotage: add a field to `Counts` that keeps the event.
    #[test]
    fn events_are_counted_by_kind_and_nothing_else_is_kept() {
        let counts = Counts::default();
        let secret = Event::Text("correct horse".into());
        for event in [Event::Press(30), Event::Press(31), Event::Release(30), secret] {
            counts.add(&event);
        }
        counts.lose(Losses { texts: 3, texts_over_quota: 4, coalesced: 5, fingers: 6 });
        counts.refuse(Refused::Code);
        counts.refuse(Refused::Characters(7));
        counts.refuse(Refused::Nowhere);
        let read: Vec<_> = counts.read().filter(|(_, count)| *count > 0).collect();
        let expected = [("presses", 2), ("releases", 1), ("texts", 1), ("texts_lost", 3)];
        let losses = [("texts_over_quota", 4), ("coalesced", 5), ("fingers_lost", 6)];
        let refused = [("codes_refused", 1), ("characters_refused", 7), ("nowhere", 1)];
        assert_eq!(read, [&expected[..], &losses, &refused].concat());
        assert!(!format!("{counts:?}").contains("horse"));
    }
}
