//! What breaks on the way from a PipeWire node: it is told in words, and pictures go on when it is back.

#![allow(clippy::indexing_slicing, reason = "pixels")]

mod bench;
mod producer;

use bench::{Captured, Reader, spec};
use lumen_ipc::{Failure, FailureClass, capture::FromCapture};
use producer::{Daemon, Manner, Node, Producer};
use std::{
    sync::atomic::Ordering::Relaxed,
    thread::sleep,
    time::{Duration, Instant},
};

const LONG: Duration = Duration::from_secs(20);

fn failure(reader: &mut Reader) -> Failure {
    loop {
        match reader.next(LONG).expect("a message") {
            FromCapture::Failed(failure) => return failure,
            FromCapture::Frame(frame) => reader.give_back(&frame),
            _ => {}
        }
    }
}

/// Gives pictures until one of them arrives.
fn goes_on(producer: &Producer, reader: &mut Reader) {
    let end = Instant::now() + LONG;
    loop {
        assert!(Instant::now() < end, "no picture came");
        producer.give(producer::Picture { byte: 200, ..Default::default() });
        if let Some(FromCapture::Frame(frame)) = reader.next(Duration::from_millis(20)) {
            let byte = reader.picture(&frame)[0];
            reader.give_back(&frame);
            if byte == 200 {
                return;
            }
        }
    }
}

// Sabotage: give up after the first failure, or wait for a socket that is gone.
#[test]
fn killed_pipewire_is_named_and_its_successor_used() {
    let mut daemon = Daemon::start();
    let producer = Producer::start(&daemon, Manner::default());
    let node = Node::new(&daemon, producer.node());
    let captured = Captured::new(node.clone(), LONG);
    let mut reader = captured.open(spec(1280, 720));
    producer.wait_for(&captured.board);
    goes_on(&producer, &mut reader);
    daemon.kill();
    let told = failure(&mut reader);
    assert!(told.text.contains("PipeWire"), "{told}");
    drop(producer);
    daemon.start_daemon();
    daemon.start_manager();
    let producer = Producer::start(&daemon, Manner::default());
    node.node.store(producer.node(), Relaxed);
    goes_on(&producer, &mut reader);
}

// Sabotage: let PipeWire link another node instead, or do not watch for the node's end.
#[test]
fn vanished_node_is_named_and_another_is_not_shown_in_its_place() {
    let daemon = Daemon::start();
    let producer = Producer::start(&daemon, Manner::default());
    let other = Producer::start(&daemon, Manner::default());
    let node = Node::new(&daemon, producer.node());
    let captured = Captured::new(node.clone(), LONG);
    let mut reader = captured.open(spec(1280, 720));
    producer.wait_for(&captured.board);
    goes_on(&producer, &mut reader);
    drop(producer);
    let told = failure(&mut reader);
    assert!(told.text.contains("node"), "{told}");
    assert!(!other.is_streaming(), "somebody else's screen is read");
    node.node.store(other.node(), Relaxed);
    goes_on(&other, &mut reader);
}

// Sabotage: leave the linking to a session manager.
#[test]
fn session_manager_is_not_needed() {
    let daemon = Daemon::alone();
    let producer = Producer::start(&daemon, Manner::default());
    let captured = Captured::new(Node::new(&daemon, producer.node()), LONG);
    goes_on(&producer, &mut captured.open(spec(1280, 720)));
}

// Sabotage: tear the stream down when the session manager goes.
#[test]
fn killed_session_manager_disturbs_nothing() {
    let mut daemon = Daemon::start();
    let producer = Producer::start(&daemon, Manner::default());
    let node = Node::new(&daemon, producer.node());
    let captured = Captured::new(node.clone(), LONG);
    let mut reader = captured.open(spec(1280, 720));
    producer.wait_for(&captured.board);
    goes_on(&producer, &mut reader);
    daemon.kill_manager();
    sleep(Duration::from_millis(300));
    (0..20).for_each(|_| goes_on(&producer, &mut reader));
    assert_eq!(node.acquired.load(Relaxed), 1);
}

// Sabotage: say only that it failed.
#[test]
fn unreadable_format_is_told_with_what_the_node_offers() {
    let daemon = Daemon::start();
    let format = pipewire::spa::sys::SPA_VIDEO_FORMAT_NV12;
    let producer = Producer::start(&daemon, Manner { format, ..Manner::default() });
    let captured = Captured::new(Node::new(&daemon, producer.node()), LONG);
    let told = failure(&mut captured.open(spec(1280, 720)));
    assert!(told.class == FailureClass::Environment && told.text.contains("SPA format 23"), "{told}");
}

// Sabotage: believe what a buffer says of itself.
#[test]
fn buffers_smaller_than_their_pictures_are_refused_with_both_sizes() {
    let daemon = Daemon::start();
    let producer = Producer::start(&daemon, Manner { lacking: 4096, ..Manner::default() });
    let captured = Captured::new(Node::new(&daemon, producer.node()), LONG);
    let mut reader = captured.open(spec(1280, 720));
    let end = Instant::now() + LONG;
    let told = loop {
        assert!(Instant::now() < end, "nothing was told");
        producer.give(producer::Picture { byte: 1, ..Default::default() });
        match reader.next(Duration::from_millis(2)) {
            Some(FromCapture::Failed(failure)) => break failure,
            Some(FromCapture::Frame(frame)) => panic!("{frame:?}"),
            _ => {}
        }
    };
    let (need, got) = (1280 * 720 * 4, 1280 * 720 * 4 - 4096);
    assert!(told.text.contains(&need.to_string()) && told.text.contains(&got.to_string()), "{told}");
}

#[test]
fn node_that_never_was_is_named() {
    let daemon = Daemon::start();
    let captured = Captured::new(Node::new(&daemon, 4_000_000), LONG);
    let told = failure(&mut captured.open(spec(1280, 720)));
    assert!(told.text.contains("no node 4000000"), "{told}");
}
