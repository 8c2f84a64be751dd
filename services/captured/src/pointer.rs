//! The pointer of one session, where it is told apart from the picture: what it is now, and what the reader of this
//! link knows of it. Pure.
//!
//! A bitmap is told before it is named. At most one position that comes without a Frame is out; meanwhile only the newest
//! is kept, so a slow reader costs positions and never latency.

use crate::backends::Spot;
use lumen_ipc::{
    Timeline,
    capture::FromCapture,
    pointer::{Pointer, PointerBitmap},
};

/// What the reader of this link knows.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    /// The bitmap told last.
    bitmap: Option<u32>,
    /// What it drew last; `None` before the first Frame.
    pointer: Option<Option<Pointer>>,
    /// A position without a Frame is not taken yet.
    out: bool,
}

/// The pointer.
#[derive(Debug, Default)]
pub struct Pointers {
    spot: Option<Spot>,
    dequeued_ns: u64,
    bitmap: Option<PointerBitmap>,
    told: Told,
}

impl Pointers {
    /// A reader came, or went: it knows nothing.
    pub fn attach(&mut self) {
        self.told = Told::default();
    }

    /// The pictures are others from now on: a position alone means nothing until the next Frame.
    pub fn renew(&mut self) {
        self.told.pointer = None;
    }

    /// There is no source any more.
    pub fn hide(&mut self) {
        self.spot = None;
    }

    /// The pointer is there, or nowhere, since this time.
    pub fn moved(&mut self, spot: Option<Spot>, dequeued_ns: u64) {
        (self.spot, self.dequeued_ns) = (spot, dequeued_ns);
    }

    /// It looks like this from now on.
    pub fn changed(&mut self, bitmap: PointerBitmap) {
        self.bitmap = Some(bitmap);
    }

    /// The reader took the position that was out.
    pub fn taken(&mut self) {
        self.told.out = false;
    }

    /// What is to be drawn now. Nothing, as long as nobody said what it looks like.
    pub fn now(&self) -> Option<Pointer> {
        let (spot, bitmap) = self.spot.zip(self.bitmap)?;
        Some(Pointer { x: spot.x, y: spot.y, bitmap: bitmap.id })
    }

    /// The bitmap that the reader must hear of before anything names it.
    pub fn poll_bitmap(&mut self) -> Option<PointerBitmap> {
        let bitmap =
            self.bitmap.filter(|bitmap| self.spot.is_some() && self.told.bitmap != Some(bitmap.id))?;
        self.told.bitmap = Some(bitmap.id);
        Some(bitmap)
    }

    /// A Frame goes to the reader: with this.
    pub fn with_frame(&mut self) -> Option<Pointer> {
        let now = self.now();
        self.told.pointer = Some(now);
        now
    }

    /// A position that goes to the reader without a Frame.
    pub fn poll_moved(&mut self) -> Option<FromCapture> {
        let now = self.now();
        let known = self.told.pointer?;
        if self.told.out || known == now {
            return None;
        }
        (self.told.out, self.told.pointer) = (true, Some(now));
        let timeline = Timeline { dequeued_ns: self.dequeued_ns, ..Timeline::default() };
        Some(FromCapture::Pointer { pointer: now, timeline })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bitmap(id: u32) -> PointerBitmap {
        PointerBitmap { id, width: 4, height: 4, hotspot_x: 0, hotspot_y: 0 }
    }

    fn at(x: i32) -> Option<Spot> {
        Some(Spot { x, y: 0 })
    }

    fn xs(pointers: &mut Pointers) -> Option<i32> {
        match pointers.poll_moved()? {
            FromCapture::Pointer { pointer, .. } => pointer.map(|pointer| pointer.x),
            other => panic!("{other:?}"),
        }
    }

    // Sabotage: send every position, or the oldest, or a second one before the first was taken.
    #[test]
    fn slow_reader_gets_the_newest_position_and_one_at_a_time() {
        let mut pointers = Pointers::default();
        pointers.changed(bitmap(1));
        pointers.moved(at(1), 1);
        assert_eq!(xs(&mut pointers), None, "there is no Frame yet on which it could be");
        assert_eq!(pointers.poll_bitmap(), Some(bitmap(1)));
        assert_eq!(pointers.with_frame().map(|pointer| pointer.x), Some(1));
        assert_eq!(xs(&mut pointers), None, "the Frame told it already");
        pointers.moved(at(2), 2);
        assert_eq!(xs(&mut pointers), Some(2));
        (3..9).for_each(|x| pointers.moved(at(x), 3));
        assert_eq!(xs(&mut pointers), None);
        pointers.taken();
        assert_eq!(xs(&mut pointers), Some(8));
        pointers.taken();
        assert_eq!(xs(&mut pointers), None);
    }

    // Sabotage: tell a bitmap once per session and not once per link, or name one that nobody told.
    #[test]
    fn each_reader_hears_what_the_pointer_looks_like_before_where_it_is() {
        let mut pointers = Pointers::default();
        pointers.moved(at(1), 1);
        assert_eq!((pointers.now(), pointers.poll_bitmap()), (None, None));
        pointers.changed(bitmap(1));
        for _ in 0..2 {
            pointers.attach();
            assert_eq!(pointers.poll_bitmap(), Some(bitmap(1)));
            assert_eq!(pointers.poll_bitmap(), None);
        }
        pointers.changed(bitmap(2));
        assert_eq!(pointers.poll_bitmap(), Some(bitmap(2)));
        pointers.hide();
        assert_eq!(pointers.with_frame(), None);
    }
}
