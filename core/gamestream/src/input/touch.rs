//! Fingers and pens on the picture.

use super::{Event, InputError, Parsed, share};
use crate::fields::Fields;

/// What a finger or a pen does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TouchPhase {
    /// It is near.
    Hover,
    /// It comes down.
    Down,
    /// It goes up.
    Up,
    /// It moves while down.
    Move,
    /// It was no touch after all.
    Cancel,
    /// Only a button changed.
    ButtonOnly,
    /// It is no longer near.
    HoverLeave,
    /// None of them was.
    CancelAll,
}

impl TouchPhase {
    pub(super) fn of(code: u8) -> Result<Self, InputError> {
        match code {
            0 => Ok(Self::Hover),
            1 => Ok(Self::Down),
            2 => Ok(Self::Up),
            3 => Ok(Self::Move),
            4 => Ok(Self::Cancel),
            5 => Ok(Self::ButtonOnly),
            6 => Ok(Self::HoverLeave),
            7 => Ok(Self::CancelAll),
            _ => Err(InputError::Range { field: "touch" }),
        }
    }
}

/// Where and how something touches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contact {
    /// What it does.
    pub phase: TouchPhase,
    /// From the left edge, 0 to 1.
    pub x: f32,
    /// From the top edge, 0 to 1.
    pub y: f32,
    /// Pressure when down, distance when near, 0 to 1.
    pub pressure: f32,
    /// The longer and the shorter axis of what touches, 0 to 1 of the picture, 0 if they are not known.
    pub area: (f32, f32),
    /// Degrees of the longer axis, 0 to 359, if it is known.
    pub rotation: Option<u16>,
}

/// A finger.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Touch {
    /// Which: the client's number.
    pub finger: u32,
    /// Where and how.
    pub contact: Contact,
}

/// What a pen is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PenTool {
    /// The client does not say.
    Unknown,
    /// Its tip.
    Pen,
    /// Its other end.
    Eraser,
}

/// A pen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pen {
    /// Which end.
    pub tool: PenTool,
    /// One bit for each button.
    pub buttons: u8,
    /// Degrees from upright, 0 to 90, if they are known.
    pub tilt: Option<u8>,
    /// Where and how.
    pub contact: Contact,
}

/// 0xffff means that it is not known.
fn rotation(degrees: u16) -> Result<Option<u16>, InputError> {
    match degrees {
        0xffff => Ok(None),
        0..=359 => Ok(Some(degrees)),
        _ => Err(InputError::Range { field: "rotation" }),
    }
}

fn contact(phase: u8, degrees: u16, [x, y, pressure, major, minor]: [f32; 5]) -> Result<Contact, InputError> {
    Ok(Contact {
        phase: TouchPhase::of(phase)?,
        x: share("x", x)?,
        y: share("y", y)?,
        pressure: share("pressure", pressure)?,
        area: (share("area", major)?, share("area", minor)?),
        rotation: rotation(degrees)?,
    })
}

/// phase u8 ‖ 0 u8 ‖ rotation u16 ‖ finger u32 ‖ x ‖ y ‖ pressure ‖ major ‖ minor f32, little-endian.
pub(super) fn touch(mut body: Fields<'_>) -> Parsed {
    let (phase, _, degrees, finger) = (body.u8()?, body.u8()?, body.u16()?, body.u32()?);
    let numbers = [body.f32()?, body.f32()?, body.f32()?, body.f32()?, body.f32()?];
    Some(contact(phase, degrees, numbers).map(|contact| Event::Touch(Touch { finger, contact })))
}

/// phase u8 ‖ tool u8 ‖ buttons u8 ‖ 0 u8 ‖ x ‖ y ‖ pressure f32 ‖ rotation u16 ‖ tilt u8 ‖ 0 u8 ‖ major ‖ minor f32.
pub(super) fn pen(mut body: Fields<'_>) -> Parsed {
    let (phase, tool, buttons, _) = (body.u8()?, body.u8()?, body.u8()?, body.u8()?);
    let (x, y, pressure) = (body.f32()?, body.f32()?, body.f32()?);
    let (degrees, tilt, _) = (body.u16()?, body.u8()?, body.u8()?);
    let (major, minor) = (body.f32()?, body.f32()?);
    let tool = match tool {
        0 => PenTool::Unknown,
        1 => PenTool::Pen,
        2 => PenTool::Eraser,
        _ => return Some(Err(InputError::Range { field: "tool" })),
    };
    let tilt = match tilt {
        0xff => None,
        0..=90 => Some(tilt),
        _ => return Some(Err(InputError::Range { field: "tilt" })),
    };
    let contact = contact(phase, degrees, [x, y, pressure, major, minor]);
    Some(contact.map(|contact| Event::Pen(Pen { tool, buttons, tilt, contact })))
}
