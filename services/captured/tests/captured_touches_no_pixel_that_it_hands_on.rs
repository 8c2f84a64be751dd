//! What a Frame costs captured when the compositor's own buffer is handed on.

#![allow(clippy::unwrap_used, reason = "a test")]

mod bench;
mod producer;

use bench::{Captured, spec};
use producer::{Daemon, Manner, Node, Producer};
use std::{io::Read, time::Duration};

// Sabotage: map or read the buffers in captured.
#[test]
fn captured_reads_and_writes_less_than_a_hundredth_of_each_frame() {
    let daemon = Daemon::start();
    let producer = Producer::start(&daemon, Manner::default());
    let captured = Captured::new(Node::new(&daemon, producer.node()), Duration::from_secs(10));
    let mut reader = captured.open(spec(1280, 720));
    producer.wait_for(&captured.board);
    let mut pass = |bytes: std::ops::RangeInclusive<u8>| {
        for byte in bytes {
            producer.give_whole(byte);
            let frame = reader.frame();
            assert!(reader.picture(&frame).iter().all(|&read| read == byte), "picture {byte} is another one");
            reader.give_back(&frame);
        }
        threads().into_iter().filter_map(cost_of).sum::<u64>()
    };
    let (start, end) = (pass(1..=100), pass(101..=200));
    let (each, picture) = ((end - start) / 100, 1280 * 720 * 4);
    println!("{each} bytes read, written or faulted in for each Frame of {picture}");
    assert!(each > 0 && each * 100 < picture, "{each} of {picture} bytes");
}

fn threads() -> Vec<i32> {
    let entries = std::fs::read_dir("/proc/self/task").unwrap();
    entries.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok()).collect()
}

/// Bytes that a thread of captured's moved so far, pages that it touched for the first time included. Other threads
/// (the producer, the test itself) count for nothing.
fn cost_of(thread: i32) -> Option<u64> {
    let read = |file: &str| {
        let mut text = String::new();
        std::fs::File::open(format!("/proc/self/task/{thread}/{file}"))
            .ok()?
            .read_to_string(&mut text)
            .ok()?;
        Some(text)
    };
    if !read("comm")?.starts_with("session") {
        return None;
    }
    let io = read("io")?;
    let moved = io
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(key, _)| ["rchar", "wchar"].contains(key));
    let moved: u64 = moved.map(|(_, bytes)| bytes.parse::<u64>().unwrap()).sum();
    let stat = read("stat")?;
    let faults: u64 = stat.rsplit_once(") ")?.1.split(' ').nth(7)?.parse().ok()?;
    Some(moved + faults * 4096)
}
