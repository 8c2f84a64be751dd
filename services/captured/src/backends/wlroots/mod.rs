//! Pictures of one output of a compositor that speaks ext-image-copy-capture-v1 or wlr-screencopy (sway and
//! its kin), over a connection that was handed to us. The cursor is part of the picture.
//!
//! ```text
//!  socket ──► Compositor::find ──► output, way of capturing
//!  readable ─► Wire (events in order) ─► protocol::read ─► Capture ─► Layout, Filled, Missed
//! ```

mod buffers;
mod compositor;
mod copy_capture;
mod protocol;
mod screencopy;
mod wire;

pub use wire::WireError;

use super::{Event, Source, SourceError};
use buffers::{Buffers, Wanted};
use compositor::{Compositor, Offered};
use copy_capture::CopyCapture;
use lumen_ipc::{Mode, pool::Layout};
use lumen_stage::clock::now_ns;
use protocol::Said;
use screencopy::Screencopy;
use std::os::{
    fd::{AsFd, BorrowedFd},
    unix::net::UnixStream,
};
use wire::{Id, Wire};

/// What its two ways of capturing are called, better first.
pub const COPY_CAPTURE: &str = "ext-image-copy-capture";
/// As [`COPY_CAPTURE`].
pub const SCREENCOPY: &str = "wlr-screencopy";

/// One way of capturing.
trait Capture: Send {
    fn name(&self) -> &'static str;
    fn why(&self) -> &'static str;
    /// The buffers it needs, once the compositor said so.
    fn wanted(&self) -> Option<Wanted>;
    /// The output has another size. Because sway 1.7 copies the new, smaller picture into an old buffer and
    /// calls that done.
    fn resized(&mut self, wire: &mut Wire);
    /// Handles what an object said at this time.
    fn hear(
        &mut self,
        said: (Id, Said),
        wire: &mut Wire,
        buffers: &Buffers,
        now_ns: u64,
    ) -> Result<Option<Event>, SourceError>;
    /// The buffers it wanted are there.
    fn pool_is_there(&mut self);
    fn wants_buffer(&self) -> bool;
    fn fill(&mut self, buffer: u32, wire: &mut Wire, buffers: &Buffers);
}

/// A compositor's output as a source.
pub struct Wlroots {
    compositor: Compositor,
    capture: Box<dyn Capture>,
    buffers: Buffers,
    mode: Option<Mode>,
    /// When the events not yet handled were read, CLOCK_MONOTONIC ns; `None` when it is time to read again.
    read_ns: Option<u64>,
}

impl Wlroots {
    /// Finds the output called `name` behind `socket`, which it owns from now on. It is captured in the best way that the
    /// compositor offers and `is_allowed` by its name; by screencopy if none is.
    ///
    /// # Errors
    /// No such output, no way of capturing it, or a compositor that does not answer.
    pub fn new(
        socket: UnixStream,
        name: &str,
        is_allowed: impl Fn(&'static str) -> bool,
    ) -> Result<Self, SourceError> {
        let mut compositor = Compositor::find(socket, name, is_allowed(COPY_CAPTURE))?;
        let Compositor { wire, output, offered, .. } = &mut compositor;
        let capture: Box<dyn Capture> = match *offered {
            Offered::CopyCapture { source_maker, copy_capture } => {
                Box::new(CopyCapture::new((source_maker, copy_capture), output.id, name, wire))
            }
            Offered::Screencopy { manager } => Box::new(Screencopy::new(manager, output.id, wire)),
        };
        wire.flush()?;
        Ok(Self { compositor, capture, buffers: Buffers::default(), mode: None, read_ns: None })
    }

    /// The mode, if it differs from the one told before.
    fn changed_mode(&mut self) -> Result<Option<Event>, SourceError> {
        let Compositor { wire, output, .. } = &mut self.compositor;
        if output.transform != 0 {
            return Err(SourceError::Rotated { name: output.name.clone(), transform: output.transform });
        }
        let mode = Mode { width: output.width, height: output.height, refresh_mhz: output.refresh_mhz };
        let before = self.mode.replace(mode);
        if before.is_some_and(|before| (before.width, before.height) != (mode.width, mode.height)) {
            self.capture.resized(wire);
        }
        Ok((before != Some(mode)).then_some(Event::Mode(mode)))
    }

    fn hear(&mut self, sender: Id, said: Said, now_ns: u64) -> Result<Option<Event>, SourceError> {
        let Compositor { wire, output, .. } = &mut self.compositor;
        match said {
            Said::GlobalGone { name } if name == output.global => {
                Err(SourceError::OutputGone { name: output.name.clone() })
            }
            Said::OutputDone if sender == output.id => self.changed_mode(),
            said if sender == output.id => {
                output.hear(&said);
                Ok(None)
            }
            said => self.capture.hear((sender, said), wire, &self.buffers, now_ns),
        }
    }
}

impl Source for Wlroots {
    fn name(&self) -> &'static str {
        self.capture.name()
    }

    fn why(&self) -> &'static str {
        self.capture.why()
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.compositor.wire.as_fd()
    }

    fn dispatch(&mut self) -> Result<Option<Event>, SourceError> {
        if self.mode.is_none()
            && let Some(event) = self.changed_mode()?
        {
            return Ok(Some(event));
        }
        if self.read_ns.is_none() && self.compositor.wire.read()? {
            self.read_ns = Some(now_ns());
        }
        while let Some(read_ns) = self.read_ns {
            let Some(event) = self.compositor.wire.next()? else {
                // One read takes all there is; whatever comes later makes the descriptor ready again.
                self.read_ns = None;
                break;
            };
            let sender = event.sender;
            if let Some(said) = protocol::read(event)?
                && let Some(event) = self.hear(sender, said, read_ns)?
            {
                return Ok(Some(event));
            }
        }
        self.compositor.wire.flush()?;
        Ok(None)
    }

    fn use_pool(&mut self, layout: Layout, buffers: &[BorrowedFd<'_>]) -> Result<(), SourceError> {
        let Compositor { wire, shm, .. } = &mut self.compositor;
        if let Some(wanted) = self.capture.wanted().filter(|wanted| wanted.layout == layout) {
            let new = Buffers::new(wire, *shm, wanted, buffers)?;
            std::mem::replace(&mut self.buffers, new).destroy(wire);
            self.capture.pool_is_there();
        }
        Ok(wire.flush()?)
    }

    fn wants_buffer(&self) -> bool {
        self.capture.wants_buffer()
    }

    fn fill(&mut self, buffer: u32) -> Result<(), SourceError> {
        let wire = &mut self.compositor.wire;
        self.capture.fill(buffer, wire, &self.buffers);
        Ok(wire.flush()?)
    }
}
