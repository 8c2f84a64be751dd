//! Both sides of a buffer pool.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use arrayvec::ArrayVec;
use lumen_ipc::pool::{Layout, LayoutError, MAX_BUFFERS, PoolDescription};
use memmap2::Mmap;

use crate::{
    link::Fds,
    memory::{self, MemoryError},
};

/// Why a pool cannot be made or taken in.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The layout is impossible.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// More buffers than a pool may have, or none.
    #[error("a pool has 1 to {MAX_BUFFERS} buffers, not {0}")]
    Count(usize),
    /// The memory is not usable.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

/// A pool of this stage's own making: sealed memfds, not mapped here (a compositor writes into them).
#[derive(Debug)]
pub struct Pool {
    description: PoolDescription,
    fds: ArrayVec<OwnedFd, MAX_BUFFERS>,
}

impl Pool {
    /// Makes pool `number` of `count` buffers.
    pub fn new(number: u32, layout: Layout, count: usize) -> Result<Self, PoolError> {
        if !(1..=MAX_BUFFERS).contains(&count) {
            return Err(PoolError::Count(count));
        }
        let bytes = layout.bytes()?;
        let mut fds = ArrayVec::new();
        let mut buffers = ArrayVec::new();
        for _ in 0..count {
            fds.push(memory::sealed("lumen-frame", bytes)?);
            buffers.push(bytes);
        }
        Ok(Self { description: PoolDescription { number, layout, buffers }, fds })
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

/// A pool announced by another stage, mapped for reading.
#[derive(Debug)]
pub struct ImportedPool {
    description: PoolDescription,
    maps: ArrayVec<Mmap, MAX_BUFFERS>,
}

impl ImportedPool {
    /// Checks and maps the buffers; the descriptors are closed.
    pub fn import(description: PoolDescription, fds: Fds) -> Result<Self, PoolError> {
        let bytes = description.layout.bytes()?;
        if fds.is_empty() || fds.len() != description.buffers.len() {
            return Err(PoolError::Count(fds.len()));
        }
        let mut maps = ArrayVec::new();
        for fd in &fds {
            maps.push(memory::map_received(fd.as_fd(), bytes)?);
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

    /// The bytes of one buffer, `stride × height` of them; `None` for a number that the pool does not have.
    pub fn picture(&self, buffer: u32) -> Option<&[u8]> {
        self.maps.get(buffer as usize).map(|map| &map[..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumen_ipc::pool::PixelFormat;

    const LAYOUT: Layout = Layout { width: 64, height: 64, stride: 256, format: PixelFormat::Bgrx };

    #[test]
    fn an_announced_pool_is_imported() {
        let pool = Pool::new(3, LAYOUT, 5).unwrap();
        let fds = pool.fds().iter().map(|fd| fd.try_clone_to_owned().unwrap()).collect();
        let imported = ImportedPool::import(pool.description().clone(), fds).unwrap();
        assert_eq!(imported.picture(4).map(<[u8]>::len), Some(256 * 64));
        assert!(imported.picture(5).is_none());
    }

    #[test]
    fn impossible_pools_are_refused() {
        assert!(matches!(Pool::new(1, LAYOUT, 0), Err(PoolError::Count(0))));
        assert!(matches!(Pool::new(1, Layout { stride: 4, ..LAYOUT }, 5), Err(PoolError::Layout(_))));
        let huge = Layout { width: 1, height: u32::MAX, stride: u32::MAX, ..LAYOUT };
        assert!(matches!(Pool::new(1, huge, 5), Err(PoolError::Layout(_))));
    }
}
