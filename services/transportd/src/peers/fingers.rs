//! What inputd is told of fingers, and what it knows of them. Sans-IO.

use std::collections::VecDeque;

use arrayvec::ArrayVec;
use lumen_core::control;
use lumen_ipc::input::{Finger, MAX_FINGERS, ToInput};

/// Fingers that are down.
pub type Down = ArrayVec<Finger, MAX_FINGERS>;

/// What was said, and what inputd took.
#[derive(Debug)]
pub struct Fingers {
    /// What was said last; `None` where an earlier incarnation said it, which inputd still knows.
    said: Option<Down>,
    /// All that was taken of it.
    taken: Option<Down>,
}

impl Default for Fingers {
    /// None is down.
    fn default() -> Self {
        Self { said: Some(Down::new()), taken: None }
    }
}

impl Fingers {
    /// inputd may know fingers of an earlier incarnation's.
    pub fn unknown() -> Self {
        Self { said: None, taken: None }
    }

    /// All that is down is `down`, of which more than [`MAX_FINGERS`] are not; `None` if that is no news.
    pub fn set(&mut self, down: &[control::Finger], cancels: bool) -> Option<ToInput> {
        let down: Down = down.iter().take(MAX_FINGERS).map(told).collect();
        let is_news = self.said.replace(down.clone()) != Some(down.clone());
        is_news.then_some(ToInput::Fingers { down, cancels, again: false })
    }

    /// inputd is told that these are down.
    pub fn take(&mut self, down: &Down) {
        self.taken = Some(down.clone());
    }

    /// inputd is a fresh one: what the one before knew before what is `waiting`, without those that have gone up since, because the
    /// next one of such a number is another finger.
    pub fn begin(&mut self, waiting: &mut VecDeque<(u64, ToInput)>) -> Option<ToInput> {
        let mut known = self.taken.clone()?;
        known.retain(|finger| {
            let lacks =
                |message: &ToInput| matches!(message, ToInput::Fingers { down, .. } if !has(down, finger.id));
            let Some(up) = waiting.iter().position(|(_, message)| lacks(message)) else { return true };
            for (_, message) in waiting.iter_mut().take(up) {
                if let ToInput::Fingers { down, .. } = message {
                    down.retain(|one| one.id != finger.id);
                }
            }
            false
        });
        Some(ToInput::Fingers { down: known, cancels: true, again: true })
    }
}

/// Takes `next` into `last` if the same fingers only moved; whether they did.
pub fn absorb(last: &mut Down, next: &Down) -> bool {
    let are_same = last.len() == next.len() && next.iter().all(|finger| has(last, finger.id));
    if are_same {
        last.clone_from(next);
    }
    are_same
}

fn has(down: &Down, id: u32) -> bool {
    down.iter().any(|finger| finger.id == id)
}

fn told(finger: &control::Finger) -> Finger {
    let control::Finger { id, x, y, pressure } = *finger;
    Finger { id, x, y, pressure }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn down(ids: &[u32]) -> Vec<control::Finger> {
        ids.iter().map(|id| control::Finger { id: *id, x: 1, y: 2, pressure: 3 }).collect()
    }

    fn ids(message: Option<ToInput>) -> Option<Vec<u32>> {
        message.map(|message| match message {
            ToInput::Fingers { down, .. } => down.iter().map(|finger| finger.id).collect(),
            other => panic!("{other:?}"),
        })
    }

    /// Sabotage: say again what is so, or nothing of what an earlier incarnation may have left down.
    #[test]
    fn fingers_are_said_when_they_are_news() {
        let mut fingers = Fingers::default();
        assert_eq!(fingers.set(&[], true), None);
        assert_eq!(ids(fingers.set(&down(&[7]), false)), Some(vec![7]));
        assert_eq!(fingers.set(&down(&[7]), false), None);
        assert_eq!(ids(Fingers::unknown().set(&[], true)), Some(vec![]));
        assert_eq!(
            ids(fingers.set(&down(&(0..99).collect::<Vec<_>>()), false)).map(|ids| ids.len()),
            Some(MAX_FINGERS)
        );
    }

    /// Sabotage: begin with all that was down when inputd died, or say it as if it came down now.
    #[test]
    fn finger_that_went_up_meanwhile_does_not_go_down_again() {
        let mut fingers = Fingers::default();
        assert_eq!(fingers.begin(&mut VecDeque::new()), None, "no finger was ever down");
        let Some(ToInput::Fingers { down: known, .. }) = fingers.set(&down(&[7, 8]), false) else { panic!() };
        fingers.take(&known);
        let messages = [&[7, 8, 9][..], &[8, 9], &[7, 8, 9]].map(|ids| fingers.set(&down(ids), false));
        let mut waiting: VecDeque<_> = messages.into_iter().flatten().map(|message| (0, message)).collect();
        let first = fingers.begin(&mut waiting);
        assert!(matches!(first, Some(ToInput::Fingers { again: true, .. })));
        assert_eq!(ids(first), Some(vec![8]));
        let left: Vec<_> = waiting.into_iter().filter_map(|(_, message)| ids(Some(message))).collect();
        assert_eq!(left, [vec![8, 9], vec![8, 9], vec![7, 8, 9]]);
    }
}
