//! What the compositor said, in the order in which it said it.
//!
//! Wayland objects report here through [`Ear`], which is shared by all objects of one interface: a frame object per picture then
//! costs no allocation, where wayland-client's own event queue makes one for each.

use std::{
    collections::VecDeque,
    marker::PhantomData,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, PoisonError},
};
use wayland_client::{
    Connection, Proxy, WEnum,
    backend::{Backend, ObjectData, ObjectId, protocol::Message},
    protocol::{wl_buffer, wl_callback, wl_output, wl_registry, wl_shm},
};
use wayland_protocols::ext::{
    image_capture_source::v1::client::{
        ext_image_capture_source_v1, ext_output_image_capture_source_manager_v1,
    },
    image_copy_capture::v1::client::{
        ext_image_copy_capture_frame_v1, ext_image_copy_capture_manager_v1, ext_image_copy_capture_session_v1,
    },
};
use wayland_protocols_wlr::screencopy::v1::client::{zwlr_screencopy_frame_v1, zwlr_screencopy_manager_v1};

use lumen_ipc::Rect;

/// Events that fit without growing: more than one picture brings, with its damage.
const CAPACITY: usize = 64;

/// One event, reduced to what a capture needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    Global { name: u32, interface: String, version: u32 },
    GlobalGone { name: u32 },
    Synced,
    OutputName(String),
    OutputMode { width: i32, height: i32, refresh_mhz: i32 },
    OutputTransform(u32),
    OutputDone,
    /// A buffer the compositor would copy into: layout of wlr-screencopy.
    Buffer { format: u32, width: u32, height: u32, stride: u32 },
    BufferDone,
    /// The size of ext-image-copy-capture's buffers.
    Size { width: u32, height: u32 },
    /// A format of ext-image-copy-capture.
    Format(u32),
    ConstraintsDone,
    Stopped,
    UpsideDown(bool),
    Transform(u32),
    Damage(Rect),
    Ready,
    Failed,
}

/// Events not yet handled.
#[derive(Debug)]
pub(super) struct Inbox(Mutex<VecDeque<(u32, Said)>>);

impl Inbox {
    pub fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(VecDeque::with_capacity(CAPACITY))))
    }

    /// The oldest event with the protocol id of the object that sent it.
    pub fn take(&self) -> Option<(u32, Said)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn put(&self, sender: u32, said: Said) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back((sender, said));
    }

    /// The listener for all objects of one interface.
    pub fn ear<I: Listened>(self: &Arc<Self>) -> Arc<dyn ObjectData> {
        Arc::new(Ear { inbox: self.clone(), of: PhantomData::<fn() -> I> })
    }
}

struct Ear<I> {
    inbox: Arc<Inbox>,
    of: PhantomData<fn() -> I>,
}

impl<I: Listened> ObjectData for Ear<I> {
    fn event(
        self: Arc<Self>,
        backend: &Backend,
        message: Message<ObjectId, OwnedFd>,
    ) -> Option<Arc<dyn ObjectData>> {
        let sender = message.sender_id.protocol_id();
        let connection = Connection::from_backend(backend.clone());
        // An event that our version of the protocol does not know is none of ours.
        let (_, event) = I::parse_event(&connection, message).ok()?;
        if let Some(said) = I::reduce(event) {
            self.inbox.put(sender, said);
        }
        None
    }

    fn destroyed(&self, _: ObjectId) {}
}

/// An interface whose events end in the inbox.
pub(super) trait Listened: Proxy + 'static {
    /// What the event says, if it matters.
    fn reduce(event: Self::Event) -> Option<Said>;
}

/// Interfaces without an event that matters.
macro_rules! silent {
    ($($proxy:ty),* $(,)?) => {
        $(impl Listened for $proxy {
            fn reduce(_: Self::Event) -> Option<Said> {
                None
            }
        })*
    };
}

silent!(
    wl_shm::WlShm,
    wayland_client::protocol::wl_shm_pool::WlShmPool,
    wl_buffer::WlBuffer,
    zwlr_screencopy_manager_v1::ZwlrScreencopyManagerV1,
    ext_image_capture_source_v1::ExtImageCaptureSourceV1,
    ext_output_image_capture_source_manager_v1::ExtOutputImageCaptureSourceManagerV1,
    ext_image_copy_capture_manager_v1::ExtImageCopyCaptureManagerV1,
);

impl Listened for wl_registry::WlRegistry {
    fn reduce(event: Self::Event) -> Option<Said> {
        match event {
            wl_registry::Event::Global { name, interface, version } => {
                Some(Said::Global { name, interface, version })
            }
            wl_registry::Event::GlobalRemove { name } => Some(Said::GlobalGone { name }),
            _ => None,
        }
    }
}

impl Listened for wl_callback::WlCallback {
    fn reduce(_: Self::Event) -> Option<Said> {
        Some(Said::Synced)
    }
}

impl Listened for wl_output::WlOutput {
    fn reduce(event: Self::Event) -> Option<Said> {
        match event {
            wl_output::Event::Name { name } => Some(Said::OutputName(name)),
            wl_output::Event::Geometry { transform, .. } => Some(Said::OutputTransform(number(transform))),
            wl_output::Event::Mode { flags: WEnum::Value(flags), width, height, refresh }
                if flags.contains(wl_output::Mode::Current) =>
            {
                Some(Said::OutputMode { width, height, refresh_mhz: refresh })
            }
            wl_output::Event::Done => Some(Said::OutputDone),
            _ => None,
        }
    }
}

impl Listened for zwlr_screencopy_frame_v1::ZwlrScreencopyFrameV1 {
    fn reduce(event: Self::Event) -> Option<Said> {
        use zwlr_screencopy_frame_v1::{Event, Flags};
        match event {
            Event::Buffer { format, width, height, stride } => {
                Some(Said::Buffer { format: number(format), width, height, stride })
            }
            Event::BufferDone => Some(Said::BufferDone),
            Event::Flags { flags } => {
                Some(Said::UpsideDown(matches!(flags, WEnum::Value(flags) if flags.contains(Flags::YInvert))))
            }
            Event::Damage { x, y, width, height } => Some(Said::Damage(Rect { x, y, width, height })),
            Event::Ready { .. } => Some(Said::Ready),
            Event::Failed => Some(Said::Failed),
            _ => None,
        }
    }
}

impl Listened for ext_image_copy_capture_session_v1::ExtImageCopyCaptureSessionV1 {
    fn reduce(event: Self::Event) -> Option<Said> {
        use ext_image_copy_capture_session_v1::Event;
        match event {
            Event::BufferSize { width, height } => Some(Said::Size { width, height }),
            Event::ShmFormat { format } => Some(Said::Format(number(format))),
            Event::Done => Some(Said::ConstraintsDone),
            Event::Stopped => Some(Said::Stopped),
            _ => None,
        }
    }
}

impl Listened for ext_image_copy_capture_frame_v1::ExtImageCopyCaptureFrameV1 {
    fn reduce(event: Self::Event) -> Option<Said> {
        use ext_image_copy_capture_frame_v1::{Event, FailureReason};
        match event {
            Event::Transform { transform } => Some(Said::Transform(number(transform))),
            Event::Damage { x, y, width, height } => {
                let side = |n: i32| u32::try_from(n).unwrap_or(0);
                Some(Said::Damage(Rect { x: side(x), y: side(y), width: side(width), height: side(height) }))
            }
            Event::Ready => Some(Said::Ready),
            Event::Failed { reason: WEnum::Value(FailureReason::Stopped) } => Some(Said::Stopped),
            Event::Failed { .. } => Some(Said::Failed),
            _ => None,
        }
    }
}

fn number<T: Into<u32>>(value: WEnum<T>) -> u32 {
    match value {
        WEnum::Value(value) => value.into(),
        WEnum::Unknown(number) => number,
    }
}
