//! Takes Frames of a running compositor for some seconds and prints how they came:
//! `WAYLAND_DISPLAY=… watch OUTPUT [SECONDS]`.

#![allow(clippy::indexing_slicing, reason = "a tool for measuring")]

#[path = "../tests/bench/mod.rs"]
mod bench;

use bench::{Captured, Direct, spec};
use lumen_stage::clock::now_ns;
use std::{
    os::unix::net::UnixStream,
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let name: &'static str = Box::leak(arguments.next().expect("an output's name").into_boxed_str());
    let seconds: u64 = arguments.next().map_or(5, |text| text.parse().expect("seconds"));
    let dir = std::env::var("XDG_RUNTIME_DIR").expect("XDG_RUNTIME_DIR");
    let socket = std::path::Path::new(&dir).join(std::env::var("WAYLAND_DISPLAY").expect("WAYLAND_DISPLAY"));
    let connect = Box::new(move || UnixStream::connect(&socket).ok());
    let (acquired, released) = (AtomicU32::new(0), AtomicU32::new(0));
    let captured =
        Captured::new(Arc::new(Direct { connect, name, acquired, released }), Duration::from_secs(1));
    let mut reader = captured.open(spec(1280, 720));
    let end = now_ns() + seconds * 1_000_000_000;
    let (mut last, mut intervals, mut hops, mut bytes) = (0, Vec::new(), Vec::new(), 0u64);
    while now_ns() < end {
        let frame = reader.frame();
        let dequeued_ns = frame.timeline.dequeued_ns;
        hops.push(now_ns() - dequeued_ns);
        intervals.push(dequeued_ns - last);
        last = dequeued_ns;
        bytes +=
            frame.damage.rects().iter().map(|r| u64::from(r.width) * u64::from(r.height) * 4).sum::<u64>();
        reader.give_back(&frame);
    }
    intervals.remove(0);
    intervals.sort_unstable();
    hops.sort_unstable();
    let at = |list: &[u64], share: f64| list[((list.len() - 1) as f64 * share) as usize] as f64 / 1e6;
    println!("frames {} in {seconds} s, damaged {} kB a frame", hops.len(), bytes / hops.len() as u64 / 1000);
    for (what, list) in [("interval", &intervals), ("dequeued to reader", &hops)] {
        println!(
            "{what}: p50 {:.2} p95 {:.2} p99 {:.2} max {:.2} ms",
            at(list, 0.5),
            at(list, 0.95),
            at(list, 0.99),
            at(list, 1.0)
        );
    }
    captured.board.write(bench::SESSION, |line| println!("{line:?}"));
}
