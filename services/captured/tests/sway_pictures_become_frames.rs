//! The wlroots backend against a live sway.

#![allow(clippy::indexing_slicing, reason = "pixels")]

mod bench;

use bench::{Captured, Direct, Reader, Sway, spec};
use lumen_ipc::{
    Damage, Rect,
    capture::{Frame, FromCapture},
};
use std::{sync::atomic::Ordering::Relaxed, thread::sleep, time::Duration};

const LONG: Duration = Duration::from_secs(10);
/// What sway is told to paint, blue first.
const BACKGROUND: [u8; 3] = [0x80, 0x50, 0x20];

/// Blue, green, red of the pixel.
fn pixel(picture: &[u8], width: usize, x: usize, y: usize) -> [u8; 3] {
    let at = (y * width + x) * 4;
    [0, 1, 2].map(|byte| picture.get(at + byte).copied().expect("the pixel is in the picture"))
}

/// Takes Frames until the background is painted, which swaybg does a moment after sway's start.
fn painted(reader: &mut Reader, width: usize) -> Frame {
    loop {
        let frame = reader.frame();
        if pixel(&reader.picture(&frame), width, width / 2, 300) == BACKGROUND {
            return frame;
        }
        reader.give_back(&frame);
    }
}

// Sabotage: wait for damage already with the first copy; or free the newest buffer when it is returned.
#[test]
fn still_screen_gives_a_picture_to_every_reader_at_once() {
    let sway = Sway::start();
    let captured = Captured::new(Direct::new(&sway, "HEADLESS-1"), LONG);
    let mut first = captured.open(spec(1280, 720));
    let frame = painted(&mut first, 1280);
    first.give_back(&frame);
    // Until the return is taken in: the picture must stay although nobody holds it.
    sleep(Duration::from_millis(50));
    for _ in 0..3 {
        let mut reader = captured.open(spec(1280, 720));
        let frame = reader.frame();
        assert_eq!(pixel(&reader.picture(&frame), 1280, 640, 360), BACKGROUND);
        assert_eq!(frame.damage, Damage::full(1280, 720));
        reader.give_back(&frame);
    }
}

// Sabotage: forget to ask for a new pool when the offered layout changes.
#[test]
fn changed_mode_comes_with_a_new_pool() {
    let sway = Sway::start();
    let captured = Captured::new(Direct::new(&sway, "HEADLESS-1"), LONG);
    let mut reader = captured.open(spec(1280, 720));
    let first = painted(&mut reader, 1280);
    reader.give_back(&first);
    sway.message(&["output", "HEADLESS-1", "mode", "--custom", "800x600@60Hz"]);
    let mut told = None;
    while told != Some((800, 600)) {
        match reader.next(LONG).expect("a message") {
            FromCapture::Ready { mode } => told = Some((mode.width, mode.height)),
            FromCapture::Frame(frame) => reader.give_back(&frame),
            _ => {}
        }
    }
    let frame = painted(&mut reader, 800);
    assert_ne!(frame.buffer.pool, first.buffer.pool);
    let layout = *reader.pools.last().unwrap().layout();
    assert_eq!((layout.width, layout.height), (800, 600));
    assert_eq!(pixel(&reader.picture(&frame), 800, 799, 599), BACKGROUND);
}

// Sabotage: let `handle_failure` never tell the reader; or let it give up after the first failure.
#[test]
fn compositor_that_dies_is_told_and_its_successor_found() {
    let mut first = Sway::start();
    let captured_by = Direct::new(&first, "HEADLESS-1");
    let captured = Captured::new(captured_by.clone(), LONG);
    let mut reader = captured.open(spec(1280, 720));
    let frame = reader.frame();
    reader.give_back(&frame);
    first.kill();
    let failure = loop {
        match reader.next(LONG).expect("a message") {
            FromCapture::Failed(failure) => break failure,
            FromCapture::Frame(frame) => reader.give_back(&frame),
            _ => {}
        }
    };
    assert!(!failure.text.is_empty() && !failure.advice.is_empty());
    assert!(captured_by.acquired.load(Relaxed) >= 3, "it tried again by itself before it told");
}

// Sabotage: match outputs by their order and not by their name.
#[test]
fn unknown_output_is_named_with_those_that_are_there() {
    let sway = Sway::start();
    let captured = Captured::new(Direct::new(&sway, "HEADLESS-9"), LONG);
    let mut reader = captured.open(spec(1280, 720));
    match reader.next(LONG) {
        Some(FromCapture::Failed(failure)) => {
            assert!(failure.text.contains("HEADLESS-9") && failure.text.contains("HEADLESS-1"), "{failure}");
        }
        other => panic!("{other:?}"),
    }
}

/// Whether the pixel with this index in a picture of this width lies in what changed.
fn changed(frame: &Frame, width: usize, index: usize) -> bool {
    let (x, y) = ((index % width) as u32, (index / width) as u32);
    let inside = |r: &Rect| r.x <= x && x < r.x + r.width && r.y <= y && y < r.y + r.height;
    frame.damage.rects().iter().any(inside)
}

// Sabotage: forget the damage of skipped pictures, or of the second copy in flight. The reader is slow now
// and then, so that both happen.
#[test]
fn nothing_changes_outside_of_the_damage() {
    let mut sway = Sway::start();
    sway.program("foot", &["sh", "-c", "while :; do date +%N; sleep 0.03; done"]);
    let captured = Captured::new(Direct::new(&sway, "HEADLESS-1"), LONG);
    let mut reader = captured.open(spec(1280, 720));
    let (mut before, mut moved, mut partial, mut skipped) = (Vec::new(), 0, 0, 0);
    for number in 0..60 {
        let frame = reader.frame();
        let picture = reader.picture(&frame).to_vec();
        let pairs = picture.chunks_exact(4).zip(before.chunks_exact(4)).enumerate();
        for (index, _) in pairs.filter(|(_, (new, old))| new[..3] != old[..3]) {
            assert!(changed(&frame, 1280, index), "pixel {index} of Frame {number} changed unsaid");
            moved += 1;
        }
        partial += u32::from(frame.damage != Damage::full(1280, 720));
        skipped += frame.skipped;
        before = picture;
        if number % 10 == 9 {
            // Long enough for several pictures: two are not even sent while this one and its successor are
            // out.
            let held = reader.frame();
            before = reader.picture(&held).to_vec();
            sleep(Duration::from_millis(150));
            reader.give_back(&held);
        }
        reader.give_back(&frame);
    }
    assert!(moved > 0, "nothing moved");
    assert!(
        partial > 0 && skipped > 0,
        "{partial} partial Frames, {skipped} skipped pictures: nothing was tried"
    );
}
