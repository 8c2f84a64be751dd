//! A reader that asked for dmabufs, and producers whose dmabufs are none.

#![allow(clippy::indexing_slicing, clippy::panic, reason = "a test")]

mod bench;
mod producer;

use bench::{Captured, Reader, SESSION, spec};
use lumen_captured::board::Line;
use lumen_ipc::bus::OutputSpec;
use producer::{Daemon, Manner, Node, Producer};
use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

/// PipeWire 0.3.65 gets stuck now and then while a modifier is fixed; captured waits 5 s before it gives dmabufs up.
const LONG: Duration = Duration::from_secs(20);
const LINEAR: u64 = 0;

fn dmabufs() -> OutputSpec {
    OutputSpec { memory: Some("dmabuf".into()), ..spec(1280, 720) }
}

/// Gives pictures until one arrives.
fn first(producer: &Producer, captured: &Captured, reader: &mut Reader) -> u8 {
    let end = Instant::now() + LONG;
    for byte in (1..=255).cycle() {
        assert!(Instant::now() < end, "no picture came: {:?}", line(captured));
        producer.give(producer::Picture { byte, ..Default::default() });
        match reader.next(Duration::from_millis(20)) {
            Some(lumen_ipc::capture::FromCapture::Frame(frame)) => {
                let read = reader.picture(&frame)[0];
                reader.give_back(&frame);
                return read;
            }
            Some(lumen_ipc::capture::FromCapture::Failed(failure)) => panic!("{failure}"),
            _ => {}
        }
    }
    unreachable!("the bytes never end")
}

fn line(captured: &Captured) -> Line {
    let mut line = Line::default();
    captured.board.write(SESSION, |now| line = now.clone());
    line
}

// Sabotage: fail instead of falling back; fall back without counting; or take any descriptor for a dmabuf.
#[test]
fn dmabuf_that_is_none_ends_at_shared_memory_in_the_same_session() {
    let daemon = Daemon::start();
    let producer = Producer::start(&daemon, Manner { modifiers: vec![LINEAR, 7], ..Manner::default() });
    let node = Node::new(&daemon, producer.node());
    let captured = Captured::new(node.clone(), LONG);
    let mut reader = captured.open(dmabufs());
    assert_ne!(first(&producer, &captured, &mut reader), 0);
    let known = &producer.known;
    assert!(known.choices.load(Relaxed) >= 1, "no modifier was left to be chosen");
    assert!(known.chosen.load(Relaxed) >= 1, "none was fixed");
    let line = line(&captured);
    assert_eq!((line.source.modifiers_dropped, node.acquired.load(Relaxed)), (1, 1));
    assert_eq!(reader.pools.len(), 1, "memory that cannot be used was announced");
}

// Sabotage: choose a modifier that nobody downstream reads.
#[test]
fn modifiers_that_nobody_reads_are_not_taken() {
    let daemon = Daemon::start();
    let producer = Producer::start(&daemon, Manner { modifiers: vec![7, 8], ..Manner::default() });
    let captured = Captured::new(Node::new(&daemon, producer.node()), LONG);
    let mut reader = captured.open(dmabufs());
    assert_ne!(first(&producer, &captured, &mut reader), 0);
    assert_eq!(producer.known.chosen.load(Relaxed), 0);
}

// Sabotage: ask for dmabufs although the reader did not.
#[test]
fn reader_that_did_not_ask_for_dmabufs_gets_memfds_at_once() {
    let daemon = Daemon::start();
    let producer = Producer::start(&daemon, Manner { modifiers: vec![LINEAR], ..Manner::default() });
    let captured = Captured::new(Node::new(&daemon, producer.node()), LONG);
    let mut reader = captured.open(spec(1280, 720));
    assert_ne!(first(&producer, &captured, &mut reader), 0);
    assert_eq!((producer.known.choices.load(Relaxed), producer.known.chosen.load(Relaxed)), (0, 0));
}
