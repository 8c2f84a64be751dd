//! Which keys are down, and where they are.

use std::collections::{BTreeMap, BTreeSet};

/// The keys that are down, by the codes that pressed them. Two codes may be of one key, which is down while one of them is.
#[derive(Debug, Default)]
pub struct Down(BTreeMap<u16, u16>);

impl Down {
    /// `code` goes down at `place`, which is returned if nothing held it down before.
    pub fn press(&mut self, code: u16, place: u16) -> Option<u16> {
        let is_down = self.has(place);
        self.0.insert(code, place);
        (!is_down).then_some(place)
    }

    /// `code` goes up: its place, if nothing holds that down any more.
    pub fn release(&mut self, code: u16) -> Option<u16> {
        self.0.remove(&code).filter(|place| !self.has(*place))
    }

    /// Whether the key at `place` is down.
    pub fn has(&self, place: u16) -> bool {
        self.0.values().any(|held| *held == place)
    }

    /// All places that are down.
    pub fn places(&self) -> BTreeSet<u16> {
        self.0.values().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sabotage: release a place with the first of its codes.
    #[test]
    fn key_of_two_codes_is_down_while_one_of_them_is() {
        let mut down = Down::default();
        assert_eq!((down.press(21, 44), down.press(0x8000 | 44, 44)), (Some(44), None));
        assert_eq!((down.release(21), down.has(44)), (None, true));
        assert_eq!((down.release(0x8000 | 44), down.release(21)), (Some(44), None));
    }
}
