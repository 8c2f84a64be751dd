//! Which of a client's message numbers were seen. Plain values, so that a session's record can hold them.

use serde::{Deserialize, Serialize};

const WORDS: usize = 16;
/// Because 48 channels of a bad network are some dozens of messages apart, hardly more.
pub(super) const WINDOW: u64 = 64 * WORDS as u64;

/// A bitmap of the newest 1,024 numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayWindow {
    /// One past the highest number seen.
    end: u64,
    seen: [u64; WORDS],
}

/// What the window says of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Never seen.
    Fresh,
    /// Seen, or so old that nobody knows.
    Replayed,
}

impl ReplayWindow {
    /// Judges a number and remembers it. Only numbers that were authenticated may come here.
    pub fn insert(&mut self, number: u32) -> Freshness {
        let number = u64::from(number);
        if number + WINDOW < self.end {
            return Freshness::Replayed;
        }
        // Each number that enters makes room for itself: what stood in its place is out of the window.
        for entering in self.end.max((number + 1).saturating_sub(WINDOW))..=number {
            self.clear(entering);
        }
        self.end = self.end.max(number + 1);
        let (word, bit) = place(number);
        match self.seen.get_mut(word) {
            Some(word) if *word & bit == 0 => {
                *word |= bit;
                Freshness::Fresh
            }
            _ => Freshness::Replayed,
        }
    }

    fn clear(&mut self, number: u64) {
        let (word, bit) = place(number);
        if let Some(word) = self.seen.get_mut(word) {
            *word &= !bit;
        }
    }
}

fn place(number: u64) -> (usize, u64) {
    let slot = number % WINDOW;
    ((slot / 64) as usize, 1 << (slot % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    proptest! {
        // Sabotage: clear one number too few, or let a number of WINDOW + 1 ago pass.
        #[test]
        fn it_agrees_with_a_set(base in prop_oneof![Just(0u32), Just(u32::MAX - 9000)], steps in prop::collection::vec((0u32..3000, any::<bool>()), 1..300)) {
            let (mut window, mut seen, mut end, mut from) = (ReplayWindow::default(), HashSet::new(), 0u64, base);
            for (step, moves) in steps {
                let number = from.saturating_add(step);
                if moves { from = from.saturating_add(step / 4); }
                let old = u64::from(number) + WINDOW < end;
                let expected = if !old && seen.insert(number) { Freshness::Fresh } else { Freshness::Replayed };
                prop_assert_eq!(window.insert(number), expected, "{}", number);
                end = end.max(u64::from(number) + 1);
            }
        }
    }
}
