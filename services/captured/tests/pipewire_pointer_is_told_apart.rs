//! The cursor metadata of a PipeWire node: with each Frame, alone, and its bitmaps.

mod bench;
mod producer;

use bench::{Captured, Reader, spec};
use lumen_ipc::{
    capture::{FromCapture, ToCapture},
    pointer::Pointer,
};
use producer::{Chunk, Daemon, Manner, Node, Picture, Pointing, Producer};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(200);

fn moved(x: i32) -> Picture {
    let pointing = Some(Pointing { x, y: 5, bitmap: None });
    Picture { pointing, chunk: Chunk::None, ..Picture::default() }
}

fn give(producer: &Producer, picture: Picture) {
    producer::until("a buffer is free", || producer.give(picture.clone()));
}

/// The next message that tells of the pointer alone.
fn next_pointer(reader: &mut Reader, limit: Duration) -> Option<Option<Pointer>> {
    loop {
        if let FromCapture::Pointer { pointer, timeline } = reader.next(limit)? {
            assert!(timeline.dequeued_ns > 0);
            return Some(pointer);
        }
    }
}

// Sabotage: name a bitmap before it was sent; send every position; or drop the metadata of a buffer without a picture.
#[test]
fn pointer_comes_with_frames_and_alone_and_its_bitmap_before_both() {
    let daemon = Daemon::start();
    let producer = Producer::start(&daemon, Manner::default());
    let captured = Captured::new(Node::new(&daemon, producer.node()), LONG);
    let mut reader = captured.open(spec(1280, 720));
    producer.wait_for(&captured.board);
    let pointing = Some(Pointing { x: 10, y: 20, bitmap: Some((24, 0x80)) });
    give(&producer, Picture { byte: 1, pointing, ..Picture::default() });
    let (mut bitmap, mut frame) = (None, None);
    while frame.is_none() {
        match reader.next(LONG).expect("a message") {
            FromCapture::Bitmap(told) => bitmap = Some(told),
            FromCapture::Frame(told) => frame = Some(told),
            FromCapture::Failed(failure) => panic!("{failure}"),
            _ => {}
        }
    }
    let (bitmap, frame) = (bitmap.expect("a bitmap before the Frame"), frame.unwrap());
    assert_eq!((bitmap.width, bitmap.height, bitmap.hotspot_x, bitmap.hotspot_y), (24, 24, 1, 2));
    assert_eq!(frame.pointer, Some(Pointer { x: 10, y: 20, bitmap: bitmap.id }));
    reader.give_back(&frame);

    (11..=30).for_each(|x| give(&producer, moved(x)));
    let first = next_pointer(&mut reader, LONG).unwrap().unwrap();
    assert!((11..=30).contains(&first.x) && first.bitmap == bitmap.id);
    assert_eq!(next_pointer(&mut reader, SHORT), None, "a second one came before the first was taken");
    if first.x < 30 {
        reader.link.send(&ToCapture::PointerTaken, &[]).unwrap();
        let last = next_pointer(&mut reader, LONG).unwrap().unwrap();
        assert_eq!(last.x, 30, "only the newest position is kept");
    }
    reader.link.send(&ToCapture::PointerTaken, &[]).unwrap();
    give(&producer, Picture { chunk: Chunk::None, ..Picture::default() });
    assert_eq!(next_pointer(&mut reader, LONG), Some(None), "it left the stream");
}

// Sabotage: send a bitmap again whenever it is written, or not again to the next reader.
#[test]
fn bitmaps_are_told_when_they_change_and_to_each_reader() {
    let daemon = Daemon::start();
    let producer = Producer::start(&daemon, Manner::default());
    let captured = Captured::new(Node::new(&daemon, producer.node()), LONG);
    let mut reader = captured.open(spec(1280, 720));
    producer.wait_for(&captured.board);
    let with = |byte, shade| {
        let pointing = Some(Pointing { x: 1, y: 1, bitmap: Some((32, shade)) });
        Picture { byte, pointing, ..Picture::default() }
    };
    let mut bitmaps = Vec::new();
    for (byte, shade) in [(1, 7), (2, 7), (3, 7), (4, 8)] {
        give(&producer, with(byte, shade));
        loop {
            match reader.next(LONG).expect("a message") {
                FromCapture::Bitmap(bitmap) => bitmaps.push(bitmap.id),
                FromCapture::Frame(frame) => break reader.give_back(&frame),
                _ => {}
            }
        }
    }
    assert_eq!(bitmaps, [1, 2]);
    let mut second = captured.open(spec(1280, 720));
    let told = loop {
        match second.next(LONG).expect("a message") {
            FromCapture::Bitmap(bitmap) => break bitmap.id,
            FromCapture::Frame(_) => panic!("a Frame names a bitmap that this reader never got"),
            _ => {}
        }
    };
    assert_eq!(told, 2);
}
