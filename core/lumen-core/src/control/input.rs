//! What a person did at the client.

use super::MalformedMessage;
use super::fields::{Reader, Writer};
use super::messages::MAX_TEXT_LEN;

/// In a key's code: not the place counts, but what the key means.
pub const BY_MEANING: u16 = 0x8000;

/// What a person did at the client. Its `Debug` tells the kind only, because what is typed must never be logged.
#[derive(Clone, PartialEq, Eq)]
pub enum Input {
    /// A key, by its Linux evdev code.
    Key {
        /// `KEY_*`: its place. With [`BY_MEANING`], the key that types at the host what this one types on a US keyboard.
        code: u16,
        /// Down.
        pressed: bool,
    },
    /// A pointer button, by its Linux evdev code.
    Button {
        /// `BTN_*`.
        code: u16,
        /// Down.
        pressed: bool,
    },
    /// The pointer moved by pixels of the mode.
    Motion {
        /// To the right.
        dx: i32,
        /// Down.
        dy: i32,
    },
    /// The pointer went to a place, in 1/65,535 of the picture.
    MotionTo {
        /// From the left.
        x: u16,
        /// From the top.
        y: u16,
    },
    /// The wheel, in 1/120 of a notch.
    Scroll {
        /// To the right.
        dx: i32,
        /// Down.
        dy: i32,
    },
    /// Text as such, for input methods.
    Text(String),
    /// All keys and buttons that are down, by their codes; at most 255 are said. What else was down is not any more.
    Held(Vec<u16>),
    /// All fingers that are down; at most 255 are said. What else was down is not any more.
    Fingers {
        /// Each once.
        down: Vec<Finger>,
        /// Those that are not among them any more did not go up: what they began is no touch after all.
        cancels: bool,
    },
}

/// A finger on the picture.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Finger {
    /// The client's number of it, free again when it is up.
    pub id: u32,
    /// From the left, in 1/65,535 of the picture.
    pub x: u16,
    /// From the top, likewise.
    pub y: u16,
    /// 1/65,535 of the hardest; 0 where the client does not know.
    pub pressure: u16,
}

impl std::fmt::Debug for Finger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Finger(…)")
    }
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Key { .. } => "Key(…)",
            Self::Button { .. } => "Button(…)",
            Self::Motion { .. } => "Motion(…)",
            Self::MotionTo { .. } => "MotionTo(…)",
            Self::Scroll { .. } => "Scroll(…)",
            Self::Text(_) => "Text(…)",
            Self::Held(_) => "Held(…)",
            Self::Fingers { .. } => "Fingers(…)",
        })
    }
}

impl Input {
    /// The evdev code of a key or button, whose numbers do not overlap; `None` for anything else.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Key { code, .. } | Self::Button { code, .. } => Some(*code),
            Self::Motion { .. }
            | Self::MotionTo { .. }
            | Self::Scroll { .. }
            | Self::Text(_)
            | Self::Held(_)
            | Self::Fingers { .. } => None,
        }
    }

    /// kind u8 ‖ its fields
    pub(super) fn write(&self, to: &mut Writer<'_>) {
        match self {
            Self::Key { code, pressed } => to.u8(1).u16(*code).u8((*pressed).into()),
            Self::Button { code, pressed } => to.u8(2).u16(*code).u8((*pressed).into()),
            Self::Motion { dx, dy } => to.u8(3).i32(*dx).i32(*dy),
            Self::MotionTo { x, y } => to.u8(4).u16(*x).u16(*y),
            Self::Scroll { dx, dy } => to.u8(5).i32(*dx).i32(*dy),
            Self::Text(text) => to.u8(6).text(text, MAX_TEXT_LEN),
            Self::Held(codes) => {
                let count = u8::try_from(codes.len()).unwrap_or(u8::MAX);
                codes.iter().take(count.into()).fold(to.u8(7).u8(count), |to, code| to.u16(*code))
            }
            Self::Fingers { down, cancels } => {
                let count = u8::try_from(down.len()).unwrap_or(u8::MAX);
                let to = to.u8(8).u8((*cancels).into()).u8(count);
                let finger = |to, finger: &Finger| finger.write(to);
                down.iter().take(count.into()).fold(to, finger)
            }
        };
    }

    /// `None` if the kind is a later version's.
    pub(super) fn read(from: &mut Reader<'_>) -> Result<Option<Self>, MalformedMessage> {
        Ok(Some(match from.u8()? {
            1 => Self::Key { code: from.u16()?, pressed: from.flag()? },
            2 => Self::Button { code: from.u16()?, pressed: from.flag()? },
            3 => Self::Motion { dx: from.i32()?, dy: from.i32()? },
            4 => Self::MotionTo { x: from.u16()?, y: from.u16()? },
            5 => Self::Scroll { dx: from.i32()?, dy: from.i32()? },
            6 => Self::Text(from.text(MAX_TEXT_LEN)?),
            7 => {
                let count = from.u8()?;
                Self::Held((0..count).map(|_| from.u16()).collect::<Result<_, _>>()?)
            }
            8 => {
                let (cancels, count) = (from.flag()?, from.u8()?);
                let down = (0..count).map(|_| Finger::read(from)).collect::<Result<_, _>>()?;
                Self::Fingers { down, cancels }
            }
            _ => return Ok(None),
        }))
    }
}

impl Finger {
    /// id u32 ‖ x u16 ‖ y u16 ‖ pressure u16
    fn write<'a, 'b>(&self, to: &'a mut Writer<'b>) -> &'a mut Writer<'b> {
        to.u32(self.id).u16(self.x).u16(self.y).u16(self.pressure)
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, MalformedMessage> {
        Ok(Self { id: from.u32()?, x: from.u16()?, y: from.u16()?, pressure: from.u16()? })
    }
}
