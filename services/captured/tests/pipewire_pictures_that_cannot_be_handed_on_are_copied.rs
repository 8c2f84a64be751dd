//! Producers whose buffers nobody else can safely map, or that give too few of them.

mod bench;
mod producer;

use bench::{Captured, SESSION, spec};
use lumen_captured::board::Line;
use lumen_ipc::Rect;
use producer::{Daemon, Manner, Node, Picture, Producer};
use std::time::Duration;

const ROW: u64 = 1280 * 4;

/// Passes pictures of such a producer and gives what Status says then.
fn line_after(manner: Manner) -> Line {
    let daemon = Daemon::start();
    let producer = Producer::start(&daemon, manner);
    let captured = Captured::new(Node::new(&daemon, producer.node()), Duration::from_secs(10));
    let mut reader = captured.open(spec(1280, 720));
    producer.wait_for(&captured.board);
    for byte in 1..=20 {
        producer.give_whole(byte);
        let frame = reader.frame();
        assert!(reader.picture(&frame).iter().all(|&read| read == byte), "picture {byte} is another one");
        reader.give_back(&frame);
    }
    // A reader that keeps its Frames holds up no buffer of the producer's.
    (21..=22).for_each(|byte| {
        producer.give_whole(byte);
        reader.frame();
    });
    let mut line = Line::default();
    for byte in 23..=40 {
        producer.give_whole(byte);
        producer::until("it is taken", || {
            captured.board.write(SESSION, |now| line = now.clone());
            line.counters.taken == u64::from(byte)
        });
    }
    line
}

// Sabotage: hand unsealed memfds on: the reader then refuses the pool.
#[test]
fn unsealed_buffers_are_copied_and_status_says_why() {
    let line = line_after(Manner { sealed: false, ..Manner::default() });
    assert_eq!((line.source.copied, line.source.uncopied), (40, 0));
    assert!(line.why.contains("shrink"), "{}", line.why);
}

// Sabotage: hand on whatever there is: the producer then runs dry.
#[test]
fn too_few_buffers_are_copied_and_status_says_why() {
    let line = line_after(Manner { buffers: (2, 4), ..Manner::default() });
    assert_eq!((line.source.copied, line.source.uncopied), (40, 0));
    assert!(line.why.contains("fewer than five"), "{}", line.why);
}

// Sabotage: copy all rows, or forget that another buffer of ours lacks more than the newest change.
#[test]
fn only_rows_that_a_buffer_lacks_are_copied() {
    let daemon = Daemon::start();
    let producer = Producer::start(&daemon, Manner { sealed: false, ..Manner::default() });
    let captured = Captured::new(Node::new(&daemon, producer.node()), Duration::from_secs(10));
    let mut reader = captured.open(spec(1280, 720));
    producer.wait_for(&captured.board);
    let mut bytes = Vec::new();
    for turn in 1..=40 {
        let mut copied = 0;
        let damage = vec![Rect { x: 0, y: 10, width: 1280, height: 2 }];
        producer::until("a buffer is free", || {
            producer.give(Picture { byte: 5, damage: damage.clone(), ..Picture::default() })
        });
        let frame = reader.frame();
        assert!(reader.picture(&frame).iter().all(|&read| read == 5), "a row was left out");
        reader.give_back(&frame);
        // captured writes its line after it has sent the Frame.
        producer::until("it is counted", || {
            let mut sent = 0;
            captured.board.write(SESSION, |line| {
                (sent, copied) = (line.counters.sent, line.source.copied_bytes);
            });
            sent == turn
        });
        bytes.push(copied);
    }
    let last = bytes[39] - bytes[38];
    assert_eq!(last, 2 * ROW, "{last} bytes for two rows");
}
