//! A microphone's packets in the order of their numbers, and what is missing between them.

use arrayvec::ArrayVec;
use lumen_ipc::sound::{MAX_SPOKEN, Spoken};

/// Packets that are held back for one before them, which may still come: at 20 ms each what a listener buffers.
const HELD: usize = 2;
/// A gap of more packets is no loss but another beginning.
const GAP: u32 = 5;

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "a box would be an allocation for each packet")]
pub enum Next {
    /// A packet.
    Packet(ArrayVec<u8, MAX_SPOKEN>),
    /// One that is missing for good.
    Missing,
    /// What follows does not belong to what came before.
    Anew,
}

/// Puts packets in order.
#[derive(Debug, Default)]
pub struct Order {
    /// Number of the next packet.
    next: Option<u32>,
    /// By number, all after `next`.
    held: ArrayVec<Spoken, { HELD + 1 }>,
    /// What was held back is given up on: so many before the first of `held`.
    missing: u32,
}

impl Order {
    /// Takes a packet; [`Self::pop`] then has what follows from it. False if it came late or again.
    pub fn take(&mut self, spoken: Spoken) -> bool {
        let next = *self.next.get_or_insert(spoken.number);
        let ahead = spoken.number.wrapping_sub(next);
        let is_behind = ahead > u32::MAX / 2 && u32::MAX - ahead < GAP * 20;
        if is_behind || self.held.iter().any(|held| held.number == spoken.number) {
            return false;
        }
        let place = self.held.partition_point(|held| held.number.wrapping_sub(next) < ahead);
        // There is room: whatever is beyond what is held was popped before.
        let _ = self.held.try_insert(place, spoken);
        true
    }

    /// What comes next.
    pub fn pop(&mut self) -> Option<Next> {
        let (next, first) = (self.next?, self.held.first()?);
        let ahead = first.number.wrapping_sub(next);
        if ahead == 0 {
            self.next = Some(next.wrapping_add(1));
            return Some(Next::Packet(self.held.remove(0).bytes));
        }
        if ahead > GAP {
            self.next = Some(first.number);
            return Some(Next::Anew);
        }
        let is_given_up = self.held.len() > HELD || self.missing > 0;
        if !is_given_up {
            return None;
        }
        self.missing = ahead - 1;
        self.next = Some(next.wrapping_add(1));
        Some(Next::Missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spoken(number: u32) -> Spoken {
        Spoken { number, bytes: ArrayVec::from_iter([number as u8]) }
    }

    /// What comes of these numbers: a packet's own, -1 for one that is missing, -2 for another beginning.
    fn heard(numbers: &[u32]) -> Vec<i32> {
        let (mut order, mut heard) = (Order::default(), Vec::new());
        for number in numbers {
            order.take(spoken(*number));
            while let Some(next) = order.pop() {
                heard.push(match next {
                    Next::Packet(bytes) => bytes[0].into(),
                    Next::Missing => -1,
                    Next::Anew => -2,
                });
            }
        }
        heard
    }

    /// Sabotage: hand on what comes as it comes, or wait for ever for what is lost.
    #[test]
    fn packets_come_in_order_and_what_is_missing_has_its_place() {
        assert_eq!(heard(&[7, 8, 9]), [7, 8, 9]);
        assert_eq!(heard(&[7, 9, 8, 10]), [7, 8, 9, 10]);
        assert_eq!(heard(&[7, 10, 9, 8, 11]), [7, 8, 9, 10, 11]);
        assert_eq!(heard(&[7, 9, 10, 11, 12]), [7, -1, 9, 10, 11, 12]);
        assert_eq!(heard(&[7, 10, 11, 12]), [7, -1, -1, 10, 11, 12]);
        assert_eq!(heard(&[u32::MAX, 1, 0]), [255, 0, 1]);
    }

    /// Sabotage: take a packet twice, or make up for an hour in which nobody spoke.
    #[test]
    fn late_ones_and_those_that_come_again_are_left_out() {
        assert_eq!(heard(&[7, 7, 8, 8, 7, 9, 6]), [7, 8, 9]);
        assert_eq!(heard(&[7, 9, 9, 9, 8]), [7, 8, 9]);
        assert_eq!(heard(&[7, 100, 101]), [7, -2, 100, 101]);
    }

    proptest! {
        #[test]
        fn whatever_comes_rises_and_little_is_held(numbers in prop::collection::vec(0u32..300, 0..200)) {
            let (mut order, mut came) = (Order::default(), 0);
            for number in numbers {
                came += usize::from(order.take(spoken(number)));
                let mut popped = 0;
                while let Some(next) = order.pop() {
                    came -= usize::from(matches!(next, Next::Packet(_)));
                    popped += 1;
                    prop_assert!(popped <= (GAP as usize + 1) * (HELD + 2));
                }
                prop_assert!(order.held.len() <= HELD);
                prop_assert_eq!(came, order.held.len());
            }
        }
    }
}
