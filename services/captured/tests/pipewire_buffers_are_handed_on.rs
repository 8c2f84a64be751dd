//! The PipeWire backend against a real daemon and a producer that gives its own buffers.

mod bench;
mod producer;

use bench::{Captured, Reader, SESSION, spec};
use lumen_captured::board::Line;
use lumen_ipc::{
    Damage, Rect,
    capture::{Frame, FromCapture, MAX_FRAMES_OUT},
};
use producer::{Chunk, Daemon, Manner, Node, Picture, Producer};
use std::{sync::atomic::Ordering::Relaxed, time::Duration};

const LONG: Duration = Duration::from_secs(10);

struct Bench {
    captured: Captured,
    producer: Producer,
    reader: Reader,
    _daemon: Daemon,
}

fn start(manner: Manner) -> Bench {
    let daemon = Daemon::start();
    let producer = Producer::start(&daemon, manner);
    let captured = Captured::new(Node::new(&daemon, producer.node()), LONG);
    let reader = captured.open(spec(1280, 720));
    producer.wait_for(&captured.board);
    Bench { captured, producer, reader, _daemon: daemon }
}

impl Bench {
    fn line(&self) -> Line {
        let mut line = Line::default();
        self.captured.board.write(SESSION, |now| line = now.clone());
        line
    }

    /// Gives a picture and takes its Frame.
    fn pass(&mut self, picture: Picture) -> Frame {
        let byte = picture.byte;
        producer::until("a buffer is free", || self.producer.give(picture.clone()));
        let frame = self.reader.frame();
        assert!(
            self.reader.picture(&frame).iter().all(|&read| read == byte),
            "picture {byte} is another one"
        );
        frame
    }
}

// Sabotage: leave the detour out, or tell the mode or show a picture of it. (Seen with Mutter 48: asked for another rate at
// the same size it keeps the old one.)
#[test]
fn node_that_takes_a_rate_only_with_a_size_is_asked_for_another_size_first() {
    let daemon = Daemon::start();
    let producer = Producer::start(&daemon, Manner::default());
    let node = Node::new(&daemon, producer.node());
    node.detour.store(true, Relaxed);
    let captured = Captured::new(node, LONG);
    let reader = captured.open(spec(1280, 720));
    producer.wait_for(&captured.board);
    producer::until("the wished size", || producer.size() == (1280, 720));
    let mut bench = Bench { captured, producer, reader, _daemon: daemon };
    let frame = bench.pass(Picture { byte: 7, ..Picture::default() });
    bench.reader.give_back(&frame);
    let sizes = bench.reader.pools.iter().map(|pool| (pool.layout().width, pool.layout().height));
    assert!(sizes.eq([(1280, 720)]), "a picture of the detour was told");
    assert_eq!(bench.producer.known.first_size.load(Relaxed), 1280 << 32 | 722);
}

// Sabotage: copy, announce other descriptors than the producer's, or leave refresh or size open in the first offer.
#[test]
fn pictures_are_read_where_the_producer_wrote_them() {
    let mut bench = start(Manner::default());
    assert_eq!((bench.producer.size(), bench.producer.known.rate_mhz.load(Relaxed)), ((1280, 720), 60_000));
    for byte in 1..100 {
        let frame = bench.pass(Picture { byte, ..Picture::default() });
        bench.reader.give_back(&frame);
    }
    // What is sent is told a moment later.
    producer::until("all is counted", || bench.line().counters.sent == 99);
    let line = bench.line();
    assert_eq!(line.source.copied, 0);
    assert!(line.why.contains("handed on"), "{}", line.why);
}

// Sabotage: keep a buffer that a newer picture replaced, or give a leased one back: the first starves the producer, the
// second shows a picture that changes under its reader.
#[test]
fn reader_that_holds_all_it_may_neither_starves_the_producer_nor_sees_its_pictures_change() {
    let mut bench = start(Manner { buffers: (5, 5), ..Manner::default() });
    let held: Vec<Frame> =
        (1..=MAX_FRAMES_OUT as u8).map(|byte| bench.pass(Picture { byte, ..Picture::default() })).collect();
    for (byte, taken) in (10..60).zip(MAX_FRAMES_OUT as u64 + 1..) {
        bench.producer.give_whole(byte);
        producer::until("it is taken", || bench.line().counters.taken == taken);
    }
    for (frame, byte) in held.iter().zip(1..) {
        assert!(bench.reader.picture(frame).iter().all(|&read| read == byte));
    }
    bench.reader.give_back(&held[0]);
    let newest = bench.reader.frame();
    assert_eq!((bench.reader.picture(&newest)[0], newest.skipped), (59, 49));
}

// Sabotage: forget that a new format is a new pool, or give a buffer back by its number in the pool before.
#[test]
fn new_size_is_a_new_pool_and_late_returns_of_the_old_one_are_harmless() {
    let mut bench = start(Manner { size: Some((1280, 720)), ..Manner::default() });
    let old = bench.pass(Picture { byte: 1, ..Picture::default() });
    for (turn, size) in [(640, 480), (1920, 1080), (1366, 768)].into_iter().enumerate() {
        bench.producer.resize(size);
        producer::until("the size is another", || bench.producer.size() == size);
        bench.producer.wait_for(&bench.captured.board);
        let frame = bench.pass(Picture { byte: 50 + turn as u8, ..Picture::default() });
        let layout = *bench.reader.pools.last().unwrap().layout();
        assert_eq!((layout.width, layout.height), size);
        assert_eq!(frame.damage, Damage::full(size.0, size.1));
        bench.reader.give_back(&frame);
    }
    assert_eq!(bench.reader.picture(&old)[0], 1, "what is leased stays readable");
    bench.reader.give_back(&old);
    for byte in 100..120 {
        let frame = bench.pass(Picture { byte, ..Picture::default() });
        bench.reader.give_back(&frame);
    }
    assert_eq!(bench.line().failure, None);
}

// Sabotage: take the metadata's areas for the whole picture, or the missing ones for none.
#[test]
fn damage_is_what_the_producer_says_and_all_where_it_says_nothing() {
    let mut bench = start(Manner::default());
    let whole = bench.pass(Picture { byte: 1, ..Picture::default() });
    assert_eq!(whole.damage, Damage::full(1280, 720));
    bench.reader.give_back(&whole);
    let areas =
        vec![Rect { x: 3, y: 4, width: 5, height: 6 }, Rect { x: 1200, y: 700, width: 500, height: 500 }];
    let frame = bench.pass(Picture { byte: 2, damage: areas.clone(), ..Picture::default() });
    assert_eq!(frame.damage.rects(), [areas[0], Rect { x: 1200, y: 700, width: 80, height: 20 }]);
    bench.reader.give_back(&frame);
    let frame = bench.pass(Picture { byte: 3, ..Picture::default() });
    assert_eq!(frame.damage, Damage::full(1280, 720));
}

// Sabotage: show what is corrupted, drop what only does not say its size, or forget to count.
#[test]
fn chunks_without_a_picture_are_skipped_and_counted() {
    let mut bench = start(Manner::default());
    for (chunk, skipped) in [Chunk::None, Chunk::Corrupted, Chunk::Half].into_iter().zip(1..) {
        let picture = Picture { byte: 9, chunk, ..Picture::default() };
        producer::until("a buffer is free", || bench.producer.give(picture.clone()));
        producer::until("it is skipped", || {
            let counts = bench.line().source;
            counts.pointer_only + counts.corrupted + counts.short == skipped
        });
    }
    let frame = bench.pass(Picture { byte: 7, chunk: Chunk::Unsaid, ..Picture::default() });
    assert_eq!(frame.number, 1);
    let counts = bench.line().source;
    assert_eq!((counts.pointer_only, counts.corrupted, counts.short), (1, 1, 1));
}

// Sabotage: refuse buffers whose rows are longer than their pixels.
#[test]
fn rows_may_be_longer_than_their_pixels() {
    let mut bench = start(Manner { padding: 256, ..Manner::default() });
    let frame = bench.pass(Picture { byte: 7, ..Picture::default() });
    assert_eq!(bench.reader.pools[0].layout().stride, 1280 * 4 + 256);
    bench.reader.give_back(&frame);
    assert_eq!(bench.line().source.copied, 0);
}

// Sabotage: leave the stream running while nobody reads, or trust the first damage after a rest.
#[test]
fn producer_rests_while_nobody_reads_and_the_next_picture_is_whole() {
    let mut bench = start(Manner::default());
    let frame = bench.pass(Picture { byte: 1, ..Picture::default() });
    bench.reader.give_back(&frame);
    let Bench { captured, producer, reader, _daemon } = bench;
    drop(reader);
    producer::until("the producer rests", || !producer.is_streaming());
    let reader = captured.open(spec(1280, 720));
    let mut bench = Bench { captured, producer, reader, _daemon };
    let kept = bench.reader.frame();
    assert_eq!(bench.reader.picture(&kept)[0], 1, "the newest picture is kept");
    bench.reader.give_back(&kept);
    bench.producer.wait_for_start(&bench.captured.board, 2);
    let damage = vec![Rect { x: 0, y: 0, width: 1, height: 1 }];
    let frame = bench.pass(Picture { byte: 2, damage, ..Picture::default() });
    assert_eq!(frame.damage, Damage::full(1280, 720));
}

// Sabotage: wait for a picture for ever. Of a still screen there is only the first one, and PipeWire can lose it.
#[test]
fn producer_that_shows_nothing_at_first_is_asked_once_more() {
    let bench = start(Manner::default());
    let starts = || bench.producer.known.starts.load(Relaxed);
    assert_eq!(starts(), 1);
    producer::until("it is asked again", || starts() == 2);
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!((starts(), bench.line().source.asked_again), (2, 1));
}

// Sabotage: put the stream into the reader's mode instead of the spec's.
#[test]
fn reader_hears_the_mode_that_was_negotiated() {
    let daemon = Daemon::start();
    let producer = Producer::start(&daemon, Manner::default());
    let captured = Captured::new(Node::new(&daemon, producer.node()), LONG);
    let mut asked = spec(800, 600);
    asked.refresh_mhz = 59_940;
    let mut reader = captured.open(asked);
    let mode = loop {
        if let FromCapture::Ready { mode } = reader.next(LONG).expect("a message") {
            break mode;
        }
    };
    assert_eq!((mode.width, mode.height, mode.refresh_mhz), (800, 600, 59_940));
}
