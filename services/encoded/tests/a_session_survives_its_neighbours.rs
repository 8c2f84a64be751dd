//! encoded's session between real links: back-pressure, a reader and a captured that come back, and the lease.

mod neighbours;

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use lumen_ipc::encode::{Control, ToEncode, UnitKind};
use neighbours::{SESSION, Street, spec};
use openh264::{decoder::Decoder, formats::YUVSource};

fn street() -> Street {
    Street::new(Duration::from_secs(10), || ())
}

// Sabotage: start a picture while one is unsent, or return no buffers.
#[test]
fn each_picture_arrives_decodable_in_order_and_waits_for_the_one_before() {
    let street = street();
    let mut reader = street.reader(spec(320, 240));
    let mut captured = street.captured(320, 240);
    let mut decoder = Decoder::new().unwrap();
    for number in 1..=60 {
        captured.frame();
        let (unit, bytes) = reader.unit();
        captured.returned();
        assert_eq!((unit.number, unit.frame), (number, number));
        assert_eq!(unit.kind, if number == 1 { UnitKind::Idr } else { UnitKind::Delta });
        let times = [unit.timeline.dequeued_ns, unit.timeline.received_ns, unit.timeline.encode_begin_ns];
        assert!(times.is_sorted() && times[2] <= unit.timeline.encode_end_ns, "{:?}", unit.timeline);
        let picture = decoder.decode(&bytes).unwrap().expect("a picture without delay");
        assert_eq!(picture.dimensions(), (320, 240));
        if number == 30 {
            // Two more while this one is unsent: the older of them is given back unread.
            captured.frame();
            captured.frame();
            captured.returned();
            reader.sent(unit.number);
            let (next, bytes) = reader.unit();
            assert_eq!((next.number, next.frame), (31, 32));
            decoder.decode(&bytes).unwrap();
            captured.returned();
            return;
        }
        reader.sent(unit.number);
    }
}

// Sabotage: make a new encoder whenever a reader attaches.
#[test]
fn a_reader_that_comes_back_gets_an_idr_of_the_same_encoder() {
    let street = street();
    let mut reader = street.reader(spec(320, 240));
    let mut captured = street.captured(320, 240);
    captured.frame();
    let (first, _) = reader.unit();
    drop(reader);
    let mut reader = street.reader(spec(320, 240));
    let (unit, bytes) = reader.unit();
    assert_eq!((unit.kind, unit.frame), (UnitKind::Idr, 1));
    assert!(unit.number > first.number);
    assert!(Decoder::new().unwrap().decode(&bytes).unwrap().is_some());
    assert_eq!(street.made.load(SeqCst), 1);
}

#[test]
fn a_captured_that_comes_back_goes_on_with_the_same_encoder() {
    let street = street();
    let mut reader = street.reader(spec(320, 240));
    let mut captured = street.captured(320, 240);
    captured.frame();
    let mut decoder = Decoder::new().unwrap();
    let (unit, bytes) = reader.unit();
    decoder.decode(&bytes).unwrap();
    drop(captured);
    let mut captured = street.captured(320, 240);
    captured.number = 5;
    captured.frame();
    let mut unit = unit;
    while unit.frame != 6 {
        reader.sent(unit.number);
        let (next, bytes) = reader.unit();
        assert!(decoder.decode(&bytes).unwrap().is_some());
        assert_ne!(next.kind, UnitKind::Idr);
        unit = next;
    }
    assert_eq!(street.made.load(SeqCst), 1);
}

// Sabotage: ignore `idr_wanted`.
#[test]
fn a_client_that_lost_pictures_gets_an_idr_of_a_still_screen() {
    let street = street();
    let mut reader = street.reader(spec(320, 240));
    let mut captured = street.captured(320, 240);
    reader.say(ToEncode::Control(Control { bitrate_bps: 8_000_000, idr_wanted: 0, losses: 0, lost_from: 0 }));
    captured.frame();
    let (unit, _) = reader.unit();
    reader.say(ToEncode::Control(Control { bitrate_bps: 8_000_000, idr_wanted: 1, losses: 0, lost_from: 0 }));
    let mut number = unit.number;
    for _ in 0..100 {
        reader.sent(number);
        let (unit, _) = reader.unit();
        number = unit.number;
        if unit.kind == UnitKind::Idr {
            return;
        }
    }
    panic!("no IDR in 100 pictures");
}

// Sabotage: never start the lease.
#[test]
fn the_lease_ends_the_session_and_hangs_up_upstream() {
    let street = Street::new(Duration::from_millis(100), || ());
    let mut reader = street.reader(spec(320, 240));
    let mut captured = street.captured(320, 240);
    captured.frame();
    reader.unit();
    assert_eq!(street.sessions.list(), [SESSION]);
    drop(reader);
    assert!(captured.is_hung_up());
}
