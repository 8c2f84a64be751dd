//! The ring through which AccessUnits go from encoded to transportd.
//!
//! One sealed memfd. Each AccessUnit lies in one piece; its place and length travel in the message. Space comes
//! back in the order it was taken.

use std::{
    collections::VecDeque,
    os::fd::{AsFd, BorrowedFd},
};

use lumen_ipc::encode::MAX_RING_BYTES;
use memmap2::Mmap;

use crate::memory::{self, MemoryError, SharedMemory};

/// AccessUnits that may lie in the ring at once; reserved up front so that none costs an allocation.
const MAX_UNITS: usize = 64;

/// Why bytes do not go into the ring.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// The reader has not yet freed enough.
    #[error("the ring is full: {len} bytes do not fit before the reader frees some")]
    Full {
        /// Bytes that were to be written.
        len: usize,
    },
    /// They never will fit.
    #[error("{len} bytes do not fit a ring of {ring} bytes")]
    TooLong {
        /// Bytes that were to be written.
        len: usize,
        /// Size of the ring in bytes.
        ring: usize,
    },
}

/// Where free space is: sans-IO, so that it can be tested alone.
#[derive(Debug)]
struct Space {
    size: usize,
    head: usize,
    /// (number, offset) of what is out, oldest first.
    out: VecDeque<(u64, usize)>,
}

impl Space {
    fn new(size: usize) -> Self {
        Self { size, head: 0, out: VecDeque::with_capacity(MAX_UNITS) }
    }

    fn take(&mut self, number: u64, len: usize) -> Result<usize, RingError> {
        if len >= self.size {
            return Err(RingError::TooLong { len, ring: self.size });
        }
        let full = RingError::Full { len };
        let offset = match self.out.front() {
            None => 0,
            Some(_) if self.out.len() == MAX_UNITS => return Err(full),
            // Free is what lies behind the head and before the oldest; one byte stays free so that a full ring
            // is not taken for an empty one.
            Some(&(_, tail)) if tail < self.head => match self.size - self.head {
                behind if behind >= len => self.head,
                _ if tail > len => 0,
                _ => return Err(full),
            },
            Some(&(_, tail)) if tail - self.head > len => self.head,
            Some(_) => return Err(full),
        };
        self.head = offset + len;
        self.out.push_back((number, offset));
        Ok(offset)
    }

    fn free(&mut self, number: u64) {
        while self.out.front().is_some_and(|&(oldest, _)| oldest <= number) {
            self.out.pop_front();
        }
    }
}

/// encoded's side.
#[derive(Debug)]
pub struct RingWriter {
    memory: SharedMemory,
    space: Space,
}

impl RingWriter {
    /// Makes a ring of `bytes` bytes.
    pub fn new(bytes: u64) -> Result<Self, MemoryError> {
        let bytes = bytes.min(MAX_RING_BYTES);
        Ok(Self { memory: SharedMemory::new("lumen-ring", bytes)?, space: Space::new(bytes as usize) })
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.space.size as u64
    }

    /// Copies an AccessUnit in and returns its offset in bytes. Does not allocate.
    pub fn write(&mut self, number: u64, unit: &[u8]) -> Result<u32, RingError> {
        let offset = self.space.take(number, unit.len())?;
        if let Some(room) = self.memory.bytes_mut().get_mut(offset..offset + unit.len()) {
            room.copy_from_slice(unit);
        }
        Ok(offset as u32)
    }

    /// The reader is done with AccessUnit `number` and all before it.
    pub fn free(&mut self, number: u64) {
        self.space.free(number);
    }

    /// A new reader starts with an empty ring.
    pub fn clear(&mut self) {
        self.space.free(u64::MAX);
    }
}

impl AsFd for RingWriter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }
}

/// transportd's side, mapped for reading.
#[derive(Debug)]
pub struct RingReader {
    map: Mmap,
}

impl RingReader {
    /// Checks and maps a received ring of `bytes` bytes.
    pub fn import(fd: BorrowedFd<'_>, bytes: u64) -> Result<Self, MemoryError> {
        Ok(Self { map: memory::map_received(fd, bytes.min(MAX_RING_BYTES))? })
    }

    /// The bytes of one AccessUnit; `None` if they do not lie inside the ring.
    pub fn unit(&self, offset: u32, len: u32) -> Option<&[u8]> {
        let start = offset as usize;
        self.map.get(start..start.checked_add(len as usize)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Sabotage: let `take` ignore the oldest AccessUnit that is still out.
        #[test]
        fn units_that_are_out_never_overlap(ops in proptest::collection::vec((1usize..400, any::<bool>()), 1..300)) {
            let mut space = Space::new(1000);
            let mut out: VecDeque<(u64, usize, usize)> = VecDeque::new();
            for (number, &(len, free)) in ops.iter().enumerate() {
                if free && let Some((oldest, _, _)) = out.pop_front() {
                    space.free(oldest);
                }
                if let Ok(offset) = space.take(number as u64, len) {
                    prop_assert!(offset + len <= 1000);
                    for &(_, o, l) in &out {
                        prop_assert!(offset + len <= o || o + l <= offset, "{offset}+{len} meets {o}+{l}");
                    }
                    out.push_back((number as u64, offset, len));
                } else {
                    prop_assert!(!out.is_empty(), "an empty ring takes {len} bytes");
                }
            }
        }
    }

    #[test]
    fn the_reader_sees_what_was_written() {
        let mut writer = RingWriter::new(4096).unwrap();
        let reader = RingReader::import(writer.as_fd(), writer.size()).unwrap();
        let offset = writer.write(1, b"picture").unwrap();
        assert_eq!(reader.unit(offset, 7), Some(&b"picture"[..]));
        assert!(reader.unit(4000, 200).is_none());
        assert!(reader.unit(u32::MAX, u32::MAX).is_none());
        assert!(matches!(writer.write(2, &[0; 5000]), Err(RingError::TooLong { .. })));
    }
}
