//! GPU memory as a file descriptor: checked, mapped for reading, and read between two calls that make the CPU see it.
//!
//! A dmabuf keeps its size for life, so a mapping of it never faults for shrinking.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use memmap2::{Mmap, MmapOptions};
use rustix::{
    fs::{SeekFrom, seek},
    io::Errno,
    ioctl::{Setter, ioctl, opcode},
};

use crate::memory::MemoryError;

/// `DMA_BUF_IOCTL_SYNC` of linux/dma-buf.h.
const SYNC: rustix::ioctl::Opcode = opcode::write::<u64>(b'b', 0);
/// `DMA_BUF_SYNC_READ | DMA_BUF_SYNC_START`.
const BEGIN: u64 = 1;
/// `DMA_BUF_SYNC_READ | DMA_BUF_SYNC_END`.
const END: u64 = 1 | 4;

fn sync(fd: BorrowedFd<'_>, step: u64) -> Result<(), Errno> {
    loop {
        // SAFETY: DMA_BUF_IOCTL_SYNC reads one u64 of flags from the address it is given and writes nothing; Setter
        // passes the address of such a u64 that lives for the call. On another kind of descriptor it is ENOTTY.
        let done = unsafe { ioctl(fd, Setter::<SYNC, u64>::new(step)) };
        match done {
            Err(Errno::INTR | Errno::AGAIN) => {}
            done => return done,
        }
    }
}

/// Checks that a received descriptor is a dmabuf of at least `need` bytes.
///
/// # Errors
/// It is something else, or smaller.
pub fn check(fd: BorrowedFd<'_>, need: u64) -> Result<(), MemoryError> {
    sync(fd, BEGIN).and_then(|()| sync(fd, END)).map_err(|_| MemoryError::NotDmabuf)?;
    let got = seek(fd, SeekFrom::End(0)).map_err(|_| MemoryError::NotDmabuf)?;
    if got < need { Err(MemoryError::TooSmall { need, got }) } else { Ok(()) }
}

/// A dmabuf of another stage, mapped for reading.
#[derive(Debug)]
pub struct ReadableDmabuf {
    fd: OwnedFd,
    map: Mmap,
}

impl ReadableDmabuf {
    /// Checks and maps its first `bytes` bytes.
    ///
    /// # Errors
    /// It is no dmabuf, too small, or its driver does not let a CPU read it.
    pub fn map(fd: OwnedFd, bytes: u64) -> Result<Self, MemoryError> {
        check(fd.as_fd(), bytes)?;
        // SAFETY: `check` found a dmabuf of at least `bytes` bytes, and a dmabuf cannot shrink, so no access through the
        // map can fault; its writer may change the bytes meanwhile, and readers treat them as untrusted data.
        let map = unsafe { MmapOptions::new().len(bytes as usize).map(&fd) };
        Ok(Self { map: map.map_err(|source| MemoryError::Kernel { bytes, source })?, fd })
    }

    /// Makes what the GPU wrote visible until the guard is dropped.
    pub fn read(&self) -> Reading<'_> {
        // A driver that refuses has nothing to synchronise, or the device is gone and the bytes are old ones.
        let _ = sync(self.fd.as_fd(), BEGIN);
        Reading(self)
    }
}

/// The bytes of a dmabuf while the CPU reads them.
#[derive(Debug)]
pub struct Reading<'a>(&'a ReadableDmabuf);

impl Reading<'_> {
    /// All that was mapped.
    pub fn bytes(&self) -> &[u8] {
        &self.0.map
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let _ = sync(self.0.fd.as_fd(), END);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sabotage: leave out the ioctl, since a memfd also has a size.
    #[test]
    fn what_is_no_dmabuf_is_refused() {
        let memfd = crate::memory::sealed("test", 8192).unwrap();
        assert!(matches!(check(memfd.as_fd(), 1), Err(MemoryError::NotDmabuf)));
        let null = std::fs::File::open("/dev/null").unwrap();
        assert!(matches!(ReadableDmabuf::map(null.into(), 1), Err(MemoryError::NotDmabuf)));
    }
}
