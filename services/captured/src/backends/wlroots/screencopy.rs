//! wlr-screencopy version 3: a frame object per copy.
//!
//! ```text
//!  ask ─► Asked ─ buffer, buffer_done ─► Offered ─ a buffer is given ─► Copying ─ damage, flags, ready ─► Filled
//! ```
//! The first copy is unconditional, so that a still screen gives a picture at once; all later ones wait for
//! damage. Two are in flight, because the second then takes the very next commit while we still handle the
//! first: the compositor clears its damage with each copy, so no picture comes twice.

use super::{
    Capture,
    buffers::{Buffers, Wanted},
    protocol::{Interface, Said, screencopy, screencopy_frame},
    wire::{Id, Wire},
};
use crate::{
    backends::{Event, MOST_REFUSED, SourceError},
    newest::Picture,
};
use arrayvec::ArrayVec;
use lumen_ipc::Damage;

/// Copies in flight at once.
const DEPTH: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Asked,
    Offered,
    Copying { buffer: u32 },
}

#[derive(Debug)]
struct InFlight {
    id: Id,
    step: Step,
    offer: Option<Wanted>,
    /// wl_shm's number of the format offered, for the message when nobody reads it.
    format: u32,
    damage: Damage,
    upside_down: bool,
}

impl InFlight {
    fn destroy(&self, wire: &mut Wire) {
        wire.request(self.id, screencopy_frame::DESTROY).send();
        wire.forget(self.id);
    }

    fn hear(&mut self, said: &Said) {
        match *said {
            Said::Buffer { format, width, height, stride } => {
                self.offer = Wanted::new(format, width, height, stride);
                self.format = format;
            }
            Said::UpsideDown(upside_down) => self.upside_down = upside_down,
            Said::Damage(rect) => {
                let clipped = self.offer.and_then(|offer| rect.clip(offer.layout.width, offer.layout.height));
                clipped.into_iter().for_each(|rect| self.damage.add(rect));
            }
            _ => {}
        }
    }
}

/// Capturing one output by wlr-screencopy.
pub(super) struct Screencopy {
    manager: Id,
    output: Id,
    frames: ArrayVec<InFlight, DEPTH>,
    spare: ArrayVec<u32, DEPTH>,
    wanted: Option<Wanted>,
    pool_is_there: bool,
    /// Copies that the compositor finished since the last start.
    done: u64,
    refused: u32,
}

impl Screencopy {
    /// Asks for the first frame.
    pub fn new(manager: Id, output: Id, wire: &mut Wire) -> Self {
        let (frames, spare) = (ArrayVec::new(), ArrayVec::new());
        let mut capture =
            Self { manager, output, frames, spare, wanted: None, pool_is_there: false, done: 0, refused: 0 };
        capture.ask(wire);
        capture
    }

    /// Forgets all copies, buffers and damage, and asks for a first frame again.
    fn restart(&mut self, wire: &mut Wire) {
        self.frames.drain(..).for_each(|frame| frame.destroy(wire));
        self.spare.clear();
        self.wanted = None;
        self.pool_is_there = false;
        self.done = 0;
        self.ask(wire);
    }

    /// One copy at first, because only one can be the unconditional one.
    fn depth(&self) -> usize {
        if self.done == 0 { 1 } else { DEPTH }
    }

    fn ask(&mut self, wire: &mut Wire) {
        while self.frames.len() < self.depth() {
            let id = wire.make(Interface::ScreencopyFrame);
            let request = wire.request(self.manager, screencopy::CAPTURE_OUTPUT).object(id);
            // 1: the cursor is part of the picture.
            request.int(1).object(self.output).send();
            let (step, damage) = (Step::Asked, Damage::default());
            self.frames.push(InFlight { id, step, offer: None, format: 0, damage, upside_down: false });
        }
    }

    /// Starts as many copies as there are frames offered and buffers given.
    fn copy(&mut self, wire: &mut Wire, buffers: &Buffers) {
        let request = match self.done {
            0 => screencopy_frame::COPY,
            _ => screencopy_frame::COPY_WITH_DAMAGE,
        };
        for frame in self.frames.iter_mut().filter(|frame| frame.step == Step::Offered) {
            let Some(buffer) = self.spare.pop() else { return };
            if let Some(target) = buffers.get(buffer) {
                wire.request(frame.id, request).object(target).send();
                frame.step = Step::Copying { buffer };
            }
        }
    }

    fn offered(
        &mut self,
        index: usize,
        wire: &mut Wire,
        buffers: &Buffers,
    ) -> Result<Option<Event>, SourceError> {
        let Some(frame) = self.frames.get_mut(index) else { return Ok(None) };
        let format = frame.format;
        let offer = frame.offer.ok_or_else(|| SourceError::Format { offered: format!("{format:#x}") })?;
        frame.step = Step::Offered;
        match self.wanted {
            Some(wanted) if wanted == offer => {
                self.copy(wire, buffers);
                return Ok(None);
            }
            // Copies into the old buffers are worth nothing, and damage that was told with them is lost:
            // begin anew.
            Some(_) => self.restart(wire),
            None => {}
        }
        self.wanted = Some(offer);
        Ok(Some(Event::Layout(offer.layout)))
    }

    fn ready(&mut self, frame: InFlight, now_ns: u64) -> Option<Event> {
        let Step::Copying { buffer } = frame.step else { return None };
        // Damage counts from an earlier copy that waited for damage; the first two know of none such.
        let damage = match (self.done, self.wanted) {
            (0 | 1, Some(wanted)) => Damage::full(wanted.layout.width, wanted.layout.height),
            _ => frame.damage,
        };
        self.done += 1;
        self.refused = 0;
        let picture = Picture { damage, dequeued_ns: now_ns, spot: None };
        Some(Event::Filled { buffer, picture, upside_down: frame.upside_down })
    }

    fn failed(&mut self, frame: &InFlight) -> Result<Option<Event>, SourceError> {
        self.refused += 1;
        if self.refused >= MOST_REFUSED {
            return Err(SourceError::Refused { count: self.refused });
        }
        match frame.step {
            Step::Copying { buffer } => Ok(Some(Event::Missed { buffer })),
            Step::Asked | Step::Offered => Ok(None),
        }
    }
}

impl Capture for Screencopy {
    fn name(&self) -> &'static str {
        super::SCREENCOPY
    }

    fn why(&self) -> &'static str {
        "the compositor does not offer ext-image-copy-capture-v1"
    }

    fn wanted(&self) -> Option<Wanted> {
        self.wanted
    }

    fn resized(&mut self, wire: &mut Wire) {
        self.restart(wire);
    }

    fn hear(
        &mut self,
        (sender, said): (Id, Said),
        wire: &mut Wire,
        buffers: &Buffers,
        now_ns: u64,
    ) -> Result<Option<Event>, SourceError> {
        let Some(index) = self.frames.iter().position(|frame| frame.id == sender) else { return Ok(None) };
        match said {
            Said::BufferDone => self.offered(index, wire, buffers),
            Said::Ready | Said::Failed => {
                let frame = self.frames.remove(index);
                frame.destroy(wire);
                let event = match said {
                    Said::Ready => self.ready(frame, now_ns),
                    _ => self.failed(&frame)?,
                };
                self.ask(wire);
                Ok(event)
            }
            said => {
                self.frames.get_mut(index).into_iter().for_each(|frame| frame.hear(&said));
                Ok(None)
            }
        }
    }

    fn pool_is_there(&mut self) {
        self.pool_is_there = true;
    }

    fn wants_buffer(&self) -> bool {
        let copying = self.frames.iter().filter(|frame| matches!(frame.step, Step::Copying { .. })).count();
        self.pool_is_there && self.spare.len() + copying < self.depth()
    }

    fn fill(&mut self, buffer: u32, wire: &mut Wire, buffers: &Buffers) {
        // A buffer beyond what it wants would be a caller's slip, and then simply stays with it.
        let _ = self.spare.try_push(buffer);
        self.copy(wire, buffers);
    }
}
