//! Our memfds as the compositor knows them: one wl_shm pool and one wl_buffer for each.

use super::{
    protocol::{Interface, buffer, shm, shm_pool},
    wire::{Id, Wire},
};
use crate::{backends::SourceError, newest::MAX_BUFFERS};
use arrayvec::ArrayVec;
use lumen_ipc::pool::{Layout, PixelFormat};
use std::os::fd::BorrowedFd;

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
        let format = match shm_format {
            shm::XRGB8888 | shm::ARGB8888 => PixelFormat::Bgrx,
            shm::XBGR8888 | shm::ABGR8888 => PixelFormat::Rgbx,
            _ => return None,
        };
        Some(Self { layout: Layout { width, height, stride, format }, shm_format })
    }
}

/// The buffers of one pool.
#[derive(Debug, Default)]
pub(super) struct Buffers(ArrayVec<Id, MAX_BUFFERS>);

impl Buffers {
    /// Shows `memfds` to the compositor, which maps them.
    ///
    /// # Errors
    /// The connection is at its end, or the layout is impossible.
    pub fn new(
        wire: &mut Wire,
        shm: Id,
        wanted: Wanted,
        memfds: &[BorrowedFd<'_>],
    ) -> Result<Self, SourceError> {
        let Layout { width, height, stride, .. } = wanted.layout;
        // Bounded by Layout::bytes, far below what the wire's signed numbers hold.
        let size = wanted.layout.bytes()? as u32;
        let mut list = ArrayVec::new();
        for memfd in memfds.iter().take(MAX_BUFFERS) {
            let pool = wire.make(Interface::ShmPool);
            wire.attach(*memfd)?;
            wire.request(shm, shm::CREATE_POOL).object(pool).uint(size).send();
            let buffer = wire.make(Interface::Buffer);
            let request = wire.request(pool, shm_pool::CREATE_BUFFER).object(buffer).uint(0);
            request.uint(width).uint(height).uint(stride).uint(wanted.shm_format).send();
            wire.request(pool, shm_pool::DESTROY).send();
            wire.forget(pool);
            list.push(buffer);
        }
        Ok(Self(list))
    }

    /// The wl_buffer of a buffer's number.
    pub fn get(&self, buffer: u32) -> Option<Id> {
        self.0.get(buffer as usize).copied()
    }

    /// Lets the compositor forget them.
    pub fn destroy(self, wire: &mut Wire) {
        for id in self.0 {
            wire.request(id, buffer::DESTROY).send();
            wire.forget(id);
        }
    }
}
