//! Another mode in mid-stream: the session goes on in the same thread, with a decoder's new beginning and nothing else.

mod neighbours;

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use lumen_ipc::{bus::StreamSpec, encode::UnitKind};
use neighbours::{SESSION, Street, spec};
use openh264::{decoder::Decoder, formats::YUVSource};

/// The issue's, at a quarter of their size so that they fit a test; all sides stay even.
const SIZES: [(u32, u32); 4] = [(320, 180), (480, 270), (342, 192), (270, 480)];

// Sabotage: keep the encoder of the size before, number AccessUnits anew, or forget the bitrate.
#[test]
fn each_size_begins_with_an_idr_and_numbers_go_on() {
    let street = Street::new(Duration::from_secs(10), || ());
    let mut decoder = Decoder::new().unwrap();
    let mut number = 0;
    // Who would hang up otherwise, and be opened again.
    let mut before = Vec::new();
    for (index, (width, height)) in SIZES.into_iter().enumerate() {
        let bitrate_bps = 4_000_000 + index as u32 * 1_000_000;
        let mut reader = street.reader(StreamSpec { bitrate_bps, ..spec(width, height) });
        let mut captured = street.captured(width, height);
        for frame in 1..=5 {
            captured.frame();
            loop {
                let (unit, bytes) = reader.unit();
                let picture = decoder.decode(&bytes).unwrap().expect("a picture without delay");
                let size = picture.dimensions();
                assert!(unit.number > number, "{} after {number}", unit.number);
                number = unit.number;
                reader.sent(number);
                // Until its Frames come, a reader sees the picture of before.
                if size == (width as usize, height as usize) && unit.frame == frame {
                    assert!(frame > 1 || unit.kind == UnitKind::Idr, "{:?}", unit.kind);
                    break;
                }
                assert_eq!(frame, 1, "only at first: {size:?}");
            }
            captured.returned();
        }
        let mode = reader.mode.map(|mode| (mode.width, mode.height));
        assert_eq!(mode, Some((width, height)));
        let line = street.board.read(SESSION).unwrap();
        assert_eq!((line.bitrate_bps, line.errors), (bitrate_bps, 0));
        before.push((reader, captured));
    }
    assert_eq!(street.made.load(SeqCst), SIZES.len(), "one encoder for each size");
    assert_eq!(street.sessions.list(), [SESSION], "and one session");
}

// Sabotage: make a new encoder for another refresh rate.
#[test]
fn another_refresh_rate_keeps_the_encoder() {
    let street = Street::new(Duration::from_secs(10), || ());
    let mut before = Vec::new();
    for refresh_mhz in [60_000, 30_000, 59_940, 120_000, 240_000] {
        let mut reader = street.reader(StreamSpec { refresh_mhz, ..spec(320, 180) });
        let mut captured = street.captured_at(320, 180, refresh_mhz);
        captured.frame();
        while reader.mode.map(|mode| mode.refresh_mhz) != Some(refresh_mhz) {
            let (unit, _) = reader.unit();
            reader.sent(unit.number);
        }
        before.push((reader, captured));
    }
    assert_eq!(street.made.load(SeqCst), 1);
}
