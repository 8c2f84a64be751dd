//! The fingers of a session: from what is down to what happens on a touch screen. Sans-IO.

use std::collections::BTreeMap;

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
pub struct Fingers(BTreeMap<u32, Finger>);

impl Fingers {
    /// From now on these are down: what happens thereby. Fingers that go come before those that come, so that a number that is
    /// used again is of another finger.
    pub fn converge(&mut self, down: impl IntoIterator<Item = Finger>, cancels: bool) -> Vec<Touch> {
        let wished: BTreeMap<u32, Finger> = down.into_iter().map(|finger| (finger.id, finger)).collect();
        let gone = self.0.keys().filter(|id| !wished.contains_key(id));
        let mut touches: Vec<Touch> =
            gone.map(|id| if cancels { Touch::Cancel(*id) } else { Touch::Up(*id) }).collect();
        touches.extend(wished.values().filter_map(|finger| match self.0.get(&finger.id) {
            None => Some(Touch::Down(*finger)),
            Some(before) if before != finger => Some(Touch::Move(*finger)),
            Some(_) => None,
        }));
        self.0 = wished;
        touches
    }

    /// Those that are down, which are not any more.
    pub fn take(&mut self) -> Vec<Finger> {
        std::mem::take(&mut self.0).into_values().collect()
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
}
