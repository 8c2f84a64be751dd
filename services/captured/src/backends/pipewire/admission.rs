//! Explicit sync of a stream: which of its buffers have timelines, and what follows from what the gate says.
//!
//! Timelines are asked for where PipeWire knows of them (1.2) and this machine has a device that does; with dmabufs only,
//! since what a processor wrote is there. A producer that has none gives its dmabufs without, as before.

use super::{
    PipeWire, connection, gate::Gate, gate::Passage, memory::BufferRef, syncobj::Device, syncobj::Timeline,
};
use crate::backends::SourceError;
use lumen_stage::clock::now_ns;
use std::rc::Rc;

/// The first libpipewire with `SPA_META_SyncTimeline`. Because an older one hands on neither it nor timelines.
const SYNC_SINCE: (u32, u32) = (1, 2);

/// A device with timelines, and the gate of the buffers that have some.
pub(super) struct Admission {
    device: Rc<Device>,
    gate: Gate<BufferRef, Timeline>,
}

impl Admission {
    /// `None` where this machine or its PipeWire has no timelines.
    ///
    /// # Errors
    /// The kernel gives no descriptor.
    pub fn open() -> Result<Option<Self>, SourceError> {
        if connection::library() < SYNC_SINCE {
            return Ok(None);
        }
        let Some(device) = Device::find() else { return Ok(None) };
        Ok(Some(Self { device, gate: Gate::new()? }))
    }

    /// Readable when [`PipeWire::admit`] may have something to do.
    pub fn watch(&self, connection: &connection::Connection) -> Result<(), SourceError> {
        self.gate.descriptors().into_iter().try_for_each(|fd| connection.watch(fd))
    }

    /// A stream is given up: all that is due is released.
    pub fn clear(&mut self) {
        self.gate.clear();
    }

    /// The format ends, and PipeWire removes the buffers: the pictures in them are not looked at any more.
    pub fn end_format(&mut self) {
        self.gate.forget_waiting();
    }

    /// Whether its buffers have timelines.
    pub fn is_used(&self) -> bool {
        !self.gate.is_empty()
    }

    /// Takes `buffer`'s timelines in, if it has any; whether it is what was asked for.
    fn add(&mut self, buffer: BufferRef) -> bool {
        let Some([acquire, release]) = buffer.syncobjs() else {
            // More than one plane and none of them a timeline: a daemon of before 1.2 in between.
            return buffer.planes() == 1;
        };
        match (self.device.import(acquire), self.device.import(release)) {
            (Ok(acquire), Ok(release)) => {
                self.gate.add(buffer, acquire, release);
                true
            }
            _ => false,
        }
    }
}

impl PipeWire {
    /// A buffer is there.
    ///
    /// # Errors
    /// As [`PipeWire::refuse_sync`].
    pub(super) fn added(&mut self, buffer: BufferRef) -> Result<(), SourceError> {
        self.stock.add(buffer);
        match self.admission.as_mut().is_none_or(|admission| admission.add(buffer)) {
            true => Ok(()),
            false => self.refuse_sync(),
        }
    }

    /// Whether the picture in a buffer that came may be looked at now; else [`Self::admit`] will say so.
    ///
    /// # Errors
    /// As [`PipeWire::refuse_sync`].
    pub(super) fn may_look(&mut self, buffer: BufferRef) -> Result<bool, SourceError> {
        let Some(Admission { gate, .. }) = &mut self.admission else { return Ok(true) };
        let Some(mut ticket) = buffer.ticket().filter(|_| gate.knows(buffer)) else { return Ok(true) };
        if buffer.chunk().is_none_or(|chunk| chunk.corrupted && chunk.size == 0) {
            ticket.acquire = 0;
        }
        match gate.came(buffer, ticket, now_ns()) {
            Ok(may) => {
                self.counts.sync_waited += u64::from(!may);
                Ok(may)
            }
            Err(_) => self.refuse_sync().map(|()| false),
        }
    }

    /// Takes the pictures that were waited for.
    ///
    /// # Errors
    /// The source is at its end.
    pub(super) fn admit(&mut self) -> Result<(), SourceError> {
        while let Some(Admission { gate, .. }) = &mut self.admission {
            let (next, is_hopeless) = (gate.next(now_ns()), gate.is_hopeless());
            match next {
                Ok(None) => break,
                Ok(Some((buffer, Passage::Ready))) => self.look(buffer)?,
                Ok(Some((buffer, passage))) => {
                    self.counts.sync_overtaken += u64::from(passage == Passage::Overtaken);
                    self.counts.sync_late += u64::from(passage == Passage::Late);
                    self.missed = true;
                    self.unlooked(buffer);
                }
                Err(_) => return self.refuse_sync(),
            }
            if is_hopeless {
                return self.refuse_sync();
            }
        }
        self.release_lost()
    }

    fn release_lost(&mut self) -> Result<(), SourceError> {
        // While nobody looks PipeWire keeps what it has, and brings it later.
        let resting = self.progress.is_resting();
        let Some(Admission { gate, .. }) = self.admission.as_mut().filter(|_| !resting) else {
            return Ok(());
        };
        match gate.release_lost(|buffer| buffer.ticket(), now_ns()) {
            Ok(count) => {
                self.counts.sync_lost += count;
                self.missed |= count > 0;
                Ok(())
            }
            Err(_) => self.refuse_sync(),
        }
    }

    /// Nobody looks at `buffer` any more: its producer is told, before it gets the buffer itself.
    pub(super) fn release(&mut self, buffer: BufferRef) {
        let Some(Admission { gate, .. }) = &mut self.admission else { return };
        match gate.release(buffer) {
            Ok(false) => {}
            Ok(true) => {
                buffer.promise_release();
                self.counts.sync_released += 1;
            }
            Err(_) => self.counts.sync_failed += 1,
        }
    }

    /// `buffer` is gone, and must not be touched any more.
    pub(super) fn forget(&mut self, buffer: BufferRef) {
        let Some(Admission { gate, .. }) = &mut self.admission else { return };
        self.counts.sync_failed += u64::from(gate.remove(buffer).is_err());
    }

    /// The producer's timelines cannot be used: another stream asks for buffers without.
    ///
    /// # Errors
    /// The source is at its end.
    pub(super) fn refuse_sync(&mut self) -> Result<(), SourceError> {
        self.counts.sync_refused += 1;
        self.wish.sync = false;
        self.reconnect()?;
        self.admission = None;
        Ok(())
    }
}
