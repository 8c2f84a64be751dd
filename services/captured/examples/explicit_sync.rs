//! What explicit sync must hold, judged with real dmabufs and real timelines: a session of captured between a producer that
//! draws when it is told to and a reader that returns when it likes. The emulated machine of packaging/lab/vm runs it
//! (tests/system/explicit_sync_is_kept.rs), since it needs a DRM device; each sentence that was true is printed, and the
//! first that is not ends it.

#![allow(clippy::indexing_slicing, clippy::panic, reason = "it is a test")]

#[path = "../tests/bench/mod.rs"]
mod bench;
#[path = "../tests/producer/mod.rs"]
mod producer;

use bench::{Captured, Reader, SESSION, spec, until};
use lumen_captured::{backends::Counts, board::Line};
use lumen_ipc::{
    bus::OutputSpec,
    capture::{Frame, FromCapture, ToCapture},
};
use producer::{Chunk, Daemon, Manner, Memory, Node, Picture, Pointing, Producer, UNDRAWN};
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

/// Long enough to see that something does not happen, and well below the second for which a picture is waited for.
const WHILE: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(60);

struct Scene {
    producer: Producer,
    node: Arc<Node>,
    captured: Captured,
    /// `None` while nobody reads.
    reader: Option<Reader>,
}

fn wanted() -> OutputSpec {
    OutputSpec { memory: Some("dmabuf".into()), ..spec(640, 360) }
}

impl Scene {
    fn new(daemon: &Daemon) -> Self {
        let manner = Manner { memory: Memory::Udmabuf, timelines: true, ..Manner::default() };
        let producer = Producer::start(daemon, manner);
        let node = Node::new(daemon, producer.node());
        let captured = Captured::new(node.clone(), LONG);
        let reader = captured.open(wanted());
        producer.wait_for(&captured.board);
        Self { producer, node, captured, reader: Some(reader) }
    }

    fn line(&self) -> Line {
        let mut line = Line::default();
        self.captured.board.write(SESSION, |now| line = now.clone());
        line
    }

    fn counts(&self) -> Counts {
        self.line().source
    }

    fn give(&self, byte: u8, later: bool) {
        let picture = || Picture { byte, later, ..Picture::default() };
        until("a buffer is free", || self.producer.give(picture()));
    }

    /// The next Frame, which is wholly of this byte.
    fn frame(&mut self, byte: u8) -> Frame {
        let reader = self.reader();
        let frame = reader.frame();
        let picture = reader.picture(&frame);
        assert!(picture.iter().all(|&read| read == byte), "{} was read, not {byte}", picture[0]);
        drop(picture);
        frame
    }

    fn reader(&mut self) -> &mut Reader {
        self.reader.as_mut().expect("somebody reads")
    }

    fn no_frame(&mut self) {
        while let Some(message) = self.reader().next(WHILE) {
            assert!(!matches!(message, FromCapture::Frame(_)), "{message:?}");
        }
    }

    fn due(&self, due: usize) {
        until(&format!("{due} buffers are due: {:?}", self.producer.releases()), || {
            self.producer.releases().due == due
        });
    }

    /// The session is over before the next one begins, whose node may have the same number.
    fn end(mut self) {
        let releases = self.producer.releases();
        assert_eq!(releases.beyond, 0, "a timeline was raised too far: {releases:?}");
        self.reader().link.send(&ToCapture::Close, &[]).expect("captured listens");
        until("the session is over", || self.node.released.load(Relaxed) == 1);
    }
}

fn a_picture_is_handed_on_when_it_is_drawn_and_not_before(daemon: &Daemon) {
    let mut scene = Scene::new(daemon);
    for byte in 1..20 {
        scene.give(byte, true);
        if byte < 3 {
            scene.no_frame();
        }
        scene.producer.draw(0);
        let frame = scene.frame(byte);
        scene.reader().give_back(&frame);
    }
    scene.give(99, false);
    let frame = scene.frame(99);
    scene.reader().give_back(&frame);
    let (counts, line) = (scene.counts(), scene.line());
    assert!(counts.sync_waited >= 2 && counts.sync_refused + counts.sync_failed == 0, "{counts:?}");
    assert!(line.why.contains("explicit sync"), "{}", line.why);
    assert!(line.memory.is_some_and(|(_, is_foreign)| is_foreign), "{line:?}");
    scene.end();
}

fn each_release_follows_its_return_and_comes_once(daemon: &Daemon) {
    let mut scene = Scene::new(daemon);
    scene.give(1, false);
    let first = scene.frame(1);
    scene.give(2, false);
    let second = scene.frame(2);
    std::thread::sleep(WHILE);
    scene.due(2);
    scene.reader().give_back(&first);
    scene.due(1);
    scene.reader().give_back(&second);
    std::thread::sleep(WHILE);
    assert_eq!(scene.producer.releases().due, 1, "the newest picture is kept");
    let pointing = Some(Pointing { x: 1, y: 1, bitmap: None });
    let pointer = Picture { chunk: Chunk::None, pointing, ..Picture::default() };
    assert!(scene.producer.give(pointer), "no buffer is free");
    for byte in 3..60 {
        scene.give(byte, byte % 2 == 0);
        scene.producer.draw(0);
        let frame = scene.frame(byte);
        scene.reader().give_back(&frame);
    }
    scene.due(1);
    until("58 releases are counted", || scene.counts().sync_released == 58);
    assert!(scene.counts().pointer_only >= 1, "{:?}", scene.counts());
    scene.end();
}

fn a_reader_that_dies_leaves_no_buffer_unreleased(daemon: &Daemon) {
    let mut scene = Scene::new(daemon);
    scene.give(1, false);
    scene.frame(1);
    scene.give(2, false);
    scene.frame(2);
    // It holds both.
    scene.due(2);
    scene.reader = None;
    scene.due(1);
    scene.reader = Some(scene.captured.open(wanted()));
    let frame = scene.frame(2);
    scene.due(1);
    scene.reader().give_back(&frame);
    scene.give(3, true);
    scene.producer.draw(0);
    scene.frame(3);
    scene.due(1);
    scene.end();
}

fn a_picture_that_is_never_drawn_holds_nobody_up(daemon: &Daemon) {
    let mut scene = Scene::new(daemon);
    scene.give(1, true);
    scene.give(2, false);
    let frame = scene.frame(2);
    scene.reader().give_back(&frame);
    assert_eq!(scene.counts().sync_overtaken, 1);
    scene.due(1);
    scene.give(3, true);
    until("one is late", || scene.counts().sync_late == 1);
    scene.due(1);
    scene.give(4, false);
    let frame = scene.frame(4);
    scene.reader().give_back(&frame);
    assert_eq!(frame.damage, lumen_ipc::Damage::full(640, 360), "what the lost ones changed is unknown");
    scene.end();
}

fn a_buffer_that_pipewire_lost_is_released_too(daemon: &Daemon) {
    let mut scene = Scene::new(daemon);
    // The next is given before captured can have taken the one before.
    until("a buffer is lost", || {
        scene.producer.burst(4);
        while scene.reader.as_mut().is_some_and(|reader| match reader.next(Duration::ZERO) {
            Some(FromCapture::Frame(frame)) => {
                reader.give_back(&frame);
                true
            }
            message => message.is_some(),
        }) {}
        scene.producer.known.unreleased.load(Relaxed) > 0
    });
    // But for the newest picture, which is kept.
    until("all lost ones are released", || scene.producer.releases().due <= 1);
    assert!(scene.counts().sync_lost > 0, "{:?}", scene.counts());
    scene.end();
}

fn a_producer_that_never_draws_is_read_without_explicit_sync(daemon: &Daemon) {
    let mut scene = Scene::new(daemon);
    (1..=3).for_each(|byte| scene.give(byte, true));
    until("explicit sync is given up", || scene.counts().sync_refused == 1);
    assert_eq!(scene.counts().sync_late, 3);
    let starts = scene.counts().starts;
    scene.producer.wait_for_start(&scene.captured.board, starts.max(2));
    scene.give(9, true);
    let frame = scene.frame(9);
    scene.reader().give_back(&frame);
    let line = scene.line();
    assert!(!line.why.contains("explicit sync"), "{}", line.why);
    assert_eq!((line.source.modifiers_dropped, scene.producer.releases().buffers), (0, 0));
    scene.end();
}

/// What is claimed, and what judges it.
type Claim = (&'static str, fn(&Daemon));

fn main() {
    assert_ne!(UNDRAWN, 0);
    let daemon = Daemon::start();
    let all: [Claim; 6] = [
        (
            "a picture is handed on when it is drawn and not before",
            a_picture_is_handed_on_when_it_is_drawn_and_not_before,
        ),
        ("each release follows its return and comes once", each_release_follows_its_return_and_comes_once),
        ("a reader that dies leaves no buffer unreleased", a_reader_that_dies_leaves_no_buffer_unreleased),
        ("a picture that is never drawn holds nobody up", a_picture_that_is_never_drawn_holds_nobody_up),
        ("a buffer that PipeWire lost is released too", a_buffer_that_pipewire_lost_is_released_too),
        (
            "a producer that never draws is read without explicit sync",
            a_producer_that_never_draws_is_read_without_explicit_sync,
        ),
    ];
    for (sentence, judge) in all {
        judge(&daemon);
        println!("true: {sentence}");
    }
}
