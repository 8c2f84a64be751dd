//! Who dies when: every stage as often as asked, one after the other in a changing order, at random phases.

use std::time::Duration;

use lumen_tests::constellation::STAGES;

/// Apart enough that a gap belongs to one death, and that each life is longer than the half second below which deaths are paced.
const APART: Duration = Duration::from_millis(850);
/// The second of a pair dies within this.
const PAIR: Duration = Duration::from_millis(50);

/// One death or two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blow {
    /// Who dies.
    pub stage: &'static str,
    /// Who dies too, and so much later.
    pub second: Option<(&'static str, Duration)>,
    /// How long to wait before.
    pub after: Duration,
}

/// xorshift64: small, seeded, and good enough to shuffle.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice that always fall the same way for a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.max(1))
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit.max(1)
    }

    fn phase(&mut self) -> Duration {
        APART + Duration::from_micros(self.below(33_000))
    }
}

/// `count` deaths of each stage in `stages`.
pub fn single(stages: &[&'static str], count: u32, dice: &mut Dice) -> Vec<Blow> {
    let mut order = stages.to_vec();
    let apart = APART * (STAGES.len() - order.len()) as u32 / order.len().max(1) as u32;
    let mut blows = Vec::new();
    for _ in 0..count {
        // Neighbours change places, so that each stage dies after each other one in time, but none soon after itself.
        if order.len() > 1 {
            let place = dice.below(order.len() as u64 - 1) as usize;
            order.swap(place, place + 1);
        }
        blows.extend(order.iter().map(|stage| Blow { stage, second: None, after: apart + dice.phase() }));
    }
    blows
}

/// Each pair of stages once, in both orders, within 50 ms.
pub fn pairs(dice: &mut Dice) -> Vec<Blow> {
    let mut blows = Vec::new();
    for first in STAGES {
        for second in STAGES.into_iter().filter(|second| *second != first) {
            let later = Duration::from_micros(dice.below(PAIR.as_micros() as u64));
            blows.push(Blow { stage: first, second: Some((second, later)), after: dice.phase() * 2 });
        }
    }
    blows
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sabotage: shuffle the stages anew in each round.
    #[test]
    fn no_stage_dies_four_times_in_ten_seconds() {
        for stages in [&STAGES[..], &STAGES[..1], &STAGES[..2]] {
            let (mut now, mut last) = (Duration::ZERO, Vec::new());
            for blow in single(stages, 100, &mut Dice::new(3)) {
                now += blow.after;
                if blow.stage == stages[0] {
                    last.push(now);
                }
            }
            assert!(last.windows(4).all(|four| four[3] - four[0] > Duration::from_secs(10)), "{stages:?}");
        }
    }

    #[test]
    fn each_stage_dies_as_often_as_asked_and_each_pair_once() {
        let mut dice = Dice::new(7);
        let blows = single(&STAGES, 50, &mut dice);
        for stage in STAGES {
            assert_eq!(blows.iter().filter(|blow| blow.stage == stage).count(), 50);
        }
        let pairs = pairs(&mut dice);
        assert_eq!(pairs.len(), 20);
        assert!(
            pairs
                .iter()
                .all(|blow| blow.second.is_some_and(|(other, later)| other != blow.stage && later < PAIR))
        );
    }
}
