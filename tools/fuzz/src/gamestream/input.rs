//! Each input packet.

use lumen_gamestream::control::Sensor;
use lumen_gamestream::input::{Battery, Button, Contact, Event, MAX_TEXT, PadKind, PenTool, TouchPhase};

use crate::Script;

const MAGICS: [u32; 16] = [
    0x07,
    0x05,
    0x08,
    0x09,
    0x0a,
    0x5500_0001,
    0x03,
    0x04,
    0x17,
    0x0c,
    0x0d,
    0x5500_0002,
    0x5500_0003,
    0x5500_0004,
    0x5500_0005,
    0x5500_0006,
];

/// A packet with the head of the kind that the first byte names, or of any bytes.
pub(super) fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let kind = usize::from(script.u8());
    let body = script.rest();
    let packet = match (MAGICS.get(kind), kind) {
        (Some(magic), _) => packet(*magic, body),
        (None, 16) => packet(0x5500_0007, body),
        _ => body.to_vec(),
    };
    if let Ok(event) = Event::parse(&packet) {
        check(&event);
        if let Some(again) = written(&event) {
            assert_eq!(Event::parse(&again), Ok(event));
        }
    }
    assert!(Event::parse(&[&packet[..], b"\0"].concat()).is_err(), "a byte too many");
}

fn packet(magic: u32, body: &[u8]) -> Vec<u8> {
    let size = (4 + body.len()) as u32;
    [&size.to_be_bytes()[..], &magic.to_le_bytes(), body].concat()
}

/// All values are in their ranges: nothing behind this looks again.
pub(super) fn check(event: &Event) {
    let share = |value: f32| (0.0..=1.0).contains(&value);
    let contact = |contact: &Contact| {
        assert!(share(contact.x) && share(contact.y) && share(contact.pressure));
        assert!(share(contact.area.0) && share(contact.area.1));
        assert!(contact.rotation.is_none_or(|degrees| degrees < 360));
    };
    match event {
        Event::Key(key) => assert!((1..=254).contains(&key.code)),
        Event::Text(text) => assert!((1..=MAX_TEXT).contains(&text.len()) && !text.contains('\0')),
        Event::Touch(touch) => contact(&touch.contact),
        Event::Pen(pen) => {
            contact(&pen.contact);
            assert!(pen.tilt.is_none_or(|tilt| tilt <= 90));
        }
        Event::Pad(state) => assert!(state.pad.number() < 16),
        Event::PadArrival(arrival) => assert!(arrival.pad.number() < 16),
        Event::PadTouch(touch) => {
            assert!(touch.pad.number() < 16 && touch.surface <= 1);
            assert!(share(touch.x) && share(touch.y) && share(touch.pressure));
        }
        Event::PadMotion(motion) => {
            assert!(motion.pad.number() < 16 && motion.axes.iter().all(|axis| axis.is_finite()));
        }
        Event::PadBattery { pad, percent, .. } => {
            assert!(pad.number() < 16 && percent.is_none_or(|percent| percent <= 100));
        }
        Event::Motion { .. }
        | Event::Position { .. }
        | Event::Button { .. }
        | Event::Scroll { .. }
        | Event::EnableHaptics => {}
    }
}

/// The packet of an event; `None` for a position, whose part of the picture is no whole number of pixels.
fn written(event: &Event) -> Option<Vec<u8>> {
    Some(match event {
        Event::Motion { dx, dy } => packet(0x07, &[dx.to_be_bytes(), dy.to_be_bytes()].concat()),
        Event::Position { .. } => return None,
        Event::Button { button, pressed } => {
            let number = match button {
                Button::Left => 1,
                Button::Middle => 2,
                Button::Right => 3,
                Button::Back => 4,
                Button::Forward => 5,
            };
            packet(if *pressed { 0x08 } else { 0x09 }, &[number])
        }
        Event::Scroll { dx: 0, dy } => packet(0x0a, &dy.to_be_bytes()),
        Event::Scroll { dx, .. } => packet(0x5500_0001, &dx.to_be_bytes()),
        Event::Key(key) => {
            let bits = [key.shift, key.ctrl, key.alt, key.meta];
            let modifiers = bits.iter().rev().fold(0, |sum, bit| sum << 1 | u8::from(*bit));
            let body = [u8::from(!key.by_place), key.code, 0x80, modifiers, 0, 0];
            packet(if key.pressed { 0x03 } else { 0x04 }, &body)
        }
        Event::Text(text) => packet(0x17, text.as_bytes()),
        Event::EnableHaptics => packet(0x0d, &[1, 0]),
        Event::Touch(_) | Event::Pen(_) => of_contact(event)?,
        pad => of_pad(pad)?,
    })
}

/// A finger or a pen.
fn of_contact(event: &Event) -> Option<Vec<u8>> {
    Some(match event {
        Event::Touch(touch) => {
            let Contact { x, y, pressure, area: (major, minor), .. } = touch.contact;
            let head = [&[phase(touch.contact.phase), 0][..], &rotation(&touch.contact)].concat();
            packet(
                0x5500_0002,
                &[&head, &touch.finger.to_le_bytes()[..], &floats(&[x, y, pressure, major, minor])].concat(),
            )
        }
        Event::Pen(pen) => {
            let Contact { x, y, pressure, area: (major, minor), .. } = pen.contact;
            let tool = match pen.tool {
                PenTool::Unknown => 0,
                PenTool::Pen => 1,
                PenTool::Eraser => 2,
            };
            let head = [phase(pen.contact.phase), tool, pen.buttons, 0];
            let tilt = [pen.tilt.unwrap_or(0xff), 0];
            let (at, size) = (floats(&[x, y, pressure]), floats(&[major, minor]));
            packet(0x5500_0003, &[&head[..], &at, &rotation(&pen.contact), &tilt, &size].concat())
        }
        _ => return None,
    })
}

fn of_pad(event: &Event) -> Option<Vec<u8>> {
    Some(match event {
        Event::Pad(state) => {
            let number = u16::from(state.pad.number());
            let mut body: Vec<u8> = [0x1a, number, state.plugged, 0x14, state.buttons as u16]
                .iter()
                .flat_map(|word| word.to_le_bytes())
                .collect();
            body.extend(state.triggers);
            body.extend(state.sticks.iter().flat_map(|axis| axis.to_le_bytes()));
            body.extend(
                [0x9c, (state.buttons >> 16) as u16, 0x55].iter().flat_map(|word| word.to_le_bytes()),
            );
            packet(0x0c, &body)
        }
        Event::PadArrival(arrival) => {
            let kind = match arrival.kind {
                PadKind::Unknown => 0,
                PadKind::Xbox => 1,
                PadKind::PlayStation => 2,
                PadKind::Nintendo => 3,
                PadKind::Steam => 4,
            };
            let head = [arrival.pad.number(), kind];
            packet(
                0x5500_0004,
                &[&head[..], &arrival.capabilities.to_le_bytes(), &arrival.buttons.to_le_bytes()].concat(),
            )
        }
        Event::PadTouch(touch) => {
            let head = [touch.pad.number(), phase(touch.phase), 0, touch.surface];
            let at = floats(&[touch.x, touch.y, touch.pressure]);
            packet(0x5500_0005, &[&head[..], &touch.finger.to_le_bytes(), &at].concat())
        }
        Event::PadMotion(motion) => {
            let sensor = match motion.sensor {
                Sensor::Accelerometer => 1,
                Sensor::Gyroscope => 2,
            };
            packet(0x5500_0006, &[&[motion.pad.number(), sensor, 0, 0][..], &floats(&motion.axes)].concat())
        }
        Event::PadBattery { pad, state, percent } => {
            let state = match state {
                Battery::Unknown => 0,
                Battery::Absent => 1,
                Battery::Discharging => 2,
                Battery::Charging => 3,
                Battery::NotCharging => 4,
                Battery::Full => 5,
            };
            packet(0x5500_0007, &[pad.number(), state, percent.unwrap_or(0xff), 0])
        }
        _ => return None,
    })
}

fn phase(phase: TouchPhase) -> u8 {
    match phase {
        TouchPhase::Hover => 0,
        TouchPhase::Down => 1,
        TouchPhase::Up => 2,
        TouchPhase::Move => 3,
        TouchPhase::Cancel => 4,
        TouchPhase::ButtonOnly => 5,
        TouchPhase::HoverLeave => 6,
        TouchPhase::CancelAll => 7,
    }
}

fn rotation(contact: &Contact) -> [u8; 2] {
    contact.rotation.unwrap_or(0xffff).to_le_bytes()
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
