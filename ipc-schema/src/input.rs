//! The link between transportd (writes) and inputd (reads).
//!
//! The held set and the fingers that are down are State: inputd converges to them by difference, so that no key and no finger
//! sticks when a message or a stage dies. Motion and scrolling are Samples; text is Once. Keys and buttons are Linux evdev codes.

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

use crate::{Delivery, LinkMessage, failure::Failure};

/// Keys and buttons that may be held at once.
pub const MAX_HELD: usize = 32;

/// In a key's code: it is the key that types what the rest of the code, a place, types on a US keyboard; the place itself where
/// there is no such key.
pub const BY_MEANING: u16 = 0x8000;

/// Fingers that may be down at once: a person's.
pub const MAX_FINGERS: usize = 10;

/// Longest text of one message in bytes.
pub const MAX_TEXT: usize = 256;

/// From transportd to inputd.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToInput {
    /// All keys and buttons that are down now; latest wins.
    Held(ArrayVec<u16, MAX_HELD>),
    /// Relative pointer motion in pixels × 256.
    Motion {
        /// To the right.
        dx: i32,
        /// Down.
        dy: i32,
    },
    /// Absolute pointer position in 1/65,535 of the Output.
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
    /// Text to type, UTF-8.
    Text {
        /// Rises by one per text of a session.
        number: u64,
        /// At most [`MAX_TEXT`] bytes.
        text: String,
    },
    /// All fingers that are down now; latest wins.
    Fingers {
        /// Each once.
        down: ArrayVec<Finger, MAX_FINGERS>,
        /// Those that are not among them any more did not go up: what they began is no touch after all.
        cancels: bool,
        /// They came down before this: one that inputd does not know is of an inputd or an Output of before, and ignored until it
        /// comes down anew.
        again: bool,
    },
}

/// A finger that is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finger {
    /// The client's number of it, free again when it is up.
    pub id: u32,
    /// From the left edge, in 1/65,535 of the Output.
    pub x: u16,
    /// From the top edge, likewise.
    pub y: u16,
    /// 1/65,535 of the hardest; 0 where the client does not know.
    pub pressure: u16,
}

/// From inputd to transportd.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FromInput {
    /// Input arrives at the Output.
    Ready {
        /// Fingers, too.
        touch: bool,
    },
    /// Input goes nowhere, and why.
    Failed(Failure),
    /// inputd ends in an orderly way: wait for its next owner before opening again.
    Closing,
}

impl LinkMessage for ToInput {
    fn delivery(&self) -> Delivery {
        match self {
            Self::Held(_) | Self::Fingers { .. } => Delivery::State,
            Self::Motion { .. } | Self::Position { .. } | Self::Scroll { .. } => Delivery::Sample,
            Self::Text { .. } => Delivery::Once,
        }
    }
}

impl LinkMessage for FromInput {
    fn delivery(&self) -> Delivery {
        Delivery::State
    }
}
