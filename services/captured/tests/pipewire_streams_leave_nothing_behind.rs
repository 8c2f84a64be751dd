//! A hundred connections to PipeWire, one after the other.

#![allow(clippy::unwrap_used, reason = "a test")]

mod bench;
mod producer;

use bench::{Captured, spec};
use producer::{Daemon, Manner, Node, Producer};
use std::{fs, sync::atomic::Ordering::Relaxed, thread::sleep, time::Duration};

const LONG: Duration = Duration::from_secs(10);

fn count(dir: &str) -> usize {
    fs::read_dir(dir).unwrap().count()
}

// Sabotage: leak a loop, a context, a listener or a duplicated descriptor; or leave the producer the buffers of the reader
// before, of which it never sees those again that were held.
#[test]
fn hundred_streams_leave_neither_descriptor_nor_thread_behind() {
    let daemon = Daemon::start();
    let producer = Producer::start(&daemon, Manner::default());
    let node = Node::new(&daemon, producer.node());
    let (mut marks, mut renewed) = (Vec::new(), 0);
    for turn in 0..100 {
        let captured = Captured::new(node.clone(), LONG);
        let mut reader = captured.open(spec(640, 480));
        producer.wait_for(&captured.board);
        producer.give_whole(1);
        let frame = loop {
            match reader.next(Duration::from_secs(2)) {
                Some(lumen_ipc::capture::FromCapture::Frame(frame)) => break frame,
                Some(_) => {}
                None => captured.board.write(bench::SESSION, |line| panic!("turn {turn}: {line:?}")),
            }
        };
        reader.give_back(&frame);
        captured.board.write(bench::SESSION, |line| renewed += line.source.renewed as usize);
        reader.link.send(&lumen_ipc::capture::ToCapture::Close, &[]).unwrap();
        producer::until("the session ends", || node.released.load(Relaxed) == turn + 1);
        drop((reader, captured));
        producer::until("the stream is gone", || !producer.is_streaming());
        if turn % 33 == 0 {
            sleep(Duration::from_millis(100));
            // Of a stream given up because PipeWire gave it no memory, one eventfd stays in the producer's end, which is
            // in this process too.
            marks.push((count("/proc/self/fd") - renewed, count("/proc/self/task")));
        }
    }
    assert!(marks.windows(2).all(|pair| pair[1].0 <= pair[0].0 && pair[1].1 <= pair[0].1), "{marks:?}");
}
