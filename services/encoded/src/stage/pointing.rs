//! The pointer's way through a session: drawn on the pictures, or told apart from them.

use arrayvec::ArrayVec;
use lumen_ipc::{Timeline, pointer::Pointer};

use super::{Fault, Output, Session};
use crate::pointer::MAX_BITMAPS;

/// What is known of the pointer.
#[derive(Debug, Default)]
pub struct Pointing {
    /// It moved since the newest Frame, and that is not yet drawn or told.
    moved: Option<(Option<Pointer>, Timeline)>,
    /// captured waits for an answer to its message.
    out: bool,
    /// It is to be answered now.
    answer: bool,
    /// Where it is, for a reader who wants it apart; `None` before captured told.
    apart: Option<Option<Pointer>>,
}

/// What a reader knows of a pointer that it is told apart.
#[derive(Debug, Default)]
pub struct Told {
    /// Where it is, once that was told.
    pointer: Option<Option<Pointer>>,
    /// Ids of the bitmaps that it has.
    bitmaps: ArrayVec<u32, MAX_BITMAPS>,
    /// It has not yet read what it was told last.
    pub unread: bool,
}

impl Pointing {
    /// Nothing that is still to be drawn or told is newer than the newest Frame.
    fn supersede(&mut self) {
        self.answer |= self.moved.take().is_some();
    }

    /// Whether captured is to be answered; asks but once.
    pub fn poll_answer(&mut self) -> bool {
        let answer = std::mem::take(&mut self.answer);
        self.out &= !answer;
        answer
    }

    /// Whether a movement waits.
    pub fn is_moved(&self) -> bool {
        self.moved.is_some()
    }

    /// The movement that waits; captured may send the next one.
    pub fn take_moved(&mut self) -> Option<(Option<Pointer>, Timeline)> {
        let moved = self.moved.take();
        self.answer |= moved.is_some();
        moved
    }
}

impl Session {
    /// Whether the reader wants the pointer apart from the pictures.
    pub(super) fn is_apart(&self) -> bool {
        self.spec.cursor.as_deref() == Some("separate")
    }

    /// A Frame says where the pointer is. Returns the pointer that is to be drawn on it.
    pub(super) fn point_with_frame(&mut self, pointer: Option<Pointer>) -> Option<Pointer> {
        self.pointing.supersede();
        if self.is_apart() {
            self.pointing.apart = Some(pointer);
            return None;
        }
        pointer
    }

    /// Only the pointer moved.
    ///
    /// # Errors
    /// The movement before is not yet answered.
    pub(super) fn handle_pointer(
        &mut self,
        pointer: Option<Pointer>,
        timeline: Timeline,
        now_ns: u64,
    ) -> Result<(), Fault> {
        if self.pointing.out {
            return Err(Fault::TooManyPointers);
        }
        self.pointing.out = true;
        self.counters.pointers += 1;
        let is_apart = self.is_apart();
        match self.waiting.last_mut().filter(|_| !is_apart) {
            // It is drawn on the Frame that waits.
            Some(frame) => {
                frame.pointer = pointer;
                self.pointing.answer = true;
            }
            None => self.pointing.moved = Some((pointer, Timeline { received_ns: now_ns, ..timeline })),
        }
        Ok(())
    }

    /// captured's link is another: what it named is unknown, and nothing of it waits for an answer.
    pub(super) fn forget_pointer(&mut self) {
        self.pointing = Pointing::default();
        if let Some(reader) = &mut self.reader {
            reader.told.bitmaps.clear();
            reader.told.pointer = None;
        }
    }

    /// What the reader lacks of a pointer that is told apart.
    pub(super) fn poll_apart(&mut self) -> Option<Output> {
        if !self.is_apart() || self.reader.as_ref().is_none_or(|reader| reader.told.unread) {
            return None;
        }
        if let Some((pointer, _)) = self.pointing.take_moved() {
            self.pointing.apart = Some(pointer);
            return self.pointing.poll_answer().then_some(Output::AnswerPointer);
        }
        let (reader, pointer) = (self.reader.as_mut()?, self.pointing.apart?);
        if reader.told.pointer == Some(pointer) {
            return None;
        }
        if let Some(id) = pointer.map(|pointer| pointer.bitmap).filter(|id| !reader.told.bitmaps.contains(id))
        {
            if reader.told.bitmaps.is_full() {
                reader.told.bitmaps.remove(0);
            }
            reader.told.bitmaps.push(id);
            return Some(Output::TellBitmap(id));
        }
        (reader.told.pointer, reader.told.unread) = (Some(pointer), true);
        Some(Output::TellPointer(pointer))
    }
}
