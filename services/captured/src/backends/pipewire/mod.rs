//! Pictures of a PipeWire node (Mutter's, KWin's, gamescope's, a portal's) over a connection that was handed to us. Its
//! buffers are handed on, not copied: announced with their descriptors, named, and given back to PipeWire when their
//! lease ends.
//!
//! ```text
//!  socket ─► Connection ── Said ──► hear ─► format ─► Mode
//!                │                    └──► stock (which buffers there are)
//!                └─ dequeued ─► take ─► settle (once a format) ─► Pool or Layout
//!                                 └──► Bitmap, Filled, Pointer
//! ```
//! Handing on needs five buffers that others can map safely. Where a producer gives fewer, or memory that it could
//! shrink under a reader, pictures are copied into a pool of our own, and Status says so and why.
//!
//! With explicit sync (`SPA_META_SyncTimeline`, PipeWire 1.2) a picture waits between *dequeued* and *settle* until its
//! producer's GPU has drawn it ([`gate`]). Without, producers wait for their GPU before they hand a dmabuf on, or its implicit
//! fences do.

mod admission;
mod connection;
pub(crate) mod context;
mod copying;
mod cursor;
mod format;
mod gate;
mod memory;
mod meta;
mod progress;
mod said;
mod stock;
mod syncobj;
mod taking;

use super::{Counts, Event, Source, SourceError};
use admission::Admission;
use connection::Connection;
pub use connection::check_library;
use copying::Copier;
use cursor::Cursor;
use format::{Answer, Format, Wish};
use lumen_ipc::{Damage, Mode, pool::Layout};
use lumen_stage::{clock::now_ns, pool::LINEAR};
use memory::BufferRef;
use pipewire::stream::StreamState;
use progress::{Due, Progress};
use said::Said;
use std::{
    collections::VecDeque,
    os::fd::{BorrowedFd, OwnedFd},
};
use stock::{Handing, Stock};

/// Streams given up in a row because their buffers had no memory.
const MOST_RENEWED: u64 = 8;

/// By how many rows a detour's size differs. Because chroma wants an even number of them.
const DETOUR_ROWS: u32 = 2;

/// What is wanted of a node.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Its size and rate, where it follows its reader.
    pub mode: Mode,
    /// GPU memory is welcome.
    pub dmabuf: bool,
    /// It takes another rate only together with another size, so another size is negotiated first.
    pub detour: bool,
}

/// A node's pictures.
pub struct PipeWire {
    connection: Connection,
    wish: Wish,
    /// What is wished when the other side has agreed to the detour.
    then: Option<Mode>,
    node: u32,
    serial: Option<u64>,
    format: Option<Format>,
    stock: Stock,
    admission: Option<Admission>,
    copier: Copier,
    cursor: Cursor,
    origin: meta::Origin,
    /// A picture for which there is no buffer of ours yet, and what it changed.
    uncopied: Option<(usize, Damage)>,
    events: VecDeque<Event>,
    progress: Progress,
    counts: Counts,
    /// All that the last look at the connection gave was told.
    drained: bool,
    /// What a picture changed was missed, so nobody knows what the next one changes.
    missed: bool,
}

impl PipeWire {
    /// A stream from `node` (which must have this `serial`, where known) over `socket`.
    ///
    /// # Errors
    /// libpipewire is incomplete, or the kernel refuses.
    pub fn new(
        socket: OwnedFd,
        (node, serial): (u32, Option<u64>),
        asked: Asked,
    ) -> Result<Self, SourceError> {
        // Only rows that lie one after the other: nobody downstream imports into a GPU yet.
        let modifiers = if asked.dmabuf { vec![LINEAR] } else { Vec::new() };
        let then = asked.detour.then_some(asked.mode);
        let height = asked.mode.height + if asked.detour { DETOUR_ROWS } else { 0 };
        let admission = if asked.dmabuf { Admission::open()? } else { None };
        let wish = Wish { mode: Mode { height, ..asked.mode }, modifiers, sync: admission.is_some() };
        let connection = Connection::open(socket, node, &wish.params())?;
        admission.as_ref().map_or(Ok(()), |admission| admission.watch(&connection))?;
        let progress = Progress::new(node)?;
        connection.watch(progress.timer())?;
        Ok(Self {
            connection,
            wish,
            then,
            node,
            serial,
            format: None,
            stock: Stock::default(),
            admission,
            copier: Copier::default(),
            cursor: Cursor::default(),
            origin: meta::Origin::default(),
            uncopied: None,
            events: VecDeque::with_capacity(16),
            progress,
            counts: Counts::default(),
            drained: false,
            missed: false,
        })
    }

    fn hear(&mut self, said: Said) -> Result<(), SourceError> {
        match said {
            Said::State(StreamState::Error(message)) | Said::LinkBroke(message) => {
                return self.refused(message);
            }
            // Not sooner: of a node that has not run yet PipeWire keeps the format for the next stream.
            Said::State(StreamState::Streaming) if self.then.is_some() => return self.end_detour(),
            Said::State(state) => {
                self.connection.link()?;
                self.counts.starts += u64::from(state == StreamState::Streaming);
                return self.progress.streams(state == StreamState::Streaming);
            }
            Said::Format(None) => self.forget_format(),
            Said::Format(Some(pod)) => return self.answered(&pod),
            Said::Added(buffer) if buffer.room() == 0 => return self.renew(),
            Said::Added(buffer) => return self.added(buffer),
            Said::Removed(buffer) => self.removed(buffer),
            Said::Refused { object: 0, message } => return Err(SourceError::PipeWireGone { message }),
            Said::Refused { message, .. } => return self.refused(message),
            Said::Found { serial } => return self.found(serial),
            Said::Known => return self.connection.link(),
            Said::Offers(pod) => self.progress.offers(format::offered(&pod)),
            Said::Gone(id) if id == self.node => return Err(SourceError::NodeGone { node: self.node }),
            Said::Gone(_) => {}
            Said::Listed => {
                self.progress.listed()?;
                return self.connection.prepared();
            }
        }
        Ok(())
    }

    fn found(&mut self, serial: Option<u64>) -> Result<(), SourceError> {
        // The id alone may be another's by now.
        if self.serial.is_some_and(|ours| serial.is_some_and(|theirs| theirs != ours)) {
            return Err(SourceError::NodeGone { node: self.node });
        }
        self.progress.found();
        self.connection.ask_node();
        Ok(())
    }

    /// The stream is at its end. With dmabufs wished it is tried once more without.
    fn refused(&mut self, message: String) -> Result<(), SourceError> {
        if !self.wish.modifiers.is_empty() {
            self.drop_dmabufs();
            return self.reconnect();
        }
        match message.contains("format") {
            true => Err(self.progress.no_format(message)),
            false => Err(SourceError::Stream { message }),
        }
    }

    /// Buffers came without memory: PipeWire 0.3.65 now and then gives them to a reader before it has them from the
    /// producer, and never mends that. Only another stream helps; nothing was shown on this one yet.
    fn renew(&mut self) -> Result<(), SourceError> {
        self.counts.renewed += 1;
        match self.counts.renewed <= MOST_RENEWED {
            true => self.reconnect(),
            false => Err(SourceError::Memory("its buffers come without memory".into())),
        }
    }

    fn reconnect(&mut self) -> Result<(), SourceError> {
        self.forget_format();
        self.stock = Stock::default();
        self.admission.iter_mut().for_each(Admission::clear);
        self.copier.forget_sources();
        self.progress.restarts()?;
        self.connection.reconnect(&self.wish.params())
    }

    fn answered(&mut self, pod: &[u8]) -> Result<(), SourceError> {
        self.counts.formats += 1;
        let too_many = self.progress.too_many_formats();
        match format::answer(pod) {
            None => Err(SourceError::Format { offered: "one that was not asked for".into() }),
            Some(_) if too_many && !self.wish.modifiers.is_empty() => self.refuse_memory(),
            Some(Answer::Choose(format, theirs)) => {
                let chosen = self.wish.modifiers.iter().copied().find(|modifier| theirs.contains(modifier));
                let chosen = chosen
                    .ok_or_else(|| SourceError::Format { offered: format!("modifiers {theirs:x?}") })?;
                self.connection.ask(&self.wish.fixate(format, chosen))
            }
            Some(Answer::Fixed(format)) => self.agreed(format),
        }
    }

    fn agreed(&mut self, format: Format) -> Result<(), SourceError> {
        if self.then.is_some() {
            return Ok(());
        }
        if self.format.replace(format) != Some(format) {
            self.stock.unsettle();
            self.admission.iter_mut().for_each(Admission::end_format);
        }
        let Format { width, height, refresh_mhz, .. } = format;
        self.events.push_back(Event::Mode(Mode { width, height, refresh_mhz }));
        Ok(())
    }

    fn end_detour(&mut self) -> Result<(), SourceError> {
        self.wish.mode = self.then.take().unwrap_or(self.wish.mode);
        self.reconnect()
    }

    fn forget_format(&mut self) {
        self.format = None;
        self.stock.unsettle();
        self.admission.iter_mut().for_each(Admission::end_format);
        self.uncopied = None;
    }

    fn removed(&mut self, buffer: BufferRef) {
        self.stock.remove(buffer);
        self.forget(buffer);
        self.copier.forget_sources();
        self.uncopied = None;
    }

    fn drop_dmabufs(&mut self) {
        self.counts.modifiers_dropped += self.wish.modifiers.len() as u64;
        self.wish.modifiers.clear();
        self.progress.begins_anew();
    }

    fn check_time(&mut self) -> Result<(), SourceError> {
        match self.progress.check() {
            Ok(Due::Ask) => {
                // A producer that begins anew shows all that there is.
                self.counts.asked_again += 1;
                self.connection.activate(false)?;
                self.connection.activate(true)
            }
            // PipeWire 0.3.65 was seen to get stuck for ever between two formats with modifiers.
            Ok(Due::Silent) | Err(_) if !self.wish.modifiers.is_empty() => self.refuse_memory(),
            Ok(Due::Silent | Due::Nothing) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn give_back(&mut self, index: usize) {
        if let Some(buffer) = self.stock.goes(index) {
            self.release(buffer);
            self.connection.queue(buffer);
        }
    }

    /// Reads all that is there.
    fn gather(&mut self) -> Result<(), SourceError> {
        while let Some(said) = self.connection.next() {
            self.hear(said)?;
        }
        while let Some(buffer) = self.connection.dequeue() {
            self.take(buffer)?;
        }
        self.admit()
    }
}

impl Source for PipeWire {
    fn name(&self) -> &'static str {
        "pipewire"
    }

    fn why(&self) -> &'static str {
        self.stock.why(self.admission.as_ref().is_some_and(Admission::is_used))
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.connection.descriptor()
    }

    fn dispatch(&mut self) -> Result<Option<Event>, SourceError> {
        if self.events.is_empty() {
            // What came meanwhile makes the descriptor ready again.
            if std::mem::take(&mut self.drained) {
                return Ok(None);
            }
            self.connection.iterate();
            self.gather()?;
            self.check_time()?;
            self.drained = !self.events.is_empty();
        }
        let event = self.events.pop_front();
        if matches!(event, Some(Event::Pool(_))) {
            self.stock.announced();
        }
        Ok(event)
    }

    fn use_pool(&mut self, layout: Layout, buffers: &[BorrowedFd<'_>]) -> Result<(), SourceError> {
        match self.stock.layout() {
            Some((wanted, _)) if wanted == layout => self.copier.use_pool(layout, buffers),
            _ => Ok(()),
        }
    }

    fn wants_buffer(&self) -> bool {
        match self.stock.handing() {
            None => false,
            Some(Handing::On) => self.stock.is_announced(),
            // One to copy into and one more, so that no picture waits for the brain.
            Some(Handing::Copied(_)) => self.copier.has_pool() && self.copier.free() < 2,
        }
    }

    fn fill(&mut self, buffer: u32) -> Result<(), SourceError> {
        match self.stock.handing() {
            None => {}
            Some(Handing::On) => self.give_back(buffer as usize),
            Some(Handing::Copied(_)) => {
                self.copier.give(buffer);
                if let Some((index, damage)) = self.uncopied.take() {
                    self.copy(index, damage, now_ns())?;
                }
            }
        }
        Ok(())
    }

    fn watch(&mut self, watched: bool) -> Result<(), SourceError> {
        self.missed |= watched;
        self.progress.rests(!watched)?;
        self.connection.activate(watched)
    }

    fn refuse_memory(&mut self) -> Result<(), SourceError> {
        if self.wish.modifiers.is_empty() {
            return Ok(());
        }
        self.drop_dmabufs();
        // Another stream, because PipeWire 0.3.65 was seen to get stuck where a running one asks for other memory.
        self.reconnect()
    }

    fn is_pending(&self) -> bool {
        !self.events.is_empty()
    }

    fn counts(&self) -> Counts {
        self.counts
    }
}
