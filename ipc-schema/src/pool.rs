//! Buffers that are announced once and then named by number.

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

use crate::message::{FdKind, FdRule};

/// Largest number of buffers in a pool.
pub const MAX_BUFFERS: usize = 16;

/// Largest buffer in bytes: 8192 × 8192 pixels of 4 bytes.
pub const MAX_BUFFER_BYTES: u64 = 8192 * 8192 * 4;

/// How a pixel lies in memory, named by byte order from the lowest address; the X byte is undefined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PixelFormat {
    /// Blue, green, red, unused: DRM's XRGB8888.
    Bgrx,
    /// Red, green, blue, unused: DRM's XBGR8888.
    Rgbx,
}

/// Where a picture lies in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Bytes from one row to the next, ≥ 4 × width.
    pub stride: u32,
    /// How a pixel lies.
    pub format: PixelFormat,
}

/// Why a layout is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a buffer of {width}×{height} pixels with {stride} bytes a row is impossible")]
pub struct LayoutError {
    width: u32,
    height: u32,
    stride: u32,
}

impl Layout {
    /// Bytes that a buffer of this layout has.
    pub fn bytes(&self) -> Result<u64, LayoutError> {
        let error = LayoutError { width: self.width, height: self.height, stride: self.stride };
        let bytes = u64::from(self.stride) * u64::from(self.height);
        let rows_fit = u64::from(self.stride) >= u64::from(self.width) * 4;
        if self.width == 0 || self.height == 0 || !rows_fit || bytes > MAX_BUFFER_BYTES {
            return Err(error);
        }
        Ok(bytes)
    }
}

/// What kind of memory the buffers of a pool are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Memory {
    /// Memfds sealed against shrinking.
    Memfd,
    /// Dmabufs of one plane.
    Dmabuf {
        /// DRM's format modifier: 0 is linear.
        modifier: u64,
    },
}

/// Where a buffer's picture lies in its file descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BufferPlace {
    /// First byte of the picture.
    pub offset: u64,
    /// Bytes from there on that belong to the buffer, at least those of the layout.
    pub bytes: u64,
}

/// A set of buffers of one layout. Its message carries one descriptor per buffer, in the order of their numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolDescription {
    /// Number of the pool, rising over the life of a stage.
    pub number: u32,
    /// Layout of every buffer.
    pub layout: Layout,
    /// What the buffers are.
    pub memory: Memory,
    /// Where the pictures lie.
    pub buffers: ArrayVec<BufferPlace, MAX_BUFFERS>,
}

impl PoolDescription {
    /// The file descriptors that must come with it.
    pub fn fds(&self) -> FdRule {
        let needed = self.layout.bytes().unwrap_or(u64::MAX);
        let end = |place: &BufferPlace| place.offset.saturating_add(place.bytes.max(needed));
        let bytes = self.buffers.iter().map(end).fold(needed, u64::max);
        let kind = match self.memory {
            Memory::Memfd => FdKind::SealedMemfd { bytes },
            Memory::Dmabuf { .. } => FdKind::Dmabuf { bytes },
        };
        FdRule { count: self.buffers.len(), kind }
    }
}

/// One buffer of one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BufferId {
    /// [`PoolDescription::number`].
    pub pool: u32,
    /// Index into [`PoolDescription::buffers`].
    pub buffer: u32,
}
