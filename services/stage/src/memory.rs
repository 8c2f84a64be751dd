//! Sealed shared memory: a memfd that can neither shrink nor grow, so a mapping of it never faults.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::atomic::AtomicU64,
};

use memfd::{FileSeal, MemfdOptions};
use memmap2::{Mmap, MmapMut, MmapOptions};
use rustix::fs::{SealFlags, fcntl_get_seals, fstat};

/// Why shared memory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// The kernel gave no memfd or no mapping.
    #[error("shared memory of {bytes} bytes: {source}")]
    Kernel {
        /// Asked size.
        bytes: u64,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A received descriptor is not a memfd.
    #[error("a received file descriptor is not a memfd")]
    NotMemfd,
    /// A received memfd may still change its size, which would kill its reader.
    #[error("a received memfd is not sealed against shrinking")]
    Unsealed,
    /// A received descriptor is not a dmabuf.
    #[error("a received file descriptor is not a dmabuf")]
    NotDmabuf,
    /// Received memory is smaller than announced.
    #[error("received memory has {got} bytes, {need} were announced")]
    TooSmall {
        /// Announced size in bytes.
        need: u64,
        /// Real size in bytes.
        got: u64,
    },
}

/// Memory of this process's own making, mapped for writing.
#[derive(Debug)]
pub struct SharedMemory {
    fd: OwnedFd,
    map: MmapMut,
}

/// Makes a memfd of `bytes` bytes, sealed against any change of size and of its seals.
pub fn sealed(name: &str, bytes: u64) -> Result<OwnedFd, MemoryError> {
    let kernel = |source| MemoryError::Kernel { bytes, source };
    let memfd = MemfdOptions::default()
        .allow_sealing(true)
        .close_on_exec(true)
        .create(name)
        .map_err(|error| kernel(io::Error::other(error)))?;
    memfd.as_file().set_len(bytes).map_err(kernel)?;
    memfd
        .add_seals(&[FileSeal::SealShrink, FileSeal::SealGrow, FileSeal::SealSeal])
        .map_err(|error| kernel(io::Error::other(error)))?;
    Ok(OwnedFd::from(memfd.into_file()))
}

/// Checks that a received descriptor is a memfd of at least `need` bytes that cannot shrink.
pub fn check_sealed(fd: BorrowedFd<'_>, need: u64) -> Result<(), MemoryError> {
    let seals = fcntl_get_seals(fd).map_err(|_| MemoryError::NotMemfd)?;
    if !seals.contains(SealFlags::SHRINK) {
        return Err(MemoryError::Unsealed);
    }
    let stat = fstat(fd).map_err(|error| MemoryError::Kernel { bytes: need, source: error.into() })?;
    let got = u64::try_from(stat.st_size).unwrap_or(0);
    if got < need { Err(MemoryError::TooSmall { need, got }) } else { Ok(()) }
}

impl SharedMemory {
    /// Makes and maps `bytes` bytes. `name` shows up in `/proc/PID/maps`.
    pub fn new(name: &str, bytes: u64) -> Result<Self, MemoryError> {
        let fd = sealed(name, bytes)?;
        // SAFETY: the memfd was made above with `bytes` bytes and its size is sealed, so no access through the
        // map can fault; other processes may write to it, which for plain bytes only yields other bytes.
        let map = unsafe { MmapOptions::new().len(bytes as usize).map_mut(&fd) };
        Ok(Self { fd, map: map.map_err(|source| MemoryError::Kernel { bytes, source })? })
    }

    /// Maps memory that an earlier incarnation made and the fd store kept, after checking it.
    pub fn adopt(fd: OwnedFd, bytes: u64) -> Result<Self, MemoryError> {
        check_sealed(fd.as_fd(), bytes)?;
        // SAFETY: `check_sealed` found at least `bytes` bytes and seals against shrinking, so no access through the
        // map can fault; the incarnation that made it is dead, and for plain bytes another writer yields other bytes.
        let map = unsafe { MmapOptions::new().len(bytes as usize).map_mut(&fd) };
        Ok(Self { fd, map: map.map_err(|source| MemoryError::Kernel { bytes, source })? })
    }

    /// All of it as words that several threads and a signal handler may use, mapped until the process ends. Its descriptor
    /// is closed.
    pub fn leak(self) -> &'static [AtomicU64] {
        let map: &'static mut MmapMut = Box::leak(Box::new(self.map));
        let words = map.len() / size_of::<AtomicU64>();
        // SAFETY: the map begins at a page, so words are aligned; it is as long as the slice, lives for ever, and the only
        // other reference to it was the one that the pointer is made of.
        unsafe { std::slice::from_raw_parts(map.as_mut_ptr().cast::<AtomicU64>(), words) }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// The bytes, for writing.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.map
    }
}

impl AsFd for SharedMemory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Maps `bytes` bytes of a received memfd for reading, after checking it.
pub fn map_received(fd: BorrowedFd<'_>, bytes: u64) -> Result<Mmap, MemoryError> {
    check_sealed(fd, bytes)?;
    // SAFETY: `check_sealed` found at least `bytes` bytes and seals against shrinking, so no access through the
    // map can fault; its writer may change the bytes meanwhile, and readers treat them as untrusted data.
    let map = unsafe { MmapOptions::new().len(bytes as usize).map(&fd) };
    map.map_err(|source| MemoryError::Kernel { bytes, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_bytes_are_read_by_the_other_side() {
        let mut memory = SharedMemory::new("test", 8192).unwrap();
        memory.bytes_mut()[5000] = 7;
        let map = map_received(memory.as_fd(), 8192).unwrap();
        assert_eq!(map[5000], 7);
        let kept = memory.as_fd().try_clone_to_owned().unwrap();
        drop(memory);
        let mut adopted = SharedMemory::adopt(kept, 8192).unwrap();
        assert_eq!(adopted.bytes()[5000], 7);
        adopted.bytes_mut()[5000] = 8;
        assert_eq!(map[5000], 8);
    }

    /// Sabotage: skip the seal check, or the size check.
    #[test]
    fn foreign_descriptors_are_refused() {
        let null = std::fs::File::open("/dev/null").unwrap();
        assert!(matches!(check_sealed(null.as_fd(), 1), Err(MemoryError::NotMemfd)));
        let small = sealed("test", 4096).unwrap();
        assert!(matches!(
            check_sealed(small.as_fd(), 4097),
            Err(MemoryError::TooSmall { need: 4097, got: 4096 })
        ));
        let open = MemfdOptions::default().allow_sealing(true).create("test").unwrap();
        open.as_file().set_len(4096).unwrap();
        assert!(matches!(check_sealed(open.as_file().as_fd(), 1), Err(MemoryError::Unsealed)));
    }
}
