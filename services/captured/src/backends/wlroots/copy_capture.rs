//! ext-image-copy-capture-v1: one session, one frame object at a time.
//!
//! The compositor copies at least what changed since *this* buffer was last captured, so each buffer's own
//! staleness is kept here: a caret that blinks then costs a few pixels and not a whole picture.

use super::{
    Capture,
    buffers::{Buffers, Wanted},
    protocol::{Interface, Said, copy_capture, copy_frame, copy_session, source, source_maker},
    wire::{Id, Wire},
};
use crate::{
    backends::{Event, MOST_REFUSED, SourceError},
    newest::{MAX_BUFFERS, Picture},
};
use arrayvec::ArrayVec;
use lumen_ipc::Damage;

#[derive(Debug)]
struct InFlight {
    id: Id,
    buffer: u32,
    damage: Damage,
    transform: u32,
}

/// What the compositor said of the buffers that it wants, until it says `done`.
#[derive(Debug, Default)]
struct Constraints {
    size: Option<(u32, u32)>,
    format: Option<u32>,
    /// Formats that nobody downstream reads.
    unreadable: Vec<u32>,
}

/// Capturing one output by ext-image-copy-capture.
pub(super) struct CopyCapture {
    session: Id,
    output_name: String,
    constraints: Constraints,
    wanted: Option<Wanted>,
    pool_is_there: bool,
    frame: Option<InFlight>,
    /// What each buffer lacks of the newest picture.
    stale: ArrayVec<Damage, MAX_BUFFERS>,
    refused: u32,
}

impl CopyCapture {
    /// Opens the session; the compositor then says which buffers it wants.
    pub fn new(makers: (Id, Id), output: Id, output_name: &str, wire: &mut Wire) -> Self {
        let (source_maker, copy_capture) = makers;
        let source = wire.make(Interface::Source);
        wire.request(source_maker, source_maker::CREATE_SOURCE).object(source).object(output).send();
        let session = wire.make(Interface::CopySession);
        let request = wire.request(copy_capture, copy_capture::CREATE_SESSION).object(session);
        request.object(source).uint(copy_capture::PAINT_CURSORS).send();
        wire.request(source, source::DESTROY).send();
        wire.forget(source);
        Self {
            session,
            output_name: output_name.to_owned(),
            constraints: Constraints::default(),
            wanted: None,
            pool_is_there: false,
            frame: None,
            stale: ArrayVec::new(),
            refused: 0,
        }
    }

    fn add_format(&mut self, format: u32) {
        match Wanted::new(format, 1, 1, 4) {
            Some(_) => drop(self.constraints.format.get_or_insert(format)),
            None => self.constraints.unreadable.push(format),
        }
    }

    fn constraints_done(&mut self, wire: &mut Wire) -> Result<Option<Event>, SourceError> {
        let Constraints { size, format, unreadable } = std::mem::take(&mut self.constraints);
        // A batch may repeat only what changed, so what it leaves out is as before.
        let size = size.or(self.wanted.map(|wanted| (wanted.layout.width, wanted.layout.height)));
        let format = format.or(self.wanted.map(|wanted| wanted.shm_format));
        let wanted = size.zip(format).and_then(|((width, height), format)| {
            Wanted::new(format, width, height, width.saturating_mul(4))
        });
        let wanted = wanted.ok_or_else(|| SourceError::Format { offered: format!("{unreadable:#x?}") })?;
        if self.wanted == Some(wanted) {
            return Ok(None);
        }
        self.wanted = Some(wanted);
        self.pool_is_there = false;
        self.end_frame(wire);
        Ok(Some(Event::Layout(wanted.layout)))
    }

    fn end_frame(&mut self, wire: &mut Wire) -> Option<InFlight> {
        let frame = self.frame.take()?;
        wire.request(frame.id, copy_frame::DESTROY).send();
        wire.forget(frame.id);
        Some(frame)
    }

    fn ready(&mut self, frame: InFlight, now_ns: u64) -> Result<Option<Event>, SourceError> {
        self.refused = 0;
        if frame.transform != 0 {
            let name = self.output_name.clone();
            return Err(SourceError::Rotated { name, transform: frame.transform });
        }
        for (stale, buffer) in self.stale.iter_mut().zip(0u32..) {
            match buffer == frame.buffer {
                true => stale.clear(),
                false => stale.unite(&frame.damage),
            }
        }
        let picture = Picture { damage: frame.damage, dequeued_ns: now_ns, spot: None };
        Ok(Some(Event::Filled { buffer: frame.buffer, picture, upside_down: false }))
    }

    fn failed(&mut self, frame: &InFlight) -> Result<Option<Event>, SourceError> {
        self.refused += 1;
        match self.refused < MOST_REFUSED {
            true => Ok(Some(Event::Missed { buffer: frame.buffer })),
            false => Err(SourceError::Refused { count: self.refused }),
        }
    }

    fn hear_session(&mut self, said: &Said, wire: &mut Wire) -> Result<Option<Event>, SourceError> {
        match *said {
            Said::Size { width, height } => self.constraints.size = Some((width, height)),
            Said::Format(format) => self.add_format(format),
            Said::ConstraintsDone => return self.constraints_done(wire),
            Said::Stopped => return Err(self.gone()),
            _ => {}
        }
        Ok(None)
    }

    fn gone(&self) -> SourceError {
        SourceError::OutputGone { name: self.output_name.clone() }
    }
}

impl Capture for CopyCapture {
    fn name(&self) -> &'static str {
        super::COPY_CAPTURE
    }

    fn why(&self) -> &'static str {
        "the compositor offers it, and it misses no picture"
    }

    fn wanted(&self) -> Option<Wanted> {
        self.wanted
    }

    /// The compositor tells the new size by itself, and refuses the copy in flight.
    fn resized(&mut self, _: &mut Wire) {}

    fn hear(
        &mut self,
        (sender, said): (Id, Said),
        wire: &mut Wire,
        _: &Buffers,
        now_ns: u64,
    ) -> Result<Option<Event>, SourceError> {
        if sender == self.session {
            return self.hear_session(&said, wire);
        }
        let wanted = self.wanted;
        let Some(frame) = self.frame.as_mut().filter(|frame| frame.id == sender) else { return Ok(None) };
        match said {
            Said::Transform(transform) => frame.transform = transform,
            Said::Damage(rect) => {
                let clipped = wanted.and_then(|wanted| rect.clip(wanted.layout.width, wanted.layout.height));
                clipped.into_iter().for_each(|rect| frame.damage.add(rect));
            }
            Said::Stopped => return Err(self.gone()),
            Said::Ready | Said::Failed => {
                let Some(frame) = self.end_frame(wire) else { return Ok(None) };
                return if said == Said::Ready { self.ready(frame, now_ns) } else { self.failed(&frame) };
            }
            _ => {}
        }
        Ok(None)
    }

    fn pool_is_there(&mut self) {
        let Some(Wanted { layout, .. }) = self.wanted else { return };
        self.pool_is_there = true;
        self.stale = (0..MAX_BUFFERS).map(|_| Damage::full(layout.width, layout.height)).collect();
    }

    fn wants_buffer(&self) -> bool {
        self.pool_is_there && self.frame.is_none()
    }

    fn fill(&mut self, buffer: u32, wire: &mut Wire, buffers: &Buffers) {
        let (Some(target), Some(stale)) = (buffers.get(buffer), self.stale.get(buffer as usize)) else {
            return;
        };
        let id = wire.make(Interface::CopyFrame);
        wire.request(self.session, copy_session::CREATE_FRAME).object(id).send();
        wire.request(id, copy_frame::ATTACH_BUFFER).object(target).send();
        for rect in stale.rects() {
            let request = wire.request(id, copy_frame::DAMAGE_BUFFER).uint(rect.x).uint(rect.y);
            request.uint(rect.width).uint(rect.height).send();
        }
        wire.request(id, copy_frame::CAPTURE).send();
        self.frame = Some(InFlight { id, buffer, damage: Damage::default(), transform: 0 });
    }
}
