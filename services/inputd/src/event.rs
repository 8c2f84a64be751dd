//! What happens at a Seat. Sans-IO.

use crate::fingers::Touch;

/// Most bytes that texts which follow one another become one of. Because each costs the program a keymap, and clients of
/// GameStream send characters one by one.
const MOST_TEXT: usize = 1024;

/// One thing that happens at a Seat. Keys and buttons are Linux evdev codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A key or button goes down.
    Press(u16),
    /// A key or button goes up.
    Release(u16),
    /// The pointer moves by pixels × 256.
    Motion {
        /// To the right.
        dx: i32,
        /// Down.
        dy: i32,
    },
    /// The pointer is at 1/65,535 of the Output.
    Position {
        /// From the left edge.
        x: u16,
        /// From the top edge.
        y: u16,
    },
    /// Scrolling in 1/120 of a wheel click.
    Scroll {
        /// To the right.
        dx: i32,
        /// Down.
        dy: i32,
    },
    /// Text is typed.
    Text(String),
    /// A finger does something.
    Touch(Touch),
}

impl Event {
    /// Takes `other` in if both can be one; whether they could.
    pub(crate) fn absorb(&mut self, other: &Self) -> bool {
        match (self, other) {
            (Self::Motion { dx, dy }, Self::Motion { dx: more_x, dy: more_y })
            | (Self::Scroll { dx, dy }, Self::Scroll { dx: more_x, dy: more_y }) => {
                (*dx, *dy) = (dx.saturating_add(*more_x), dy.saturating_add(*more_y));
            }
            (Self::Position { x, y }, Self::Position { x: new_x, y: new_y }) => (*x, *y) = (*new_x, *new_y),
            (Self::Text(text), Self::Text(more)) if text.len() + more.len() <= MOST_TEXT => {
                text.push_str(more)
            }
            (Self::Touch(Touch::Move(finger)), Self::Touch(Touch::Move(newer))) if finger.id == newer.id => {
                *finger = *newer;
            }
            _ => return false,
        }
        true
    }

    /// Whether it is a finger's way while it is down.
    pub(crate) fn is_move(&self) -> bool {
        matches!(self, Self::Touch(Touch::Move(_)))
    }
}
