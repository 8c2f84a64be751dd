//! Mouse and keyboard.

use super::{Event, InputError, Parsed};
use crate::fields::Fields;

/// A mouse button.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Button {
    /// The first.
    Left,
    /// The wheel's.
    Middle,
    /// The second.
    Right,
    /// The one for going back.
    Back,
    /// The one for going forth.
    Forward,
}

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Windows' virtual key code, 1 to 254.
    pub code: u8,
    /// Whether it went down.
    pub pressed: bool,
    /// Shift is held.
    pub shift: bool,
    /// Ctrl is held.
    pub ctrl: bool,
    /// Alt is held.
    pub alt: bool,
    /// The logo key is held.
    pub meta: bool,
    /// The code is by the key's place on a US keyboard, whatever is printed on it.
    pub by_place: bool,
}

pub(super) fn motion(mut body: Fields<'_>) -> Parsed {
    Some(Ok(Event::Motion { dx: body.i16_be()?, dy: body.i16_be()? }))
}

/// x ‖ y ‖ unused ‖ width − 1 ‖ height − 1, 16 bits big-endian each.
pub(super) fn position(mut body: Fields<'_>) -> Parsed {
    let (x, y, _) = (body.i16_be()?, body.i16_be()?, body.i16_be()?);
    let (right, bottom) = (body.i16_be()?, body.i16_be()?);
    let at = |value, last, field| match part(value, last) {
        Some(part) => Ok(part),
        None => Err(InputError::Range { field }),
    };
    Some(at(x, right, "width").and_then(|x| Ok(Event::Position { x, y: at(y, bottom, "height")? })))
}

/// `value` of 0 to `last` in 1/65,535, pulled into the picture; `None` for a picture of one pixel or none.
fn part(value: i16, last: i16) -> Option<u16> {
    let last = u32::try_from(last).ok().filter(|&last| last > 0)?;
    let value = u32::try_from(value).unwrap_or(0).min(last);
    u16::try_from((value * 65_535 + last / 2) / last).ok()
}

pub(super) fn button(mut body: Fields<'_>, pressed: bool) -> Parsed {
    let button = match body.u8()? {
        1 => Button::Left,
        2 => Button::Middle,
        3 => Button::Right,
        4 => Button::Back,
        5 => Button::Forward,
        _ => return Some(Err(InputError::Range { field: "button" })),
    };
    Some(Ok(Event::Button { button, pressed }))
}

pub(super) fn scroll(mut body: Fields<'_>) -> Parsed {
    Some(Ok(Event::Scroll { dx: 0, dy: body.i16_be()? }))
}

pub(super) fn scroll_sideways(mut body: Fields<'_>) -> Parsed {
    Some(Ok(Event::Scroll { dx: body.i16_be()?, dy: 0 }))
}

/// flags u8 ‖ code u16 LE, whose high byte is 0x80 or 0 ‖ modifiers u8 ‖ 0 u16.
pub(super) fn key(mut body: Fields<'_>, pressed: bool) -> Parsed {
    let (flags, [code, high], modifiers) = (body.u8()?, body.array()?, body.u8()?);
    if !matches!(high, 0 | 0x80) || matches!(code, 0 | 0xff) {
        return Some(Err(InputError::Range { field: "key" }));
    }
    let has = |bit| modifiers & bit != 0;
    Some(Ok(Event::Key(Key {
        code,
        pressed,
        shift: has(1),
        ctrl: has(2),
        alt: has(4),
        meta: has(8),
        by_place: flags & 1 == 0,
    })))
}
