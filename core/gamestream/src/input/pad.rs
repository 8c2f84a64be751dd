//! Game controllers.

use super::touch::TouchPhase;
use super::{Event, InputError, Parsed, finite, share};
use crate::control::Sensor;
use crate::fields::Fields;

/// The client's number of a Pad, 0 to 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pad(u8);

impl Pad {
    /// Its number.
    pub fn number(self) -> u8 {
        self.0
    }

    fn of(number: u16) -> Result<Self, InputError> {
        match u8::try_from(number) {
            Ok(number @ 0..16) => Ok(Self(number)),
            _ => Err(InputError::Range { field: "pad" }),
        }
    }
}

/// Buttons and axes of a Pad, and which Pads there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PadState {
    /// Which.
    pub pad: Pad,
    /// One bit for each Pad that is plugged in. One whose bit is gone was unplugged.
    pub plugged: u16,
    /// One bit for each button: up 1, down 2, left 4, right 8, start 0x10, back 0x20, sticks 0x40 and 0x80, shoulders 0x100
    /// and 0x200, guide 0x400, A 0x1000, B 0x2000, X 0x4000, Y 0x8000, paddles 0x1_0000 to 0x8_0000, touch pad 0x10_0000,
    /// misc 0x20_0000.
    pub buttons: u32,
    /// Left and right.
    pub triggers: [u8; 2],
    /// Left x, left y, right x, right y; up is positive.
    pub sticks: [i16; 4],
}

/// Whose Pad it looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PadKind {
    /// The client does not say.
    Unknown,
    /// Microsoft's.
    Xbox,
    /// Sony's.
    PlayStation,
    /// Nintendo's.
    Nintendo,
    /// Valve's.
    Steam,
}

/// What a Pad is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PadArrival {
    /// Which.
    pub pad: Pad,
    /// Whose it looks like.
    pub kind: PadKind,
    /// One bit for each: analog triggers 1, rumble 2, trigger rumble 4, touch pad 8, accelerometer 0x10, gyroscope 0x20,
    /// battery 0x40, light 0x80, two touch pads 0x100.
    pub capabilities: u16,
    /// The buttons it has, as in [`PadState::buttons`].
    pub buttons: u32,
}

/// A finger on a Pad's touch pad.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PadTouch {
    /// Which Pad.
    pub pad: Pad,
    /// What the finger does.
    pub phase: TouchPhase,
    /// Which touch pad of it.
    pub surface: u8,
    /// Which finger.
    pub finger: u32,
    /// 0 to 1.
    pub x: f32,
    /// 0 to 1.
    pub y: f32,
    /// 0 to 1.
    pub pressure: f32,
}

/// How a Pad moves, in SDL's axes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PadMotion {
    /// Which.
    pub pad: Pad,
    /// Of what.
    pub sensor: Sensor,
    /// In the sensor's unit. All 0 of a gyroscope means that it is still.
    pub axes: [f32; 3],
}

/// How a Pad's battery does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Battery {
    /// The client does not say.
    Unknown,
    /// There is none.
    Absent,
    /// It becomes less.
    Discharging,
    /// It becomes more.
    Charging,
    /// It is plugged in and becomes no more.
    NotCharging,
    /// It is full.
    Full,
}

/// 0x1a ‖ pad ‖ mask ‖ 0x14 ‖ buttons u16 ‖ two triggers u8 ‖ four axes i16 ‖ 0x9c ‖ more buttons ‖ 0x55 u16, little-endian.
pub(super) fn state(mut body: Fields<'_>) -> Parsed {
    let (_, number, plugged, _) = (body.u16()?, body.u16()?, body.u16()?, body.u16()?);
    let (low, triggers) = (body.u16()?, body.array()?);
    let sticks = [body.i16()?, body.i16()?, body.i16()?, body.i16()?];
    let (_, high, _) = (body.u16()?, body.u16()?, body.u16()?);
    let buttons = u32::from(high) << 16 | u32::from(low);
    Some(Pad::of(number).map(|pad| Event::Pad(PadState { pad, plugged, buttons, triggers, sticks })))
}

pub(super) fn arrival(mut body: Fields<'_>) -> Parsed {
    let (number, kind, capabilities, buttons) = (body.u8()?, body.u8()?, body.u16()?, body.u32()?);
    let kind = match kind {
        1 => PadKind::Xbox,
        2 => PadKind::PlayStation,
        3 => PadKind::Nintendo,
        4 => PadKind::Steam,
        _ => PadKind::Unknown,
    };
    let pad = Pad::of(number.into());
    Some(pad.map(|pad| Event::PadArrival(PadArrival { pad, kind, capabilities, buttons })))
}

pub(super) fn touch(mut body: Fields<'_>) -> Parsed {
    let (number, phase, _, surface) = (body.u8()?, body.u8()?, body.u8()?, body.u8()?);
    let (finger, x, y, pressure) = (body.u32()?, body.f32()?, body.f32()?, body.f32()?);
    let read = || {
        if surface > 1 {
            return Err(InputError::Range { field: "touch pad" });
        }
        Ok(Event::PadTouch(PadTouch {
            pad: Pad::of(number.into())?,
            phase: TouchPhase::of(phase)?,
            surface,
            finger,
            x: share("x", x)?,
            y: share("y", y)?,
            pressure: share("pressure", pressure)?,
        }))
    };
    Some(read())
}

pub(super) fn motion(mut body: Fields<'_>) -> Parsed {
    let (number, sensor, _) = (body.u8()?, body.u8()?, body.u16()?);
    let axes = [body.f32()?, body.f32()?, body.f32()?];
    let sensor = match sensor {
        1 => Sensor::Accelerometer,
        2 => Sensor::Gyroscope,
        _ => return Some(Err(InputError::Range { field: "sensor" })),
    };
    if let Some(error) = axes.iter().find_map(|&axis| finite("axis", axis).err()) {
        return Some(Err(error));
    }
    Some(Pad::of(number.into()).map(|pad| Event::PadMotion(PadMotion { pad, sensor, axes })))
}

pub(super) fn battery(mut body: Fields<'_>) -> Parsed {
    let (number, state, percent, _) = (body.u8()?, body.u8()?, body.u8()?, body.u8()?);
    let state = match state {
        0 => Battery::Unknown,
        1 => Battery::Absent,
        2 => Battery::Discharging,
        3 => Battery::Charging,
        4 => Battery::NotCharging,
        5 => Battery::Full,
        _ => return Some(Err(InputError::Range { field: "battery" })),
    };
    let percent = match percent {
        0xff => None,
        0..=100 => Some(percent),
        _ => return Some(Err(InputError::Range { field: "percent" })),
    };
    Some(Pad::of(number.into()).map(|pad| Event::PadBattery { pad, state, percent }))
}
