//! What is converted and encoded is what changed: a blinking cursor costs its own tiles, a Frame without damage nothing.
#![allow(clippy::unwrap_used, reason = "all of it is test code")]

mod neighbours;

use std::time::{Duration, Instant};

use lumen_encoded::board::Line;
use lumen_ipc::{Rect, encode::UnitKind};
use neighbours::{Captured, Reader, SESSION, Street, spec};

const PICTURE_BYTES: u64 = 1280 * 720 * 4;

/// The picture is sent, and encoded until nothing is left to be made sharp.
fn still(street: &Street) -> (Reader, Captured) {
    let mut reader = street.reader(spec(1280, 720));
    let mut captured = street.captured(1280, 720);
    captured.number += 1;
    captured.send();
    let mut last = Instant::now();
    loop {
        let (unit, _) = reader.unit();
        reader.sent(unit.number);
        // After silence comes a keep-alive and no longer a pass.
        if unit.kind == UnitKind::Repeat && last.elapsed() > Duration::from_millis(700) {
            captured.returned();
            return (reader, captured);
        }
        last = Instant::now();
    }
}

/// The line of the administrator's board once `done` is true of it.
fn await_line(street: &Street, done: impl Fn(&Line) -> bool) -> Line {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let line = street.board.read(SESSION).unwrap();
        if done(&line) {
            return line;
        }
        assert!(Instant::now() < end, "not so: {line:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

// Sabotage: convert whole bands, or the whole picture.
#[test]
fn a_blinking_text_cursor_converts_a_twentieth_at_most() {
    let street = Street::new(Duration::from_secs(10), || ());
    let (mut reader, mut captured) = still(&street);
    let before = await_line(&street, |_| true);
    assert_eq!(before.converted_bytes, PICTURE_BYTES);
    let cursor = Rect { x: 635, y: 347, width: 10, height: 20 };
    captured.number += 1;
    captured.blacken(cursor);
    captured.send_damaged(&[cursor]);
    loop {
        let (unit, _) = reader.unit();
        reader.sent(unit.number);
        if unit.frame == captured.number {
            assert_eq!(unit.kind, UnitKind::Delta);
            break;
        }
    }
    let line = await_line(&street, |line| line.counters.encoded > before.counters.encoded);
    let converted = line.converted_bytes - PICTURE_BYTES;
    assert!(converted > 0 && converted * 20 <= PICTURE_BYTES, "{converted} of {PICTURE_BYTES} bytes");
}

// Sabotage: encode every Frame.
#[test]
fn a_frame_without_damage_is_returned_and_not_encoded() {
    let street = Street::new(Duration::from_secs(10), || ());
    let (_reader, mut captured) = still(&street);
    let before = await_line(&street, |_| true);
    captured.number += 1;
    captured.send_damaged(&[]);
    captured.returned();
    let line = await_line(&street, |line| line.counters.unchanged == 1);
    assert_eq!(line.counters.encoded, before.counters.encoded);
    assert_eq!(line.converted_bytes, PICTURE_BYTES);
}
