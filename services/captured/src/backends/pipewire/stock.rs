//! The buffers of a stream: which there are, who has each, and whether they can be handed on.

use super::{
    copying::span,
    memory::{BufferRef, Kind},
};
use crate::{
    backends::{Event, Foreign, SourceError},
    newest::MIN_BUFFERS,
};
use arrayvec::ArrayVec;
use lumen_ipc::pool::{BufferPlace, Layout, MAX_BUFFERS, Memory};
use lumen_stage::{
    dmabuf,
    memory::{MemoryError, check_sealed},
    pool::LINEAR,
};
use rustix::{fs::fstat, io::fcntl_dupfd_cloexec};
use std::os::fd::BorrowedFd;

const FEW: &str =
    "the Output is a PipeWire stream; copied, because its producer gives fewer than five buffers";
const UNSEALED: &str =
    "the Output is a PipeWire stream; copied, because its producer could shrink the buffers under a reader";
const TIGHT: &str =
    "the Output is a PipeWire stream; copied, because its buffers end before their last row does";
const SYNCED: &str = "the Output is a PipeWire stream, and its buffers are handed on as they are, once their GPU has drawn them (explicit sync)";

/// How pictures go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handing {
    /// As PipeWire's own buffers.
    On,
    /// Copied, for this reason.
    Copied(&'static str),
}

#[derive(Debug, Clone, Copy)]
struct Held {
    buffer: BufferRef,
    /// Dequeued and not yet given back.
    ours: bool,
}

/// The buffers of a stream.
#[derive(Debug, Default)]
pub(super) struct Stock {
    buffers: ArrayVec<Held, MAX_BUFFERS>,
    /// What was settled when the first picture came: layout, bytes before each picture in its buffer, way.
    settled: Option<(Layout, u32, Handing)>,
    /// The brain knows of the buffers as they are now.
    announced: bool,
}

impl Stock {
    /// A buffer is there. More than a pool may have are not used, and then not seen again.
    pub fn add(&mut self, buffer: BufferRef) {
        self.unsettle();
        let _ = self.buffers.try_push(Held { buffer, ours: false });
    }

    /// A buffer is gone, and with it the order of the others.
    pub fn remove(&mut self, buffer: BufferRef) {
        self.unsettle();
        self.buffers.retain(|held| held.buffer != buffer);
    }

    /// The next picture decides anew how pictures go on.
    pub fn unsettle(&mut self) {
        (self.settled, self.announced) = (None, false);
    }

    /// The brain has heard of the buffers.
    pub fn announced(&mut self) {
        self.announced = self.settled.is_some();
    }

    /// The number of a buffer.
    pub fn index(&self, buffer: BufferRef) -> Option<usize> {
        self.buffers.iter().position(|held| held.buffer == buffer)
    }

    /// `buffer` was dequeued; its number.
    pub fn came(&mut self, buffer: BufferRef) -> Option<usize> {
        let index = self.index(buffer)?;
        self.buffers.get_mut(index)?.ours = true;
        Some(index)
    }

    /// The buffer with this number if it may be given back now; from then on it is the producer's.
    pub fn goes(&mut self, index: usize) -> Option<BufferRef> {
        let held = self.buffers.get_mut(index)?;
        std::mem::take(&mut held.ours).then_some(held.buffer)
    }

    /// The buffer with this number while it is ours.
    pub fn get(&self, index: usize) -> Option<BufferRef> {
        self.buffers.get(index).filter(|held| held.ours).map(|held| held.buffer)
    }

    /// The brain may give buffers back.
    pub fn is_announced(&self) -> bool {
        self.announced
    }

    /// What was settled: the layout, and the bytes before each picture in its buffer.
    pub fn layout(&self) -> Option<(Layout, u32)> {
        self.settled.map(|(layout, offset, _)| (layout, offset))
    }

    /// How pictures go on, once the first one came.
    pub fn handing(&self) -> Option<Handing> {
        self.settled.map(|(.., handing)| handing)
    }

    /// For Status.
    pub fn why(&self, synced: bool) -> &'static str {
        match self.handing() {
            None => "the Output is a PipeWire stream, which has shown nothing yet",
            Some(Handing::On) if synced => SYNCED,
            Some(Handing::On) => "the Output is a PipeWire stream, and its buffers are handed on as they are",
            Some(Handing::Copied(reason)) => reason,
        }
    }

    /// Decides with the first picture how all of them go on; what the brain is to be told of it.
    ///
    /// # Errors
    /// A buffer that is not what it says, or pictures that suddenly lie elsewhere in their buffers.
    pub fn settle(
        &mut self,
        offset: u32,
        layout: Layout,
        modifier: Option<u64>,
    ) -> Result<Option<Event>, SourceError> {
        match self.settled {
            Some((known, before, _)) if (known, before) == (layout, offset) => return Ok(None),
            Some((known, ..)) => {
                return Err(SourceError::Moved { stride: layout.stride, before: known.stride });
            }
            None => {}
        }
        let handing = self.judge(offset, &layout)?;
        self.settled = Some((layout, offset, handing));
        match handing {
            Handing::On => self.foreign(offset, layout, modifier).map(|foreign| Some(Event::Pool(foreign))),
            Handing::Copied(_) => Ok(Some(Event::Layout(layout))),
        }
    }

    fn judge(&self, offset: u32, layout: &Layout) -> Result<Handing, SourceError> {
        let first = self.buffers.first().map(|held| held.buffer.kind());
        let mut handing = Handing::On;
        for Held { buffer, .. } in &self.buffers {
            let unlike = Some(buffer.kind()) != first || buffer.planes() != 1;
            let end = u64::from(buffer.offset()) + u64::from(offset) + span(layout);
            match (buffer.kind(), buffer.fd()) {
                (Kind::Memfd, Some(fd)) if is_safe(fd, end)? && !unlike => {}
                (Kind::Memfd, Some(_)) => handing = Handing::Copied(UNSEALED),
                (Kind::Dmabuf, Some(fd)) if !unlike => dmabuf::check(fd, end).map_err(memory)?,
                (kind, _) => {
                    return Err(SourceError::Memory(format!("PipeWire gave {kind:?}, which nobody can map")));
                }
            }
        }
        // A buffer ends with its picture's last pixel, and a reader maps whole rows.
        let whole = layout.bytes()?;
        let tight = |held: &Held| u64::from(held.buffer.room()) < u64::from(offset) + whole;
        Ok(match handing {
            Handing::On if self.buffers.len() < MIN_BUFFERS => Handing::Copied(FEW),
            Handing::On if self.buffers.iter().any(tight) => Handing::Copied(TIGHT),
            handing => handing,
        })
    }

    fn foreign(&self, offset: u32, layout: Layout, modifier: Option<u64>) -> Result<Foreign, SourceError> {
        let system = |errno| SourceError::System { what: "keeping a buffer", errno };
        let is_dmabuf = self.buffers.first().is_some_and(|held| held.buffer.kind() == Kind::Dmabuf);
        let memory = match modifier {
            Some(modifier) if is_dmabuf => Memory::Dmabuf { modifier },
            None if is_dmabuf => Memory::Dmabuf { modifier: LINEAR },
            _ => Memory::Memfd,
        };
        let mut foreign = Foreign { layout, memory, places: ArrayVec::new(), fds: ArrayVec::new() };
        for Held { buffer, .. } in &self.buffers {
            let fd = buffer.fd().ok_or(SourceError::PipeWire { what: "keeping a buffer" })?;
            let room = u64::from(buffer.room()).saturating_sub(u64::from(offset));
            let place = BufferPlace { offset: u64::from(buffer.offset()) + u64::from(offset), bytes: room };
            foreign.places.push(place);
            foreign.fds.push(fcntl_dupfd_cloexec(fd, 0).map_err(system)?);
        }
        Ok(foreign)
    }
}

/// Whether a memfd can be mapped by others: it cannot shrink, and has `end` bytes now.
fn is_safe(fd: BorrowedFd<'_>, end: u64) -> Result<bool, SourceError> {
    let got = fstat(fd).map(|stat| u64::try_from(stat.st_size).unwrap_or(0));
    let got = got.map_err(|errno| SourceError::System { what: "looking at a buffer", errno })?;
    if got < end {
        return Err(SourceError::Short { need: end, got });
    }
    match check_sealed(fd, end) {
        Ok(()) => Ok(true),
        Err(MemoryError::Unsealed | MemoryError::NotMemfd) => Ok(false),
        Err(error) => Err(memory(error)),
    }
}

fn memory(error: MemoryError) -> SourceError {
    SourceError::Memory(error.to_string())
}
