//! wlr-screencopy version 3: a frame object per copy.
//!
//! ```text
//!  ask ──► Asked ── buffer, buffer_done ──► Offered ── a buffer is given ──► Copying ── damage, flags, ready ──► Filled
//! ```
//! The first copy is unconditional, so that a still screen gives a picture at once; all later ones wait for damage. Two are in
//! flight, because the second then takes the very next commit while we still handle the first: the compositor clears its damage
//! with each copy, so no picture comes twice.

use super::{
    Capture,
    buffers::{Buffers, Wanted},
    compositor::made,
    inbox::{Inbox, Said},
};
use crate::{
    backends::{Event, SourceError},
    newest::Picture,
};
use arrayvec::ArrayVec;
use lumen_ipc::Damage;
use std::sync::Arc;
use wayland_client::{Proxy, backend::ObjectData, protocol::wl_output::WlOutput};
use wayland_protocols_wlr::screencopy::v1::client::{
    zwlr_screencopy_frame_v1::ZwlrScreencopyFrameV1,
    zwlr_screencopy_manager_v1::{Request, ZwlrScreencopyManagerV1},
};

/// Copies in flight at once.
const DEPTH: usize = 2;
/// Copies refused in a row before the source gives up. Because one or two are refused at each change of mode.
const MOST_REFUSED: u32 = 16;

#[derive(Debug)]
enum Step {
    Asked,
    Offered,
    Copying { buffer: u32 },
}

#[derive(Debug)]
struct InFlight {
    proxy: ZwlrScreencopyFrameV1,
    step: Step,
    offer: Option<Wanted>,
    /// The format offered that nobody reads, for the message.
    unreadable: Option<u32>,
    /// Whether it is the unconditional copy.
    damage: Damage,
    upside_down: bool,
}

/// Capturing one output by wlr-screencopy.
pub(super) struct Screencopy {
    manager: ZwlrScreencopyManagerV1,
    output: WlOutput,
    ear: Arc<dyn ObjectData>,
    frames: ArrayVec<InFlight, DEPTH>,
    spare: ArrayVec<u32, DEPTH>,
    wanted: Option<Wanted>,
    pool_is_there: bool,
    /// Copies that the compositor finished.
    done: u64,
    refused: u32,
}

impl Screencopy {
    /// Asks for the first frame.
    pub fn new(
        manager: ZwlrScreencopyManagerV1,
        output: WlOutput,
        inbox: &Arc<Inbox>,
    ) -> Result<Self, SourceError> {
        let mut capture = Self {
            manager,
            output,
            ear: inbox.ear::<ZwlrScreencopyFrameV1>(),
            frames: ArrayVec::new(),
            spare: ArrayVec::new(),
            wanted: None,
            pool_is_there: false,
            done: 0,
            refused: 0,
        };
        capture.ask()?;
        Ok(capture)
    }

    /// One copy at first, because only one can be the unconditional one.
    fn depth(&self) -> usize {
        if self.done == 0 { 1 } else { DEPTH }
    }

    fn ask(&mut self) -> Result<(), SourceError> {
        while self.frames.len() < self.depth() {
            let request = Request::CaptureOutput { overlay_cursor: 1, output: self.output.clone() };
            let proxy = made(self.manager.send_constructor(request, self.ear.clone()))?;
            let damage = Damage::default();
            let step = Step::Asked;
            self.frames.push(InFlight { proxy, step, offer: None, unreadable: None, damage, upside_down: false });
        }
        Ok(())
    }

    /// Starts as many copies as there are frames offered and buffers given.
    fn copy(&mut self, buffers: &Buffers) {
        let unconditional = self.done == 0;
        for frame in self.frames.iter_mut().filter(|frame| matches!(frame.step, Step::Offered)) {
            let Some(buffer) = self.spare.pop() else { return };
            if let Some(target) = buffers.get(buffer) {
                match unconditional {
                    true => frame.proxy.copy(target),
                    false => frame.proxy.copy_with_damage(target),
                }
                frame.step = Step::Copying { buffer };
            }
        }
    }

    fn offered(&mut self, index: usize, buffers: &Buffers) -> Result<Option<Event>, SourceError> {
        let Some(frame) = self.frames.get_mut(index) else { return Ok(None) };
        let unreadable = || SourceError::Format { offered: format!("{:#x}", frame.unreadable.unwrap_or(0)) };
        let offer = frame.offer.ok_or_else(unreadable)?;
        frame.step = Step::Offered;
        if self.wanted == Some(offer) {
            self.copy(buffers);
            return Ok(None);
        }
        self.wanted = Some(offer);
        self.pool_is_there = false;
        self.spare.clear();
        // Copies into the old buffers would only fail; a frame that was offered the old layout too.
        let old = |frame: &InFlight| frame.offer.is_some_and(|known| known != offer);
        self.frames.iter().filter(|frame| old(frame)).for_each(|frame| frame.proxy.destroy());
        self.frames.retain(|frame| !old(frame));
        self.ask()?;
        Ok(Some(Event::Layout(offer.layout)))
    }

    fn ready(&mut self, index: usize, dequeued_ns: u64) -> Result<Option<Event>, SourceError> {
        let frame = self.frames.remove(index);
        frame.proxy.destroy();
        // The compositor reports damage since an earlier copy that waited for damage; the first two know of none such.
        let damage = match (self.done, self.wanted) {
            (0 | 1, Some(wanted)) => Damage::full(wanted.layout.width, wanted.layout.height),
            _ => frame.damage,
        };
        self.done += 1;
        self.refused = 0;
        self.ask()?;
        let Step::Copying { buffer } = frame.step else { return Ok(None) };
        let picture = Picture { damage, dequeued_ns };
        Ok(Some(Event::Filled { buffer, picture, upside_down: frame.upside_down }))
    }

    fn failed(&mut self, index: usize) -> Result<Option<Event>, SourceError> {
        let frame = self.frames.remove(index);
        frame.proxy.destroy();
        self.refused += 1;
        if self.refused >= MOST_REFUSED {
            return Err(SourceError::Refused { count: self.refused });
        }
        self.ask()?;
        match frame.step {
            Step::Copying { buffer } => Ok(Some(Event::Missed { buffer })),
            Step::Asked | Step::Offered => Ok(None),
        }
    }
}

impl Capture for Screencopy {
    fn name(&self) -> &'static str {
        "wlr-screencopy"
    }

    fn wanted(&self) -> Option<Wanted> {
        self.wanted
    }

    fn hear(
        &mut self,
        sender: u32,
        said: Said,
        buffers: &Buffers,
        now_ns: u64,
    ) -> Result<Option<Event>, SourceError> {
        let of_sender = |frame: &InFlight| frame.proxy.id().protocol_id() == sender;
        let Some(index) = self.frames.iter().position(of_sender) else { return Ok(None) };
        match said {
            Said::BufferDone => return self.offered(index, buffers),
            Said::Ready => return self.ready(index, now_ns),
            Said::Failed => return self.failed(index),
            _ => {}
        }
        let Some(frame) = self.frames.get_mut(index) else { return Ok(None) };
        match said {
            Said::Buffer { format, width, height, stride } => {
                frame.offer = Wanted::new(format, width, height, stride);
                frame.unreadable = Some(format);
            }
            Said::UpsideDown(upside_down) => frame.upside_down = upside_down,
            Said::Damage(rect) => {
                let clipped = frame.offer.and_then(|o| rect.clip(o.layout.width, o.layout.height));
                clipped.into_iter().for_each(|rect| frame.damage.add(rect));
            }
            _ => {}
        }
        Ok(None)
    }

    fn pool_is_there(&mut self) {
        self.pool_is_there = true;
    }

    fn wants_buffer(&self) -> bool {
        let copying = self.frames.iter().filter(|frame| matches!(frame.step, Step::Copying { .. })).count();
        self.pool_is_there && self.spare.len() + copying < self.depth()
    }

    fn fill(&mut self, buffer: u32, buffers: &Buffers) -> Result<(), SourceError> {
        // A buffer beyond what it wants would be a caller's slip, and then simply stays with it.
        let _ = self.spare.try_push(buffer);
        self.copy(buffers);
        Ok(())
    }
}
