//! Which fingers a Moonlight client has down: GameStream tells of one at a time, inputd hears of all.

use arrayvec::ArrayVec;
use lumen_core::control::{Finger, Input};
use lumen_gamestream::input::{Touch, TouchPhase};
use lumen_ipc::input::MAX_FINGERS;

/// The fingers of one client. Not recorded: the next incarnation learns each by its next motion.
#[derive(Debug, Default)]
pub struct Touches {
    down: ArrayVec<Finger, MAX_FINGERS>,
}

impl Touches {
    /// A finger did something; what inputd is told, if it is anything to a touch screen. Of more than [`MAX_FINGERS`] fingers
    /// the last ones are none.
    pub fn handle(&mut self, touch: &Touch) -> Option<Input> {
        let cancels = match touch.contact.phase {
            TouchPhase::Down | TouchPhase::Move => {
                let finger = finger(touch);
                match self.down.iter_mut().find(|down| down.id == finger.id) {
                    Some(down) => *down = finger,
                    None => self.down.try_push(finger).ok()?,
                }
                false
            }
            TouchPhase::Up | TouchPhase::Cancel => {
                self.down.retain(|down| down.id != touch.finger);
                touch.contact.phase == TouchPhase::Cancel
            }
            TouchPhase::CancelAll => {
                self.down.clear();
                true
            }
            TouchPhase::Hover | TouchPhase::HoverLeave | TouchPhase::ButtonOnly => return None,
        };
        Some(Input::Fingers { down: self.down.to_vec(), cancels })
    }

    /// The client is gone; what inputd is told, if any finger was down.
    pub fn cancel(&mut self) -> Option<Input> {
        let had = !std::mem::take(&mut self.down).is_empty();
        had.then_some(Input::Fingers { down: Vec::new(), cancels: true })
    }
}

fn finger(touch: &Touch) -> Finger {
    // Fits: each is 0 to 1.
    let part = |share: f32| (share * f32::from(u16::MAX)).round() as u16;
    let contact = &touch.contact;
    Finger { id: touch.finger, x: part(contact.x), y: part(contact.y), pressure: part(contact.pressure) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumen_gamestream::input::Contact;

    fn act(touches: &mut Touches, phase: TouchPhase, finger: u32, x: f32) -> Option<(Vec<(u32, u16)>, bool)> {
        let contact = Contact { phase, x, y: 0.5, pressure: 1.0, area: (0.0, 0.0), rotation: None };
        let Input::Fingers { down, cancels } = touches.handle(&Touch { finger, contact })? else { panic!() };
        Some((down.iter().map(|finger| (finger.id, finger.x)).collect(), cancels))
    }

    /// Sabotage: tell of the one finger alone, or take a cancelled one for one that went up.
    #[test]
    fn all_fingers_that_are_down_are_told() {
        let mut touches = Touches::default();
        let mut act = |phase, finger, x| act(&mut touches, phase, finger, x);
        assert_eq!(act(TouchPhase::Hover, 7, 0.0), None);
        assert_eq!(act(TouchPhase::Down, 7, 0.0), Some((vec![(7, 0)], false)));
        assert_eq!(act(TouchPhase::Down, 8, 1.0), Some((vec![(7, 0), (8, 65_535)], false)));
        assert_eq!(act(TouchPhase::Move, 7, 1.0), Some((vec![(7, 65_535), (8, 65_535)], false)));
        assert_eq!(act(TouchPhase::Up, 7, 1.0), Some((vec![(8, 65_535)], false)));
        assert_eq!(act(TouchPhase::Cancel, 8, 1.0), Some((vec![], true)));
        assert_eq!(act(TouchPhase::Move, 9, 0.0), Some((vec![(9, 0)], false)), "after a restart");
        assert_eq!(act(TouchPhase::CancelAll, 0, 0.0), Some((vec![], true)));
    }

    #[test]
    fn fingers_of_a_client_that_is_gone_are_cancelled_once() {
        let mut touches = Touches::default();
        assert_eq!(touches.cancel(), None);
        act(&mut touches, TouchPhase::Down, 1, 0.0);
        assert_eq!(touches.cancel(), Some(Input::Fingers { down: vec![], cancels: true }));
        assert_eq!(touches.cancel(), None);
    }
}
