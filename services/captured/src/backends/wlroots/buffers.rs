//! Our memfds as the compositor knows them: one wl_shm pool and one wl_buffer for each.

use super::{compositor::made, inbox::Inbox};
use crate::{backends::SourceError, newest::MAX_BUFFERS};
use arrayvec::ArrayVec;
use lumen_ipc::pool::{Layout, PixelFormat};
use std::{os::fd::BorrowedFd, sync::Arc};
use wayland_client::{
    Proxy, WEnum,
    protocol::{wl_buffer::WlBuffer, wl_shm, wl_shm_pool},
};

/// A buffer that the compositor would copy a picture into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub layout: Layout,
    /// wl_shm's number of the format: the compositor tells an unused byte from an alpha one, we do not.
    pub shm_format: u32,
}

impl Wanted {
    /// `None` for a format that nobody downstream reads.
    pub fn new(shm_format: u32, width: u32, height: u32, stride: u32) -> Option<Self> {
        let format = pixel_format(shm_format)?;
        Some(Self { layout: Layout { width, height, stride, format }, shm_format })
    }
}

fn pixel_format(shm_format: u32) -> Option<PixelFormat> {
    use wl_shm::Format;
    match Format::try_from(shm_format).ok()? {
        Format::Xrgb8888 | Format::Argb8888 => Some(PixelFormat::Bgrx),
        Format::Xbgr8888 | Format::Abgr8888 => Some(PixelFormat::Rgbx),
        _ => None,
    }
}

/// The buffers of one pool.
#[derive(Debug, Default)]
pub(super) struct Buffers(ArrayVec<WlBuffer, MAX_BUFFERS>);

impl Buffers {
    /// Shows the memfds to the compositor, which maps them; it gets copies and the caller keeps its own.
    pub fn new(
        shm: &wl_shm::WlShm,
        inbox: &Arc<Inbox>,
        wanted: Wanted,
        memfds: &[BorrowedFd<'_>],
    ) -> Result<Self, SourceError> {
        let Layout { width, height, stride, .. } = wanted.layout;
        let size = i32_or(wanted.layout.bytes()?, wanted.layout)?;
        let create = || -> Result<_, SourceError> {
            Ok(wl_shm_pool::Request::CreateBuffer {
                offset: 0,
                width: i32_or(width.into(), wanted.layout)?,
                height: i32_or(height.into(), wanted.layout)?,
                stride: i32_or(stride.into(), wanted.layout)?,
                format: WEnum::Unknown(wanted.shm_format),
            })
        };
        let mut list = ArrayVec::new();
        for memfd in memfds.iter().take(MAX_BUFFERS) {
            let request = wl_shm::Request::CreatePool { fd: *memfd, size };
            let pool: wl_shm_pool::WlShmPool =
                made(shm.send_constructor(request, inbox.ear::<wl_shm_pool::WlShmPool>()))?;
            list.push(made(pool.send_constructor(create()?, inbox.ear::<WlBuffer>()))?);
            pool.destroy();
        }
        Ok(Self(list))
    }

    pub fn get(&self, buffer: u32) -> Option<&WlBuffer> {
        self.0.get(buffer as usize)
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        self.0.iter().for_each(WlBuffer::destroy);
    }
}

fn i32_or(number: u64, layout: Layout) -> Result<i32, SourceError> {
    // Every side is bounded by Layout::bytes, save those of a layout that it refuses.
    i32::try_from(number).map_err(|_| match layout.bytes() {
        Err(error) => SourceError::Layout(error),
        Ok(_) => SourceError::System { what: "sizing a buffer", errno: rustix::io::Errno::OVERFLOW },
    })
}

