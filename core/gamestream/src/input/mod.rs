//! What a person does at the client: packets inside control messages, read to [`Event`]s whose values are all in range.
//!
//! ```text
//! packet   size u32 BE = length − 4 ‖ magic u32 LE ‖ body
//! ```

mod pad;
mod pointer;
mod touch;

pub use pad::{Battery, Pad, PadArrival, PadKind, PadMotion, PadState, PadTouch};
pub use pointer::{Button, Key};
pub use touch::{Contact, Pen, PenTool, Touch, TouchPhase};

use crate::fields::Fields;
use arrayvec::ArrayString;

/// Bytes of one text packet.
pub const MAX_TEXT: usize = 32;

/// Something that happened. Keys and buttons are Windows' virtual key codes and the client's numbers; what they are on this
/// machine is the service's to say.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The pointer moved, in the client's pixels.
    Motion {
        /// To the right.
        dx: i16,
        /// Down.
        dy: i16,
    },
    /// The pointer is at a place, in 1/65,535 of the picture.
    Position {
        /// From the left edge.
        x: u16,
        /// From the top edge.
        y: u16,
    },
    /// A mouse button.
    Button {
        /// Which.
        button: Button,
        /// Whether it went down.
        pressed: bool,
    },
    /// The wheel, in 1/120 of a click.
    Scroll {
        /// To the right.
        dx: i16,
        /// Up.
        dy: i16,
    },
    /// A key.
    Key(Key),
    /// Text to type.
    Text(ArrayString<MAX_TEXT>),
    /// A finger.
    Touch(Touch),
    /// A pen.
    Pen(Pen),
    /// Rumble may be sent.
    EnableHaptics,
    /// What a Pad's buttons and axes are now.
    Pad(PadState),
    /// What a Pad is.
    PadArrival(PadArrival),
    /// A finger on a Pad.
    PadTouch(PadTouch),
    /// How a Pad moves.
    PadMotion(PadMotion),
    /// How long a Pad will last.
    PadBattery {
        /// Which.
        pad: Pad,
        /// How it does.
        state: Battery,
        /// 0 to 100, if it is known.
        percent: Option<u8>,
    },
}

/// Why a packet is no event. It is dropped and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// Its length is not what it says, or too short for its kind.
    #[error("an input packet of {got} bytes contradicts itself")]
    Length {
        /// Bytes there.
        got: usize,
    },
    /// No known kind.
    #[error("an input packet of unknown kind {magic:#x}")]
    Unknown {
        /// What it says.
        magic: u32,
    },
    /// A value out of its range.
    #[error("an input packet whose {field} is out of range")]
    Range {
        /// Which value.
        field: &'static str,
    },
    /// A number that is none, or without end.
    #[error("an input packet whose {field} is not finite")]
    NotFinite {
        /// Which value.
        field: &'static str,
    },
    /// Text that is no UTF-8, or has nothing to type.
    #[error("a text packet that holds no text")]
    Text,
}

impl Event {
    /// Reads one packet.
    ///
    /// # Errors
    /// [`InputError`].
    pub fn parse(packet: &[u8]) -> Result<Self, InputError> {
        let length = InputError::Length { got: packet.len() };
        let mut fields = Fields(packet);
        let (size, magic) = (fields.u32_be().ok_or(length)?, fields.u32().ok_or(length)?);
        if usize::try_from(size).ok() != packet.len().checked_sub(4) {
            return Err(length);
        }
        let body = fields;
        let event = match magic {
            0x07 => pointer::motion(body),
            0x05 => pointer::position(body),
            0x08 => pointer::button(body, true),
            0x09 => pointer::button(body, false),
            0x0a => pointer::scroll(body),
            0x5500_0001 => pointer::scroll_sideways(body),
            0x03 => pointer::key(body, true),
            0x04 => pointer::key(body, false),
            0x17 => Some(text(body.0)),
            0x0c => pad::state(body),
            0x0d => Some(Ok(Self::EnableHaptics)),
            0x5500_0002 => touch::touch(body),
            0x5500_0003 => touch::pen(body),
            0x5500_0004 => pad::arrival(body),
            0x5500_0005 => pad::touch(body),
            0x5500_0006 => pad::motion(body),
            0x5500_0007 => pad::battery(body),
            magic => Some(Err(InputError::Unknown { magic })),
        };
        event.ok_or(length)?
    }
}

/// A parser finds too few bytes (`None`), a value that cannot be, or an event.
type Parsed = Option<Result<Event, InputError>>;

fn text(bytes: &[u8]) -> Result<Event, InputError> {
    let text = std::str::from_utf8(bytes).map_err(|_| InputError::Text)?;
    if text.is_empty() || text.contains('\0') {
        return Err(InputError::Text);
    }
    ArrayString::from(text).map(Event::Text).map_err(|_| InputError::Range { field: "text" })
}

/// A number that is one.
fn finite(field: &'static str, value: f32) -> Result<f32, InputError> {
    if value.is_finite() { Ok(value) } else { Err(InputError::NotFinite { field }) }
}

/// A part of something, pulled to the nearest end.
fn share(field: &'static str, value: f32) -> Result<f32, InputError> {
    finite(field, value).map(|value| value.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests;
