//! The fingers of a session: from what is down to what happens on a touch screen. Sans-IO.

use std::collections::{BTreeMap, BTreeSet};

use lumen_ipc::input::Finger;

/// One thing that a finger does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touch {
    /// It comes down.
    Down(Finger),
    /// It moves while it is down.
    Move(Finger),
    /// The finger of this number goes up.
    Up(u32),
    /// The finger of this number is gone, and what it began is no touch after all.
    Cancel(u32),
}

/// All fingers that are down, by their numbers.
#[derive(Debug, Default)]
pub struct Fingers {
    down: BTreeMap<u32, Finger>,
    /// Those that are down at the client and not on the Output, each until it goes up. Because a finger that came down on an
    /// Output of before has ended there, and would begin something else on this one.
    lost: BTreeSet<u32>,
}

impl Fingers {
    /// From now on these are down: what happens thereby. Fingers that go come before those that come, so that a number that is
    /// used again is of another finger.
    pub fn converge(&mut self, down: impl IntoIterator<Item = Finger>, cancels: bool) -> Vec<Touch> {
        let mut wished: BTreeMap<u32, Finger> = down.into_iter().map(|finger| (finger.id, finger)).collect();
        self.lost.retain(|id| wished.contains_key(id));
        wished.retain(|id, _| !self.lost.contains(id));
        let gone = self.down.keys().filter(|id| !wished.contains_key(id));
        let mut touches: Vec<Touch> =
            gone.map(|id| if cancels { Touch::Cancel(*id) } else { Touch::Up(*id) }).collect();
        touches.extend(wished.values().filter_map(|finger| match self.down.get(&finger.id) {
            None => Some(Touch::Down(*finger)),
            Some(before) if before != finger => Some(Touch::Move(*finger)),
            Some(_) => None,
        }));
        self.down = wished;
        touches
    }

    /// These came down before anything was said here: those that are unknown are lost. How many are so now.
    pub fn lose_unknown(&mut self, down: &[Finger]) -> u64 {
        let unknown = down.iter().map(|finger| finger.id).filter(|id| !self.down.contains_key(id));
        unknown.map(|id| u64::from(self.lost.insert(id))).sum()
    }

    /// There is a fresh Output: all that are down are lost. How many are so now.
    pub fn lose_all(&mut self) -> u64 {
        let down = std::mem::take(&mut self.down);
        down.into_keys().map(|id| u64::from(self.lost.insert(id))).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(id: u32, x: u16) -> Finger {
        Finger { id, x, y: 0, pressure: 0 }
    }

    /// Sabotage: play every finger instead of the difference, or let go of none that is missing.
    #[test]
    fn only_the_difference_is_played() {
        let mut fingers = Fingers::default();
        let (one, two) = (at(7, 1), at(8, 2));
        assert_eq!(fingers.converge([one, two], false), [Touch::Down(one), Touch::Down(two)]);
        assert_eq!(fingers.converge([one, two], false), []);
        assert_eq!(fingers.converge([at(7, 5), two], false), [Touch::Move(at(7, 5))]);
        assert_eq!(fingers.converge([two, at(9, 0)], false), [Touch::Up(7), Touch::Down(at(9, 0))]);
        assert_eq!(fingers.converge([], true), [Touch::Cancel(8), Touch::Cancel(9)]);
    }

    /// Sabotage: put a finger down again on a fresh Output, or let a lost one stay so when it went up.
    #[test]
    fn finger_of_a_former_output_is_ignored_until_it_comes_down_anew() {
        let mut fingers = Fingers::default();
        fingers.converge([at(7, 1), at(8, 1)], false);
        assert_eq!(fingers.lose_all(), 2);
        assert_eq!(fingers.converge([at(7, 2), at(8, 3), at(9, 1)], false), [Touch::Down(at(9, 1))]);
        assert_eq!(fingers.converge([at(8, 4), at(9, 1)], false), []);
        assert_eq!(fingers.converge([at(7, 5), at(8, 6), at(9, 1)], false), [Touch::Down(at(7, 5))]);
        assert_eq!(fingers.lose_unknown(&[at(7, 5), at(8, 6), at(3, 0)]), 1, "8 is lost already, 7 is known");
        assert_eq!(fingers.converge([at(7, 5), at(3, 1)], true), [Touch::Cancel(9)]);
    }
}
