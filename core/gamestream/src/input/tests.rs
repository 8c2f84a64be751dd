use super::*;
use crate::control::Sensor;
use proptest::prelude::*;

/// A packet of `magic`, as clients frame it. All bytes here are by gamestream.md 4.10.
fn packet(magic: u32, body: &[u8]) -> Vec<u8> {
    let size = (body.len() + 4) as u32;
    [&size.to_be_bytes()[..], &magic.to_le_bytes(), body].concat()
}

fn read(magic: u32, body: &[u8]) -> Result<Event, InputError> {
    Event::parse(&packet(magic, body))
}

fn range(field: &'static str) -> Result<Event, InputError> {
    Err(InputError::Range { field })
}

#[test]
fn mouse_packets_are_read() {
    assert_eq!(read(0x07, &[0xff, 0xfe, 0, 3]), Ok(Event::Motion { dx: -2, dy: 3 }));
    assert_eq!(read(0x08, &[5]), Ok(Event::Button { button: Button::Forward, pressed: true }));
    assert_eq!(read(0x09, &[2]), Ok(Event::Button { button: Button::Middle, pressed: false }));
    assert_eq!(read(0x08, &[0]), range("button"));
    assert_eq!(read(0x08, &[6]), range("button"));
    assert_eq!(read(0x0a, &[0xff, 0x88, 0xff, 0x88, 0, 0]), Ok(Event::Scroll { dx: 0, dy: -120 }));
    assert_eq!(read(0x5500_0001, &[0, 60]), Ok(Event::Scroll { dx: 60, dy: 0 }));
    assert_eq!(read(0x0a, &[0x80, 0, 0x80, 0, 0, 0]), Ok(Event::Scroll { dx: 0, dy: i16::MIN }));
    assert_eq!(read(0x5500_0001, &[0x7f, 0xff]), Ok(Event::Scroll { dx: i16::MAX, dy: 0 }));
}

// Sabotage: divide by width − 1 unlooked at, or let a place beyond the edge through.
#[test]
fn a_place_is_a_part_of_the_picture() {
    let at = |x: i16, y: i16, right: i16, bottom: i16| {
        let words = [x, y, 0, right, bottom];
        read(0x05, &words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>())
    };
    assert_eq!(at(0, 0, 1279, 719), Ok(Event::Position { x: 0, y: 0 }));
    assert_eq!(at(1279, 719, 1279, 719), Ok(Event::Position { x: 65_535, y: 65_535 }));
    assert_eq!(at(-5, 30_000, 1279, 719), Ok(Event::Position { x: 0, y: 65_535 }));
    assert_eq!(at(1, 1, 2, 2), Ok(Event::Position { x: 32_768, y: 32_768 }));
    assert_eq!(at(0, 0, 0, 719), range("width"));
    assert_eq!(at(0, 0, 1279, 0), range("height"));
    assert_eq!(at(0, 0, -1, i16::MIN), range("width"));
}

#[test]
fn key_packets_are_read() {
    let Ok(Event::Key(key)) = read(0x03, &[0, 0x41, 0x80, 0b1010, 0, 0]) else { panic!() };
    assert_eq!((key.code, key.pressed, key.by_place), (0x41, true, true));
    assert_eq!((key.shift, key.ctrl, key.alt, key.meta), (false, true, false, true));
    let Ok(Event::Key(up)) = read(0x04, &[1, 0x41, 0, 0, 0, 0]) else { panic!() };
    assert_eq!((up.pressed, up.by_place), (false, false));
    for (low, high) in [(0, 0), (0, 0x80), (0xff, 0x80), (0x41, 1), (0x41, 0xff)] {
        assert_eq!(read(0x03, &[0, low, high, 0, 0, 0]), range("key"));
    }
}

#[test]
fn text_packets_are_read() {
    assert_eq!(read(0x17, "é".as_bytes()), Ok(Event::Text(ArrayString::from("é").unwrap())));
    assert_eq!(read(0x17, &[0xc3]), Err(InputError::Text), "half a character");
    assert_eq!(read(0x17, &[0xed, 0xa0, 0x80]), Err(InputError::Text), "half a pair of UTF-16");
    assert_eq!(read(0x17, &[]), Err(InputError::Text));
    assert_eq!(read(0x17, &[0]), Err(InputError::Text));
    assert_eq!(read(0x17, &[b'a'; 33]), range("text"));
}

// Sabotage: let NaN through, which any clamp keeps.
#[test]
fn touch_and_pen_packets_are_read() {
    let floats = |numbers: &[f32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>();
    let touch = |phase: u8, degrees: u16, numbers: &[f32]| {
        let head = [&[phase, 0][..], &degrees.to_le_bytes(), &9u32.to_le_bytes()].concat();
        read(0x5500_0002, &[head, floats(numbers)].concat())
    };
    let Ok(Event::Touch(finger)) = touch(1, 0xffff, &[0.25, 2.0, 0.5, 0.0, 0.0]) else { panic!() };
    assert_eq!((finger.finger, finger.contact.phase), (9, TouchPhase::Down));
    assert_eq!((finger.contact.x, finger.contact.y, finger.contact.rotation), (0.25, 1.0, None));
    let Ok(Event::Touch(far)) = touch(1, 0, &[1e30, -1e30, 1e30, 1e30, -1e30]) else { panic!() };
    assert_eq!((far.contact.x, far.contact.y, far.contact.pressure), (1.0, 0.0, 1.0));
    assert_eq!(touch(8, 0, &[0.0; 5]), range("touch"));
    assert_eq!(touch(1, 360, &[0.0; 5]), range("rotation"));
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for (place, field) in ["x", "y", "pressure", "area", "area"].into_iter().enumerate() {
            let mut numbers = [0.5; 5];
            numbers[place] = bad;
            assert_eq!(touch(1, 0, &numbers), Err(InputError::NotFinite { field }));
        }
    }
    let pen = |tool: u8, tilt: u8| {
        let head =
            [&[3, tool, 1, 0][..], &floats(&[0.5, 0.5, 1.0]), &90u16.to_le_bytes(), &[tilt, 0]].concat();
        read(0x5500_0003, &[head, floats(&[0.0, 0.0])].concat())
    };
    let Ok(Event::Pen(drawn)) = pen(2, 0xff) else { panic!() };
    assert_eq!((drawn.tool, drawn.tilt, drawn.contact.rotation), (PenTool::Eraser, None, Some(90)));
    assert_eq!(pen(3, 0), range("tool"));
    assert_eq!(pen(1, 91), range("tilt"));
}

#[test]
fn pad_packets_are_read() {
    let state = |number: u8| {
        read(
            0x0c,
            &[
                0x1a, 0, number, 0, 3, 0, 0x14, 0, 1, 0x10, 200, 100, 0xff, 0x7f, 0, 0x80, 1, 0, 2, 0, 0x9c,
                0, 0x10, 0, 0x55, 0,
            ],
        )
    };
    let Ok(Event::Pad(pad)) = state(15) else { panic!() };
    assert_eq!((pad.pad.number(), pad.plugged, pad.buttons), (15, 3, 0x0010_1001));
    assert_eq!((pad.triggers, pad.sticks), ([200, 100], [i16::MAX, i16::MIN, 1, 2]));
    assert_eq!(state(16), range("pad"));
    assert_eq!(read(0x0d, &[1, 0]), Ok(Event::EnableHaptics));
    let Ok(Event::PadArrival(arrival)) = read(0x5500_0004, &[2, 2, 0x3f, 1, 1, 2, 0, 0]) else { panic!() };
    assert_eq!((arrival.kind, arrival.capabilities, arrival.buttons), (PadKind::PlayStation, 0x13f, 0x201));
    assert_eq!(read(0x5500_0004, &[16, 2, 0, 0, 0, 0, 0, 0]), range("pad"));
    let motion = |sensor: u8, z: f32| {
        let axes: Vec<u8> = [1.0, -2.0, z].iter().flat_map(|axis: &f32| axis.to_le_bytes()).collect();
        read(0x5500_0006, &[vec![0, sensor, 0, 0], axes].concat())
    };
    let Ok(Event::PadMotion(moved)) = motion(2, 0.0) else { panic!() };
    assert_eq!((moved.sensor, moved.axes), (Sensor::Gyroscope, [1.0, -2.0, 0.0]));
    assert_eq!(motion(3, 0.0), range("sensor"));
    assert_eq!(motion(1, f32::NAN), Err(InputError::NotFinite { field: "axis" }));
    let touch = |surface: u8| read(0x5500_0005, &[&[1, 1, 0, surface][..], &[0; 16]].concat());
    assert!(matches!(touch(1), Ok(Event::PadTouch(PadTouch { surface: 1, .. }))));
    assert_eq!(touch(2), range("touch pad"));
    let Ok(Event::PadBattery { state, percent, .. }) = read(0x5500_0007, &[0, 3, 0xff, 0]) else { panic!() };
    assert_eq!((state, percent), (Battery::Charging, None));
    assert_eq!(read(0x5500_0007, &[0, 6, 50, 0]), range("battery"));
    assert_eq!(read(0x5500_0007, &[0, 5, 101, 0]), range("percent"));
}

// Sabotage: read the size without comparing it. (Three advisories of 2026: input packet lengths trusted.)
#[test]
fn lengths_are_never_trusted() {
    let whole = packet(0x07, &[0, 1, 0, 1]);
    for len in 0..whole.len() {
        assert_eq!(Event::parse(&whole[..len]), Err(InputError::Length { got: len }));
    }
    let mut lying = whole.clone();
    lying[..4].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(Event::parse(&lying), Err(InputError::Length { got: 12 }));
    assert_eq!(read(0x07, &[0, 1, 0]), Err(InputError::Length { got: 11 }));
    assert_eq!(read(0x99, &[]), Err(InputError::Unknown { magic: 0x99 }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = Event::parse(&bytes);
        for magic in (0x01..0x20).chain(0x5500_0001..0x5500_0009) {
            if let Ok(Event::Touch(Touch { contact, .. }) | Event::Pen(Pen { contact, .. })) = read(magic, &bytes) {
                for share in [contact.x, contact.y, contact.pressure, contact.area.0, contact.area.1] {
                    prop_assert!((0.0..=1.0).contains(&share));
                }
            }
        }
    }
}
