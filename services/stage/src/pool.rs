//! Both sides of a buffer pool.

use std::{
    ops::Deref,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use arrayvec::ArrayVec;
use lumen_ipc::{
    Failure, FailureClass,
    pool::{BufferPlace, Layout, LayoutError, MAX_BUFFERS, Memory, PoolDescription},
};
use memmap2::Mmap;

use crate::{
    dmabuf::{ReadableDmabuf, Reading},
    link::Fds,
    memory::{self, MemoryError},
};

/// DRM's modifier of pictures whose rows lie one after the other.
pub const LINEAR: u64 = 0;

/// Why a pool cannot be made or taken in.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The layout is impossible.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// More buffers than a pool may have, or none.
    #[error("a pool has 1 to {MAX_BUFFERS} buffers, not {0}")]
    Count(usize),
    /// A buffer has less room than a picture needs.
    #[error("buffer {buffer} has {got} bytes for a picture of {need}")]
    Short {
        /// Its number.
        buffer: usize,
        /// Bytes of a picture.
        need: u64,
        /// Bytes that the buffer has.
        got: u64,
    },
    /// Rows do not lie one after the other.
    #[error("a CPU cannot read dmabufs with the format modifier {0:#x}")]
    Tiled(u64),
    /// The memory is not usable.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

impl From<PoolError> for Failure {
    fn from(error: PoolError) -> Self {
        Self::new(FailureClass::Environment, error.to_string(), "free some memory, or ask for a smaller mode")
    }
}

/// A pool that this stage announces: sealed memfds of its own making, or another program's buffers. Not mapped here.
#[derive(Debug)]
pub struct Pool {
    description: PoolDescription,
    fds: ArrayVec<OwnedFd, MAX_BUFFERS>,
}

impl Pool {
    /// Makes pool `number` of `count` buffers.
    ///
    /// # Errors
    /// An impossible layout or count, or no memory.
    pub fn new(number: u32, layout: Layout, count: usize) -> Result<Self, PoolError> {
        if !(1..=MAX_BUFFERS).contains(&count) {
            return Err(PoolError::Count(count));
        }
        let bytes = layout.bytes()?;
        let mut fds = ArrayVec::new();
        let mut buffers = ArrayVec::new();
        for _ in 0..count {
            fds.push(memory::sealed("lumen-frame", bytes)?);
            buffers.push(BufferPlace { offset: 0, bytes });
        }
        Ok(Self { description: PoolDescription { number, layout, memory: Memory::Memfd, buffers }, fds })
    }

    /// Buffers that another program made (a compositor, over PipeWire), as `description` says, one descriptor each.
    ///
    /// # Errors
    /// An impossible layout or count, a buffer that is too small, or a memfd that could shrink under its reader.
    pub fn foreign(
        description: PoolDescription,
        fds: ArrayVec<OwnedFd, MAX_BUFFERS>,
    ) -> Result<Self, PoolError> {
        let need = description.layout.bytes()?;
        if fds.is_empty() || fds.len() != description.buffers.len() {
            return Err(PoolError::Count(fds.len()));
        }
        for (buffer, (place, fd)) in description.buffers.iter().zip(&fds).enumerate() {
            if place.bytes < need {
                return Err(PoolError::Short { buffer, need, got: place.bytes });
            }
            if description.memory == Memory::Memfd {
                memory::check_sealed(fd.as_fd(), place.offset.saturating_add(need))?;
            }
        }
        Ok(Self { description, fds })
    }

    /// What is announced to the reader.
    pub fn description(&self) -> &PoolDescription {
        &self.description
    }

    /// One descriptor per buffer, in the order of their numbers.
    pub fn fds(&self) -> ArrayVec<BorrowedFd<'_>, MAX_BUFFERS> {
        self.fds.iter().map(AsFd::as_fd).collect()
    }
}

#[derive(Debug)]
enum Mapped {
    Memfd(Mmap),
    Dmabuf(ReadableDmabuf),
}

/// A pool announced by another stage, mapped for reading.
#[derive(Debug)]
pub struct ImportedPool {
    description: PoolDescription,
    maps: ArrayVec<Mapped, MAX_BUFFERS>,
}

/// The bytes of one picture, `stride × height` of them, while they are read.
#[derive(Debug)]
pub struct PictureBytes<'a> {
    from: Bytes<'a>,
    offset: usize,
    len: usize,
}

#[derive(Debug)]
enum Bytes<'a> {
    Memfd(&'a [u8]),
    Dmabuf(Reading<'a>),
}

impl Deref for PictureBytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let all = match &self.from {
            Bytes::Memfd(bytes) => bytes,
            Bytes::Dmabuf(reading) => reading.bytes(),
        };
        all.get(self.offset..self.offset + self.len).unwrap_or_default()
    }
}

impl ImportedPool {
    /// Checks and maps the buffers; the descriptors of memfds are closed.
    ///
    /// # Errors
    /// The buffers are not what `description` says, or a CPU cannot read them.
    pub fn import(description: PoolDescription, fds: Fds) -> Result<Self, PoolError> {
        let bytes = description.layout.bytes()?;
        if fds.is_empty() || fds.len() != description.buffers.len() {
            return Err(PoolError::Count(fds.len()));
        }
        let mut maps = ArrayVec::new();
        for (fd, place) in fds.into_iter().zip(&description.buffers) {
            let end = place.offset.saturating_add(bytes);
            maps.push(match description.memory {
                Memory::Memfd => Mapped::Memfd(memory::map_received(fd.as_fd(), end)?),
                Memory::Dmabuf { modifier: LINEAR } => Mapped::Dmabuf(ReadableDmabuf::map(fd, end)?),
                Memory::Dmabuf { modifier } => return Err(PoolError::Tiled(modifier)),
            });
        }
        Ok(Self { description, maps })
    }

    /// [`PoolDescription::number`].
    pub fn number(&self) -> u32 {
        self.description.number
    }

    /// Layout of every buffer.
    pub fn layout(&self) -> &Layout {
        &self.description.layout
    }

    /// Whether there is a buffer of this number.
    pub fn has(&self, buffer: u32) -> bool {
        (buffer as usize) < self.maps.len()
    }

    /// The picture in one buffer; `None` for a number that the pool does not have.
    pub fn picture(&self, buffer: u32) -> Option<PictureBytes<'_>> {
        let place = self.description.buffers.get(buffer as usize)?;
        let from = match self.maps.get(buffer as usize)? {
            Mapped::Memfd(map) => Bytes::Memfd(map),
            Mapped::Dmabuf(dmabuf) => Bytes::Dmabuf(dmabuf.read()),
        };
        let len = self.description.layout.bytes().ok()?;
        Some(PictureBytes { from, offset: place.offset as usize, len: len as usize })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumen_ipc::pool::PixelFormat;
    use std::os::unix::fs::FileExt;

    const LAYOUT: Layout = Layout { width: 64, height: 64, stride: 256, format: PixelFormat::Bgrx };
    const BYTES: u64 = 256 * 64;

    fn copies(pool: &Pool) -> Fds {
        pool.fds().iter().map(|fd| fd.try_clone_to_owned().unwrap()).collect()
    }

    fn foreign(place: BufferPlace, memory: Memory) -> Result<Pool, PoolError> {
        let fd = memory::sealed("test", 4096 + BYTES).unwrap();
        std::fs::File::from(fd.try_clone().unwrap()).write_at(&[7], 4096).unwrap();
        let description =
            PoolDescription { number: 4, layout: LAYOUT, memory, buffers: [place].into_iter().collect() };
        Pool::foreign(description, [fd].into_iter().collect())
    }

    #[test]
    fn an_announced_pool_is_imported() {
        let pool = Pool::new(3, LAYOUT, 5).unwrap();
        let imported = ImportedPool::import(pool.description().clone(), copies(&pool)).unwrap();
        assert_eq!(imported.picture(4).map(|bytes| bytes.len()), Some(256 * 64));
        assert!(imported.picture(5).is_none());
    }

    /// Sabotage: read from the descriptor's first byte whatever the place says.
    #[test]
    fn the_picture_of_a_foreign_buffer_lies_where_its_place_says() {
        let pool = foreign(BufferPlace { offset: 4096, bytes: BYTES }, Memory::Memfd).unwrap();
        let imported = ImportedPool::import(pool.description().clone(), copies(&pool)).unwrap();
        let picture = imported.picture(0).unwrap();
        assert_eq!((picture.len() as u64, picture[0], picture[1]), (BYTES, 7, 0));
    }

    /// Sabotage: believe the place, or take any modifier for linear.
    #[test]
    fn foreign_buffers_that_cannot_be_read_are_refused() {
        let short = foreign(BufferPlace { offset: 0, bytes: BYTES - 1 }, Memory::Memfd);
        assert!(matches!(short, Err(PoolError::Short { buffer: 0, .. })), "{short:?}");
        let beyond = foreign(BufferPlace { offset: 4097, bytes: BYTES }, Memory::Memfd);
        assert!(matches!(beyond, Err(PoolError::Memory(MemoryError::TooSmall { .. }))), "{beyond:?}");
        for (modifier, refusal) in [(7, "modifier 0x7"), (LINEAR, "not a dmabuf")] {
            let place = BufferPlace { offset: 0, bytes: BYTES };
            let pool = foreign(place, Memory::Dmabuf { modifier }).unwrap();
            let error = ImportedPool::import(pool.description().clone(), copies(&pool)).unwrap_err();
            assert!(error.to_string().contains(refusal), "{error}");
        }
    }

    #[test]
    fn impossible_pools_are_refused() {
        assert!(matches!(Pool::new(1, LAYOUT, 0), Err(PoolError::Count(0))));
        assert!(matches!(Pool::new(1, Layout { stride: 4, ..LAYOUT }, 5), Err(PoolError::Layout(_))));
        let huge = Layout { width: 1, height: u32::MAX, stride: u32::MAX, ..LAYOUT };
        assert!(matches!(Pool::new(1, huge, 5), Err(PoolError::Layout(_))));
    }
}
