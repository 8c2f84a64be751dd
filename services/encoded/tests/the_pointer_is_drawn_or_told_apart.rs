//! The pointer between real links: blended into the pictures, or handed on to a reader who draws it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "all of it is test code")]

mod neighbours;

use std::{os::fd::AsFd, time::Duration};

use lumen_ipc::{
    bus::StreamSpec,
    encode::{AccessUnit, UnitKind},
    pointer::Pointer,
};
use neighbours::{Reader, SESSION, Street, spec};
use openh264::{decoder::Decoder, formats::YUVSource};

const RED: [u8; 4] = [0, 0, 255, 255];

fn street() -> Street {
    Street::new(Duration::from_secs(10), || ())
}

fn at(x: i32, y: i32) -> Option<Pointer> {
    Some(Pointer { x, y, bitmap: 1 })
}

/// A reader that looks at what it gets.
struct Viewer {
    reader: Reader,
    decoder: Decoder,
    /// The newest picture's Cr, and its bytes a row.
    red: (Vec<u8>, usize),
}

impl Viewer {
    fn new(reader: Reader) -> Self {
        Self { reader, decoder: Decoder::new().unwrap(), red: (vec![], 0) }
    }

    /// The next picture, and lets encoded go on.
    fn look(&mut self) -> AccessUnit {
        let (unit, bytes) = self.reader.unit();
        let picture = self.decoder.decode(&bytes).unwrap().expect("a picture without delay");
        self.red = (picture.v().to_vec(), picture.strides().2);
        self.reader.sent(unit.number);
        unit
    }

    /// Looks on until a picture comes that is more than a repeat.
    fn look_for_news(&mut self) -> AccessUnit {
        loop {
            let unit = self.look();
            if unit.kind != UnitKind::Repeat {
                return unit;
            }
        }
    }

    /// Whether a red square of 16 pixels begins at `x` and `y`.
    fn sees_red_at(&self, x: usize, y: usize) -> bool {
        let is_red = |x: usize, y: usize| self.red.0[y / 2 * self.red.1 + x / 2] > 190;
        let inside = is_red(x + 4, y + 4) && is_red(x + 12, y + 12);
        inside && !is_red(x + 24, y + 8) && !is_red(x + 8, y + 24)
    }

    fn sees_red(&self) -> bool {
        self.red.0.iter().any(|&red| red > 190)
    }
}

// Sabotage: do not draw, do not lift, do not answer, or encode a movement only with the next Frame.
#[test]
fn it_is_drawn_where_it_points_and_gone_where_it_was() {
    let street = street();
    let mut viewer = Viewer::new(street.reader(spec(320, 240)));
    let mut captured = street.captured(320, 240);
    captured.bitmap(1, RED);
    captured.pointer = at(32, 160);
    captured.frame();
    assert_eq!(viewer.look_for_news().kind, UnitKind::Idr);
    assert!(viewer.sees_red_at(32, 160));
    for x in [33, 64, 200] {
        captured.moved(at(x, 200));
        captured.pointer_taken();
        let unit = viewer.look_for_news();
        assert_eq!((unit.kind, unit.frame), (UnitKind::Delta, 1));
        assert!(viewer.sees_red_at(x as usize, 200) && !viewer.sees_red_at(32, 160), "at {x}");
    }
    captured.moved(None);
    captured.pointer_taken();
    viewer.look_for_news();
    assert!(!viewer.sees_red(), "it is hidden");
    assert_eq!(street.made.load(std::sync::atomic::Ordering::SeqCst), 1);
}

// Sabotage: take a pointer of unknown look for a fault, or do not count it.
#[test]
fn one_of_unknown_look_is_counted_and_not_drawn() {
    let street = street();
    let mut viewer = Viewer::new(street.reader(spec(320, 240)));
    let mut captured = street.captured(320, 240);
    captured.bitmap(2, RED);
    captured.pointer = at(32, 160);
    captured.frame();
    viewer.look_for_news();
    assert!(!viewer.sees_red());
    captured.moved(Some(Pointer { x: 64, y: 160, bitmap: 2 }));
    captured.pointer_taken();
    viewer.look_for_news();
    assert!(viewer.sees_red_at(64, 160));
    assert_eq!(street.board.read(SESSION).map(|line| line.bad_pointers), Some(1));
}

// Sabotage: end the link for a bitmap whose size cannot be, or do not count it.
#[test]
fn one_that_is_too_large_is_counted_and_the_link_goes_on() {
    let street = street();
    let mut viewer = Viewer::new(street.reader(spec(320, 240)));
    let mut captured = street.captured(320, 240);
    captured.oversized_bitmap(1);
    captured.pointer = at(32, 160);
    captured.frame();
    viewer.look_for_news();
    assert!(!viewer.sees_red());
    captured.bitmap(2, RED);
    captured.moved(Some(Pointer { x: 64, y: 160, bitmap: 2 }));
    captured.pointer_taken();
    viewer.look_for_news();
    assert!(viewer.sees_red_at(64, 160));
    // Once for the bitmap, once for the Frame that names it.
    assert_eq!(street.board.read(SESSION).map(|line| line.bad_pointers), Some(2));
}

// Sabotage: draw it as well, or tell where it is before what it looks like.
#[test]
fn a_reader_who_wants_it_apart_is_told_and_sees_clean_pictures() {
    let street = street();
    let apart = StreamSpec { cursor: Some("separate".into()), ..spec(320, 240) };
    let mut viewer = Viewer::new(street.reader(apart));
    let mut captured = street.captured(320, 240);
    captured.bitmap(1, RED);
    captured.pointer = at(32, 160);
    captured.frame();
    viewer.look_for_news();
    assert_eq!(viewer.reader.pointer, at(32, 160));
    let (bitmap, memory) = &viewer.reader.bitmaps[0];
    let mut pixel = [0; 4];
    rustix::io::pread(memory.as_fd(), &mut pixel, 1020).unwrap();
    assert_eq!((bitmap.id, bitmap.width, pixel), (1, 16, RED));
    captured.moved(at(40, 50));
    captured.pointer_taken();
    captured.pointer = at(40, 50);
    captured.frame();
    viewer.look_for_news();
    assert!(!viewer.sees_red());
    assert_eq!((viewer.reader.pointer, viewer.reader.bitmaps.len()), (at(40, 50), 1));
}
