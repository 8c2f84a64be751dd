//! Takes Frames of a running compositor for some seconds and prints how they came: `watch OUTPUT [SECONDS]` of the Wayland
//! compositor at $WAYLAND_DISPLAY, `watch NODE [SECONDS [dmabuf]]` of a PipeWire node.

#![allow(clippy::indexing_slicing, reason = "a tool for measuring")]

#[path = "../tests/bench/mod.rs"]
mod bench;
#[path = "../tests/producer/mod.rs"]
mod producer;

use bench::{Captured, Direct, spec};
use lumen_captured::display::Display;
use lumen_ipc::capture::{FromCapture, ToCapture};
use lumen_stage::clock::now_ns;
use producer::Node;
use std::{
    os::unix::net::UnixStream,
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().expect("an output's name or a node's number");
    let seconds: u64 = arguments.next().map_or(5, |text| text.parse().expect("seconds"));
    let mut asked = spec(1280, 720);
    (asked.memory, asked.cursor) = (arguments.next(), Some("separate".into()));
    let dir = std::env::var("XDG_RUNTIME_DIR").expect("XDG_RUNTIME_DIR");
    let dir = std::path::Path::new(&dir);
    let display: Arc<dyn Display> = match name.parse() {
        Ok(node) => Node::at(dir.join("pipewire-0"), node),
        Err(_) => {
            let socket = dir.join(std::env::var("WAYLAND_DISPLAY").expect("WAYLAND_DISPLAY"));
            let connect = Box::new(move || UnixStream::connect(&socket).ok());
            let (acquired, released) = (AtomicU32::new(0), AtomicU32::new(0));
            Arc::new(Direct { connect, name: Box::leak(name.into_boxed_str()), acquired, released })
        }
    };
    let captured = Captured::new(display, Duration::from_secs(2));
    let again = asked.clone();
    let mut reader = captured.open(asked);
    let end = now_ns() + seconds * 1_000_000_000;
    let (mut last, mut intervals, mut hops, mut bytes) = (0, Vec::new(), Vec::new(), 0u64);
    let (mut pointers, mut bitmaps) = (0, 0);
    while now_ns() < end {
        let frame = match reader.next(Duration::from_millis(200)) {
            Some(FromCapture::Frame(frame)) => frame,
            Some(FromCapture::Pointer { .. }) => {
                pointers += 1;
                reader.link.send(&ToCapture::PointerTaken, &[]).expect("a link");
                continue;
            }
            Some(FromCapture::Bitmap(_)) => {
                bitmaps += 1;
                continue;
            }
            Some(FromCapture::Failed(failure)) => {
                println!("{failure}");
                continue;
            }
            Some(FromCapture::Pool(pool)) => {
                println!("{:?} {:?} × {}", pool.layout, pool.memory, pool.buffers.len());
                continue;
            }
            _ => continue,
        };
        let dequeued_ns = frame.timeline.dequeued_ns;
        hops.push(now_ns() - dequeued_ns);
        intervals.push(dequeued_ns - last);
        last = dequeued_ns;
        bytes +=
            frame.damage.rects().iter().map(|r| u64::from(r.width) * u64::from(r.height) * 4).sum::<u64>();
        reader.give_back(&frame);
    }
    captured.board.write(bench::SESSION, |line| println!("{line:?}"));
    drop(reader);
    std::thread::sleep(Duration::from_millis(500));
    let mut reader = captured.open(again);
    let (end, mut frames) = (now_ns() + 1_000_000_000, 0);
    while now_ns() < end {
        if let Some(FromCapture::Frame(frame)) = reader.next(Duration::from_millis(100)) {
            frames += 1;
            reader.give_back(&frame);
        }
    }
    println!("after a pause: {frames} frames in a second");
    println!("{pointers} pointers, {bitmaps} bitmaps");
    if hops.len() < 2 {
        return println!("{} frames", hops.len());
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
}
