//! A session over the pattern, read too slowly, wrongly, or not at all.

mod bench;

use bench::{Captured, SESSION, spec, until};
use lumen_captured::display::Patterns;
use lumen_ipc::capture::{FromCapture, ToCapture};
use lumen_stage::clock::now_ns;
use std::{sync::Arc, thread::sleep, time::Duration};

const MS: u64 = 1_000_000;

// Sabotage: queue pictures for the reader, or keep the oldest waiting one.
#[test]
fn reader_that_stops_gets_the_newest_picture_when_it_goes_on() {
    let captured = Captured::new(Arc::new(Patterns), Duration::from_secs(10));
    let mut reader = captured.open(spec(320, 240));
    let held = [reader.frame(), reader.frame()];
    sleep(Duration::from_millis(300));
    assert_eq!(reader.next(Duration::ZERO), None, "a third Frame while two are out");
    held.iter().for_each(|frame| reader.give_back(frame));
    let frame = reader.frame();
    let age_ms = (now_ns() - frame.timeline.dequeued_ns) / MS;
    assert!(age_ms < 60, "{age_ms} ms old");
    assert!(frame.skipped >= 10, "{} skipped in 300 ms at 60 Hz", frame.skipped);
    assert_eq!(frame.number, held[1].number + u64::from(frame.skipped) + 1);
    let moved =
        reader.picture(&frame).iter().zip(reader.picture(&held[1]).iter()).filter(|(a, b)| a != b).count();
    assert!(moved > 0 && !frame.damage.is_empty());
}

// Sabotage: take a wrong Return as good; or end the session with the link.
#[test]
fn reader_that_breaks_the_contract_loses_its_link_and_nothing_else() {
    let captured = Captured::new(Arc::new(Patterns), Duration::from_secs(10));
    let mut reader = captured.open(spec(320, 240));
    let frame = reader.frame();
    reader.link.send(&ToCapture::Return { pool: frame.buffer.pool, buffer: 77 }, &[]).unwrap();
    until("the link is closed", || reader.link.receive::<FromCapture>().is_err());
    let mut reader = captured.open(spec(320, 240));
    assert!(reader.frame().number >= frame.number);
    assert_eq!(captured.sessions.list(), [SESSION]);
}

// Sabotage: end with the reader, or never.
#[test]
fn session_outlives_its_reader_by_its_lease() {
    let captured = Captured::new(Arc::new(Patterns), Duration::from_millis(400));
    let mut reader = captured.open(spec(320, 240));
    let pool = reader.frame().buffer.pool;
    drop(reader);
    sleep(Duration::from_millis(200));
    let mut reader = captured.open(spec(320, 240));
    assert_eq!(reader.frame().buffer.pool, pool, "the same source and pool");
    drop(reader);
    until("the session is over", || captured.sessions.list().is_empty());
}

// Sabotage: drop the link without a word.
#[test]
fn stopping_stage_says_so() {
    let captured = Captured::new(Arc::new(Patterns), Duration::from_secs(10));
    let mut reader = captured.open(spec(320, 240));
    reader.frame();
    captured.sessions.close(SESSION).unwrap();
    while reader.next(Duration::from_secs(5)).expect("a message") != FromCapture::Closing {}
}

#[test]
fn other_mode_on_the_same_session_comes_with_its_own_pool() {
    let captured = Captured::new(Arc::new(Patterns), Duration::from_secs(10));
    let mut reader = captured.open(spec(320, 240));
    let before = reader.frame().buffer.pool;
    let mut reader = captured.open(spec(640, 480));
    loop {
        let frame = reader.frame();
        reader.give_back(&frame);
        if frame.buffer.pool != before {
            break;
        }
    }
    let layout = *reader.pools.last().unwrap().layout();
    assert_eq!((layout.width, layout.height), (640, 480));
}
