//! The part of the Wayland protocols that a capture speaks: interfaces, numbers of their requests and events,
//! and what the events say. The numbers are the positions in the protocol files; a test compares them with
//! those.

use super::wire::{Event, WireError};
use lumen_ipc::Rect;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interface {
    Display,
    Registry,
    Callback,
    Shm,
    ShmPool,
    Buffer,
    Output,
    Screencopy,
    ScreencopyFrame,
    SourceMaker,
    Source,
    CopyCapture,
    CopySession,
    CopyFrame,
}

impl Interface {
    /// Its name in the protocol files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Display => "wl_display",
            Self::Registry => "wl_registry",
            Self::Callback => "wl_callback",
            Self::Shm => "wl_shm",
            Self::ShmPool => "wl_shm_pool",
            Self::Buffer => "wl_buffer",
            Self::Output => "wl_output",
            Self::Screencopy => "zwlr_screencopy_manager_v1",
            Self::ScreencopyFrame => "zwlr_screencopy_frame_v1",
            Self::SourceMaker => "ext_output_image_capture_source_manager_v1",
            Self::Source => "ext_image_capture_source_v1",
            Self::CopyCapture => "ext_image_copy_capture_manager_v1",
            Self::CopySession => "ext_image_copy_capture_session_v1",
            Self::CopyFrame => "ext_image_copy_capture_frame_v1",
        }
    }
}

/// wl_display.
pub(super) mod display {
    pub const SYNC: u16 = 0;
    pub const GET_REGISTRY: u16 = 1;
    pub const ERROR: u16 = 0;
    pub const DELETE_ID: u16 = 1;
}

/// wl_registry.
pub(super) mod registry {
    pub const BIND: u16 = 0;
    pub const GLOBAL: u16 = 0;
    pub const GLOBAL_REMOVE: u16 = 1;
}

/// wl_callback.
pub(super) mod callback {
    pub const DONE: u16 = 0;
}

/// wl_shm.
pub(super) mod shm {
    pub const CREATE_POOL: u16 = 0;
    pub const ARGB8888: u32 = 0;
    pub const XRGB8888: u32 = 1;
    pub const XBGR8888: u32 = u32::from_le_bytes(*b"XB24");
    pub const ABGR8888: u32 = u32::from_le_bytes(*b"AB24");
}

/// wl_shm_pool.
pub(super) mod shm_pool {
    pub const CREATE_BUFFER: u16 = 0;
    pub const DESTROY: u16 = 1;
}

/// wl_buffer.
pub(super) mod buffer {
    pub const DESTROY: u16 = 0;
}

/// wl_output.
pub(super) mod output {
    pub const RELEASE: u16 = 0;
    pub const GEOMETRY: u16 = 0;
    pub const MODE: u16 = 1;
    pub const DONE: u16 = 2;
    pub const NAME: u16 = 4;
    /// The flag of the mode that is shown now.
    pub const CURRENT: u32 = 1;
}

/// zwlr_screencopy_manager_v1.
pub(super) mod screencopy {
    pub const CAPTURE_OUTPUT: u16 = 0;
}

/// zwlr_screencopy_frame_v1.
pub(super) mod screencopy_frame {
    pub const COPY: u16 = 0;
    pub const DESTROY: u16 = 1;
    pub const COPY_WITH_DAMAGE: u16 = 2;
    pub const BUFFER: u16 = 0;
    pub const FLAGS: u16 = 1;
    pub const READY: u16 = 2;
    pub const FAILED: u16 = 3;
    pub const DAMAGE: u16 = 4;
    pub const BUFFER_DONE: u16 = 6;
    /// The flag of rows that lie from the bottom up.
    pub const Y_INVERT: u32 = 1;
}

/// ext_output_image_capture_source_manager_v1.
pub(super) mod source_maker {
    pub const CREATE_SOURCE: u16 = 0;
}

/// ext_image_capture_source_v1.
pub(super) mod source {
    pub const DESTROY: u16 = 0;
}

/// ext_image_copy_capture_manager_v1.
pub(super) mod copy_capture {
    pub const CREATE_SESSION: u16 = 0;
    /// The option that makes the cursor part of the picture.
    pub const PAINT_CURSORS: u32 = 1;
}

/// ext_image_copy_capture_session_v1.
pub(super) mod copy_session {
    pub const CREATE_FRAME: u16 = 0;
    pub const BUFFER_SIZE: u16 = 0;
    pub const SHM_FORMAT: u16 = 1;
    pub const DONE: u16 = 4;
    pub const STOPPED: u16 = 5;
}

/// ext_image_copy_capture_frame_v1.
pub(super) mod copy_frame {
    pub const DESTROY: u16 = 0;
    pub const ATTACH_BUFFER: u16 = 1;
    pub const DAMAGE_BUFFER: u16 = 2;
    pub const CAPTURE: u16 = 3;
    pub const TRANSFORM: u16 = 0;
    pub const DAMAGE: u16 = 1;
    pub const READY: u16 = 3;
    pub const FAILED: u16 = 4;
    /// The reason that the session is over.
    pub const REASON_STOPPED: u32 = 2;
}

/// What an event says, if it matters to a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    Global {
        name: u32,
        interface: String,
        version: u32,
    },
    GlobalGone {
        name: u32,
    },
    Synced,
    OutputName(String),
    OutputMode {
        width: i32,
        height: i32,
        refresh_mhz: i32,
    },
    OutputTransform(u32),
    OutputDone,
    /// A buffer that wlr-screencopy would copy into.
    Buffer {
        format: u32,
        width: u32,
        height: u32,
        stride: u32,
    },
    BufferDone,
    /// The size of ext-image-copy-capture's buffers.
    Size {
        width: u32,
        height: u32,
    },
    /// A format of ext-image-copy-capture's buffers.
    Format(u32),
    ConstraintsDone,
    Stopped,
    UpsideDown(bool),
    Transform(u32),
    Damage(Rect),
    Ready,
    Failed,
}

/// Reads an event; `None` when it does not matter.
///
/// # Errors
/// It is shorter than the protocol says.
pub(super) fn read(event: Event<'_>) -> Result<Option<Said>, WireError> {
    match event.interface {
        Interface::Registry => registry_event(event),
        Interface::Callback => Ok((event.opcode == callback::DONE).then_some(Said::Synced)),
        Interface::Output => output_event(event),
        Interface::ScreencopyFrame => screencopy_event(event),
        Interface::CopySession => session_event(event),
        Interface::CopyFrame => frame_event(event),
        _ => Ok(None),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn registry_event(mut event: Event<'_>) -> Result<Option<Said>, WireError> {
    let mut next = || event.arguments.uint();
    Ok(match event.opcode {
        registry::GLOBAL => {
            let name = next()?;
            let interface = text(event.arguments.string()?);
            Some(Said::Global { name, interface, version: event.arguments.uint()? })
        }
        registry::GLOBAL_REMOVE => Some(Said::GlobalGone { name: next()? }),
        _ => None,
    })
}

fn output_event(mut event: Event<'_>) -> Result<Option<Said>, WireError> {
    let arguments = &mut event.arguments;
    Ok(match event.opcode {
        output::GEOMETRY => {
            // Place, physical size and subpixels, then maker and model.
            for _ in 0..5 {
                arguments.int()?;
            }
            arguments.string()?;
            arguments.string()?;
            Some(Said::OutputTransform(arguments.uint()?))
        }
        output::MODE => {
            let flags = arguments.uint()?;
            let (width, height, refresh_mhz) = (arguments.int()?, arguments.int()?, arguments.int()?);
            (flags & output::CURRENT != 0).then_some(Said::OutputMode { width, height, refresh_mhz })
        }
        output::NAME => Some(Said::OutputName(text(arguments.string()?))),
        output::DONE => Some(Said::OutputDone),
        _ => None,
    })
}

fn screencopy_event(mut event: Event<'_>) -> Result<Option<Said>, WireError> {
    use screencopy_frame::{BUFFER, BUFFER_DONE, DAMAGE, FAILED, FLAGS, READY, Y_INVERT};
    let mut next = || event.arguments.uint();
    Ok(match event.opcode {
        BUFFER => Some(Said::Buffer { format: next()?, width: next()?, height: next()?, stride: next()? }),
        BUFFER_DONE => Some(Said::BufferDone),
        FLAGS => Some(Said::UpsideDown(next()? & Y_INVERT != 0)),
        DAMAGE => Some(Said::Damage(Rect { x: next()?, y: next()?, width: next()?, height: next()? })),
        READY => Some(Said::Ready),
        FAILED => Some(Said::Failed),
        _ => None,
    })
}

fn session_event(mut event: Event<'_>) -> Result<Option<Said>, WireError> {
    let mut next = || event.arguments.uint();
    Ok(match event.opcode {
        copy_session::BUFFER_SIZE => Some(Said::Size { width: next()?, height: next()? }),
        copy_session::SHM_FORMAT => Some(Said::Format(next()?)),
        copy_session::DONE => Some(Said::ConstraintsDone),
        copy_session::STOPPED => Some(Said::Stopped),
        _ => None,
    })
}

fn frame_event(mut event: Event<'_>) -> Result<Option<Said>, WireError> {
    let mut next = || event.arguments.uint();
    // Signed on the wire, but never below zero in a buffer: what is, is clipped away as too large.
    Ok(match event.opcode {
        copy_frame::TRANSFORM => Some(Said::Transform(next()?)),
        copy_frame::DAMAGE => {
            Some(Said::Damage(Rect { x: next()?, y: next()?, width: next()?, height: next()? }))
        }
        copy_frame::READY => Some(Said::Ready),
        copy_frame::FAILED if next()? == copy_frame::REASON_STOPPED => Some(Said::Stopped),
        copy_frame::FAILED => Some(Said::Failed),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
