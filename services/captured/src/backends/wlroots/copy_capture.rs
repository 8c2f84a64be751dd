//! ext-image-copy-capture-v1: one session, one frame object at a time.
//!
//! The compositor copies at least what changed since *this* buffer was last captured, so each buffer's own staleness is kept
//! here: a caret that blinks then costs a few pixels and not a whole picture.

use super::{
    Capture,
    buffers::{Buffers, Wanted},
    compositor::made,
    inbox::{Inbox, Said},
};
use crate::{
    backends::{Event, SourceError},
    newest::{MAX_BUFFERS, Picture},
};
use arrayvec::ArrayVec;
use lumen_ipc::Damage;
use std::sync::Arc;
use wayland_client::{Proxy, WEnum, backend::ObjectData, protocol::wl_output::WlOutput};
use wayland_protocols::ext::{
    image_capture_source::v1::client::{
        ext_image_capture_source_v1::ExtImageCaptureSourceV1,
        ext_output_image_capture_source_manager_v1::{self, ExtOutputImageCaptureSourceManagerV1},
    },
    image_copy_capture::v1::client::{
        ext_image_copy_capture_frame_v1::ExtImageCopyCaptureFrameV1,
        ext_image_copy_capture_manager_v1::{self, ExtImageCopyCaptureManagerV1, Options},
        ext_image_copy_capture_session_v1::{ExtImageCopyCaptureSessionV1, Request},
    },
};

/// Copies refused in a row before the source gives up. Because one or two are refused at each change of mode.
const MOST_REFUSED: u32 = 16;

#[derive(Debug)]
struct InFlight {
    proxy: ExtImageCopyCaptureFrameV1,
    buffer: u32,
    damage: Damage,
    transform: u32,
}

/// What the compositor said of the buffers it wants, until it says `done`.
#[derive(Debug, Default)]
struct Constraints {
    size: Option<(u32, u32)>,
    format: Option<u32>,
    /// Formats that nobody downstream reads.
    unreadable: Vec<u32>,
}

/// Capturing one output by ext-image-copy-capture.
pub(super) struct CopyCapture {
    session: ExtImageCopyCaptureSessionV1,
    output_name: String,
    ear: Arc<dyn ObjectData>,
    constraints: Constraints,
    wanted: Option<Wanted>,
    pool_is_there: bool,
    frame: Option<InFlight>,
    stale: ArrayVec<Damage, MAX_BUFFERS>,
    refused: u32,
}

impl CopyCapture {
    /// Opens the session; the compositor then says which buffers it wants.
    pub fn new(
        sources: &ExtOutputImageCaptureSourceManagerV1,
        captures: &ExtImageCopyCaptureManagerV1,
        output: WlOutput,
        output_name: &str,
        inbox: &Arc<Inbox>,
    ) -> Result<Self, SourceError> {
        let request = ext_output_image_capture_source_manager_v1::Request::CreateSource { output };
        let source: ExtImageCaptureSourceV1 =
            made(sources.send_constructor(request, inbox.ear::<ExtImageCaptureSourceV1>()))?;
        let request = ext_image_copy_capture_manager_v1::Request::CreateSession {
            source: source.clone(),
            options: WEnum::Value(Options::PaintCursors),
        };
        let session = made(captures.send_constructor(request, inbox.ear::<ExtImageCopyCaptureSessionV1>()))?;
        source.destroy();
        Ok(Self {
            session,
            output_name: output_name.to_owned(),
            ear: inbox.ear::<ExtImageCopyCaptureFrameV1>(),
            constraints: Constraints::default(),
            wanted: None,
            pool_is_there: false,
            frame: None,
            stale: ArrayVec::new(),
            refused: 0,
        })
    }

    fn constraints_done(&mut self) -> Result<Option<Event>, SourceError> {
        let Constraints { size, format, unreadable } = std::mem::take(&mut self.constraints);
        // A batch may repeat only what changed, so what it leaves out is as before.
        let size = size.or(self.wanted.map(|wanted| (wanted.layout.width, wanted.layout.height)));
        let format = format.or(self.wanted.map(|wanted| wanted.shm_format));
        let wanted = match (size, format) {
            (Some((width, height)), Some(format)) => Wanted::new(format, width, height, width.saturating_mul(4)),
            _ => None,
        };
        let offered = || format!("{unreadable:#x?}");
        let wanted = wanted.ok_or_else(|| SourceError::Format { offered: offered() })?;
        if self.wanted == Some(wanted) {
            return Ok(None);
        }
        self.wanted = Some(wanted);
        self.pool_is_there = false;
        if let Some(frame) = self.frame.take() {
            frame.proxy.destroy();
        }
        Ok(Some(Event::Layout(wanted.layout)))
    }

    fn add_format(&mut self, format: u32) {
        match Wanted::new(format, 1, 1, 4) {
            Some(_) if self.constraints.format.is_none() => self.constraints.format = Some(format),
            Some(_) => {}
            None => self.constraints.unreadable.push(format),
        }
    }

    fn ready(&mut self, now_ns: u64) -> Result<Option<Event>, SourceError> {
        let Some(frame) = self.frame.take() else { return Ok(None) };
        frame.proxy.destroy();
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
        let picture = Picture { damage: frame.damage, dequeued_ns: now_ns };
        Ok(Some(Event::Filled { buffer: frame.buffer, picture, upside_down: false }))
    }

    fn failed(&mut self) -> Result<Option<Event>, SourceError> {
        let Some(frame) = self.frame.take() else { return Ok(None) };
        frame.proxy.destroy();
        self.refused += 1;
        match self.refused < MOST_REFUSED {
            true => Ok(Some(Event::Missed { buffer: frame.buffer })),
            false => Err(SourceError::Refused { count: self.refused }),
        }
    }

    fn frame_of(&mut self, sender: u32) -> Option<&mut InFlight> {
        self.frame.as_mut().filter(|frame| frame.proxy.id().protocol_id() == sender)
    }
}

impl Capture for CopyCapture {
    fn name(&self) -> &'static str {
        "ext-image-copy-capture"
    }

    fn wanted(&self) -> Option<Wanted> {
        self.wanted
    }

    fn hear(
        &mut self,
        sender: u32,
        said: Said,
        _: &Buffers,
        now_ns: u64,
    ) -> Result<Option<Event>, SourceError> {
        match said {
            Said::Size { width, height } => self.constraints.size = Some((width, height)),
            Said::Format(format) => self.add_format(format),
            Said::ConstraintsDone => return self.constraints_done(),
            Said::Stopped => return Err(SourceError::OutputGone { name: self.output_name.clone() }),
            _ => {}
        }
        let wanted = self.wanted;
        let Some(frame) = self.frame_of(sender) else { return Ok(None) };
        match said {
            Said::Transform(transform) => frame.transform = transform,
            Said::Damage(rect) => {
                let clipped = wanted.and_then(|wanted| rect.clip(wanted.layout.width, wanted.layout.height));
                clipped.into_iter().for_each(|rect| frame.damage.add(rect));
            }
            Said::Ready => return self.ready(now_ns),
            Said::Failed => return self.failed(),
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

    fn fill(&mut self, buffer: u32, buffers: &Buffers) -> Result<(), SourceError> {
        let (Some(target), Some(stale)) = (buffers.get(buffer), self.stale.get(buffer as usize)) else {
            return Ok(());
        };
        let proxy: ExtImageCopyCaptureFrameV1 =
            made(self.session.send_constructor(Request::CreateFrame {}, self.ear.clone()))?;
        proxy.attach_buffer(target);
        let side = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
        for rect in stale.rects() {
            proxy.damage_buffer(side(rect.x), side(rect.y), side(rect.width), side(rect.height));
        }
        proxy.capture();
        self.frame = Some(InFlight { proxy, buffer, damage: Damage::default(), transform: 0 });
        Ok(())
    }
}
