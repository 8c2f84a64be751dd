//! Ten thousand pictures in real dmabufs, from a PipeWire node through captured to a reader that maps them. Needs
//! /dev/udmabuf and vgem, so it is run by tests/system/dmabufs_reach_the_encoder.rs in an emulated machine.

#![allow(clippy::unwrap_used, reason = "a test")]

mod bench;
mod producer;

use bench::{Captured, spec};
use lumen_captured::board::Line;
use lumen_ipc::bus::OutputSpec;
use producer::{Daemon, Manner, Memory, Node, Picture, Producer};
use std::{fs, time::Duration};

const PICTURES: u64 = 10_000;

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Sabotage: read from the first row's length instead of the stride, or keep a descriptor for each Frame.
fn ten_thousand(memory: Memory) {
    let daemon = Daemon::start();
    let manner = Manner { memory, padding: 64 * 4, ..Manner::default() };
    let producer = Producer::start(&daemon, manner);
    let captured = Captured::new(Node::new(&daemon, producer.node()), Duration::from_secs(60));
    let wish = OutputSpec { memory: Some("dmabuf".into()), ..spec(64, 64) };
    let mut reader = captured.open(wish);
    producer.wait_for(&captured.board);
    let mut early = 0;
    for number in 0..PICTURES {
        let byte = number as u8;
        producer::until("a buffer is free", || producer.give(Picture { byte, ..Picture::default() }));
        let frame = reader.frame();
        let picture = reader.picture(&frame);
        assert_eq!(picture.len(), (64 * 4 + 64 * 4) * 64);
        assert!(picture.iter().all(|&read| read == byte), "picture {number} is another one");
        drop(picture);
        reader.give_back(&frame);
        if number == 100 {
            early = descriptors();
        }
    }
    assert!(descriptors() <= early, "{} descriptors, {early} before", descriptors());
    let mut line = Line::default();
    captured.board.write(bench::SESSION, |now| line = now.clone());
    assert_eq!((line.source.copied, line.counters.sent), (0, PICTURES), "{}", line.why);
}

#[test]
#[ignore = "needs /dev/udmabuf: tests/system/dmabufs_reach_the_encoder.rs runs it in an emulated machine"]
fn of_udmabuf() {
    ten_thousand(Memory::Udmabuf);
}

#[test]
#[ignore = "needs vgem: tests/system/dmabufs_reach_the_encoder.rs runs it in an emulated machine"]
fn of_vgem() {
    ten_thousand(Memory::Vgem);
}
