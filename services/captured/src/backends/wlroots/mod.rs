//! Pictures of one output of a compositor that speaks ext-image-copy-capture-v1 or wlr-screencopy (sway and its kin), over a
//! connection that was handed to us. The cursor is part of the picture.
//!
//! ```text
//!  socket ──► Compositor::find ──► output, way of capturing
//!  readable ─► Inbox (events in order) ─► Capture ─► Layout, Filled, Missed
//! ```

mod buffers;
mod compositor;
mod copy_capture;
mod inbox;
mod screencopy;

use super::{Event, Source, SourceError};
use buffers::{Buffers, Wanted};
use compositor::{Compositor, Offered};
use copy_capture::CopyCapture;
use inbox::Said;
use lumen_ipc::{Mode, pool::Layout};
use lumen_stage::clock::now_ns;
use screencopy::Screencopy;
use std::{
    io::ErrorKind,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
};
use wayland_client::backend::WaylandError;

/// One way of capturing.
trait Capture: Send {
    fn name(&self) -> &'static str;
    /// The buffers it needs, once the compositor said so.
    fn wanted(&self) -> Option<Wanted>;
    /// Handles one event from the object with protocol id `sender`.
    fn hear(&mut self, sender: u32, said: Said, buffers: &Buffers, now_ns: u64)
    -> Result<Option<Event>, SourceError>;
    /// The buffers it wanted are there.
    fn pool_is_there(&mut self);
    fn wants_buffer(&self) -> bool;
    fn fill(&mut self, buffer: u32, buffers: &Buffers) -> Result<(), SourceError>;
}

/// A compositor's output as a source.
pub struct Wlroots {
    compositor: Compositor,
    capture: Box<dyn Capture>,
    buffers: Buffers,
    mode: Option<Mode>,
    /// When the events now in the inbox were read, CLOCK_MONOTONIC ns; `None` when it is time to read again.
    read_ns: Option<u64>,
}

impl Wlroots {
    /// Finds the output called `name` behind `socket`, which it owns from now on.
    ///
    /// # Errors
    /// No such output, no way of capturing it, or a compositor that does not answer.
    pub fn new(socket: UnixStream, name: &str) -> Result<Self, SourceError> {
        let compositor = Compositor::find(socket, name)?;
        let output = compositor.output.proxy.clone();
        let capture: Box<dyn Capture> = match &compositor.offered {
            Offered::CopyCapture(sources, captures) => {
                Box::new(CopyCapture::new(sources, captures, output, name, &compositor.inbox)?)
            }
            Offered::Screencopy(manager) => {
                Box::new(Screencopy::new(manager.clone(), output, &compositor.inbox)?)
            }
        };
        let source = Self { compositor, capture, buffers: Buffers::default(), mode: None, read_ns: None };
        source.flush()?;
        Ok(source)
    }

    /// The mode, if it differs from the one told before.
    fn changed_mode(&mut self) -> Result<Option<Event>, SourceError> {
        let output = &self.compositor.output;
        if output.transform != 0 {
            return Err(SourceError::Rotated { name: output.name.clone(), transform: output.transform });
        }
        let mode = Mode { width: output.width, height: output.height, refresh_mhz: output.refresh_mhz };
        let changed = self.mode.replace(mode) != Some(mode);
        Ok(changed.then_some(Event::Mode(mode)))
    }

    fn hear(&mut self, sender: u32, said: Said, now_ns: u64) -> Result<Option<Event>, SourceError> {
        let output = &mut self.compositor.output;
        match said {
            Said::GlobalGone { name } if name == output.global => {
                Err(SourceError::OutputGone { name: output.name.clone() })
            }
            Said::OutputDone if output.is(sender) => self.changed_mode(),
            said if output.is(sender) => {
                output.hear(&said);
                Ok(None)
            }
            said => self.capture.hear(sender, said, &self.buffers, now_ns),
        }
    }

    /// Reads what arrived; `None` when nothing did.
    fn read(&self) -> Result<Option<u64>, SourceError> {
        let Some(guard) = self.compositor.connection.prepare_read() else { return Ok(None) };
        match guard.read() {
            Ok(_) => Ok(Some(now_ns())),
            Err(WaylandError::Io(error)) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn flush(&self) -> Result<(), SourceError> {
        match self.compositor.connection.flush() {
            // A compositor that does not read now gets the rest with the next flush.
            Err(WaylandError::Io(error)) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            result => Ok(result?),
        }
    }
}

impl Source for Wlroots {
    fn name(&self) -> &'static str {
        self.capture.name()
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.compositor.connection.as_fd()
    }

    fn dispatch(&mut self) -> Result<Option<Event>, SourceError> {
        if self.mode.is_none()
            && let Some(event) = self.changed_mode()?
        {
            return Ok(Some(event));
        }
        if self.read_ns.is_none() {
            self.read_ns = self.read()?;
        }
        // One read takes all there is; whatever comes later makes the descriptor ready again.
        while let Some(read_ns) = self.read_ns {
            match self.compositor.inbox.take() {
                None => self.read_ns = None,
                Some((sender, said)) => {
                    if let Some(event) = self.hear(sender, said, read_ns)? {
                        return Ok(Some(event));
                    }
                }
            }
        }
        self.flush()?;
        Ok(None)
    }

    fn use_pool(&mut self, layout: Layout, buffers: &[BorrowedFd<'_>]) -> Result<(), SourceError> {
        let wanted = self.capture.wanted().filter(|wanted| wanted.layout == layout);
        if let Some(wanted) = wanted {
            let Compositor { shm, inbox, .. } = &self.compositor;
            self.buffers = Buffers::new(shm, inbox, wanted, buffers)?;
            self.capture.pool_is_there();
        }
        self.flush()
    }

    fn wants_buffer(&self) -> bool {
        self.capture.wants_buffer()
    }

    fn fill(&mut self, buffer: u32) -> Result<(), SourceError> {
        self.capture.fill(buffer, &self.buffers)?;
        self.flush()
    }
}
