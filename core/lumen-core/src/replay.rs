//! Which sequence numbers of a channel were seen: a sliding window over the newest.

/// Because a block has at most 65,535 datagrams, so that those of one frame may arrive in any order.
pub const WINDOW: u64 = 1 << 16;

const WORDS: usize = (WINDOW / 64) as usize;

/// A bitmap of the last [`WINDOW`] sequence numbers, 8 KiB.
#[derive(Clone, Debug)]
pub struct ReplayWindow {
    /// One past the highest number seen, so that 0 means none.
    end: u128,
    seen: Box<[u64; WORDS]>,
}

/// What the window says of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Higher than any before.
    Newest,
    /// Not seen before, and within the window.
    Late,
    /// Seen before, or too old to know.
    Replayed,
}

impl Default for ReplayWindow {
    fn default() -> Self {
        Self { end: 0, seen: Box::new([0; WORDS]) }
    }
}

impl ReplayWindow {
    /// A window that takes everything below `next` for seen.
    pub fn resuming_at(next: u64) -> Self {
        Self { end: next.into(), seen: Box::new([u64::MAX; WORDS]) }
    }

    /// One past the highest number seen.
    pub fn end(&self) -> u64 {
        u64::try_from(self.end).unwrap_or(u64::MAX)
    }

    /// Judges `sequence` and remembers it. Call it only with numbers that were authenticated.
    pub fn insert(&mut self, sequence: u64) -> Freshness {
        let number = u128::from(sequence);
        if number >= self.end {
            self.advance(number + 1);
            self.mark(sequence);
            return Freshness::Newest;
        }
        if self.end - number > u128::from(WINDOW) || !self.mark(sequence) {
            return Freshness::Replayed;
        }
        Freshness::Late
    }

    /// Forgets the numbers that leave the window as its end moves to `end`.
    fn advance(&mut self, end: u128) {
        if end - self.end >= u128::from(WINDOW) {
            self.seen.fill(0);
        } else {
            let (mut number, last) = (self.end, end);
            while number < last {
                number += self.forget(number, last);
            }
        }
        self.end = end;
    }

    /// Clears the bits of `number..last` that stand in one word; says how many.
    fn forget(&mut self, number: u128, last: u128) -> u128 {
        let (word, bit) = place(number as u64);
        let count = (64 - u128::from(bit)).min(last - number);
        let mask = if count == 64 { u64::MAX } else { ((1u64 << count) - 1) << bit };
        if let Some(word) = self.seen.get_mut(word) {
            *word &= !mask;
        }
        count
    }

    /// Sets the bit of `sequence`; false if it was set.
    fn mark(&mut self, sequence: u64) -> bool {
        let (word, bit) = place(sequence);
        let Some(word) = self.seen.get_mut(word) else {
            return false;
        };
        let fresh = *word & (1 << bit) == 0;
        *word |= 1 << bit;
        fresh
    }
}

/// The word and the bit of a number.
fn place(sequence: u64) -> (usize, u32) {
    let slot = sequence % WINDOW;
    ((slot / 64) as usize, (slot % 64) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn the_last_number_can_be_seen_once() {
        let mut window = ReplayWindow::default();
        assert_eq!(window.insert(u64::MAX), Freshness::Newest);
        assert_eq!(window.insert(u64::MAX), Freshness::Replayed);
        assert_eq!(window.insert(u64::MAX - WINDOW + 1), Freshness::Late);
        assert_eq!(window.insert(u64::MAX - WINDOW), Freshness::Replayed);
    }

    #[test]
    fn a_resumed_window_has_seen_all_before() {
        let mut window = ReplayWindow::resuming_at(1000);
        assert_eq!(window.insert(999), Freshness::Replayed);
        assert_eq!(window.insert(0), Freshness::Replayed);
        assert_eq!(window.insert(1002), Freshness::Newest);
        assert_eq!(window.insert(1001), Freshness::Late);
        assert_eq!(window.insert(1000), Freshness::Late);
        assert_eq!(window.insert(1000), Freshness::Replayed);
        assert_eq!(window.end(), 1003);
    }

    proptest! {
        // Sabotage: `forget` clears one bit too few (`count` − 1), or `insert` lets a number of WINDOW + 1 ago pass.
        #[test]
        fn it_agrees_with_a_set(steps in prop::collection::vec((0u64..200_000, any::<bool>()), 1..400)) {
            let (mut window, mut seen, mut end, mut base) = (ReplayWindow::default(), HashSet::new(), 0u64, 0u64);
            for (step, advance) in steps {
                let number = base + step;
                if advance { base += step; }
                let expected = if number >= end {
                    Freshness::Newest
                } else if end - number > WINDOW || seen.contains(&number) {
                    Freshness::Replayed
                } else {
                    Freshness::Late
                };
                prop_assert_eq!(window.insert(number), expected);
                seen.insert(number);
                end = end.max(number + 1);
            }
        }
    }
}
