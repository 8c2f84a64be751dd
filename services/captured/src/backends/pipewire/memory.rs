//! A buffer of PipeWire's: where its bytes are, and what is written beside them.
#![allow(unsafe_code, reason = "buffers and their metadata are C structures in shared memory")]

use super::{gate::Ticket, meta};
use pipewire::{spa::sys as spa, sys};
use std::{os::fd::BorrowedFd, ptr::NonNull, slice};

/// `SPA_DATA_SyncObj` of spa/buffer/buffer.h, since PipeWire 1.2: the headers of 0.3.65, which we are built with, end before it.
const SYNCOBJ: u32 = 5;

/// A buffer of a stream. Valid from the time at which the stream says that it was added until it says that it was
/// removed; whoever holds one forgets it then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BufferRef(NonNull<sys::pw_buffer>);

/// What kind of memory a buffer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A memfd.
    Memfd,
    /// A dmabuf.
    Dmabuf,
    /// Neither: SPA's number.
    Other(u32),
}

/// What the producer says of the picture in a buffer, unchecked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk {
    /// Bytes before the picture.
    pub offset: u32,
    /// Bytes of the picture; 0 where the producer leaves it to be computed.
    pub size: u32,
    /// Bytes from one row to the next; 0 where there is no gap.
    pub stride: i32,
    /// Whether the picture is none.
    pub corrupted: bool,
}

impl BufferRef {
    /// `buffer` is one that the stream just gave or named.
    pub fn new(buffer: NonNull<sys::pw_buffer>) -> Self {
        Self(buffer)
    }

    /// For libpipewire.
    pub fn as_ptr(self) -> *mut sys::pw_buffer {
        self.0.as_ptr()
    }

    fn buffer(&self) -> &spa::spa_buffer {
        // SAFETY: the holder keeps it between added and removed, so both structures live; they are this process's own
        // memory and are changed by nobody but libpipewire, on this thread.
        unsafe { &*(*self.0.as_ptr()).buffer }
    }

    fn datas(&self) -> &[spa::spa_data] {
        let buffer = self.buffer();
        match buffer.datas.is_null() {
            true => &[],
            // SAFETY: libpipewire allocated `n_datas` of them, which live as long as the buffer.
            false => unsafe { slice::from_raw_parts(buffer.datas, buffer.n_datas as usize) },
        }
    }

    fn data(&self) -> Option<&spa::spa_data> {
        self.datas().first()
    }

    /// How many planes it has.
    pub fn planes(&self) -> usize {
        self.datas().iter().filter(|data| data.type_ != SYNCOBJ).count()
    }

    /// The timelines of its acquire and release points, which lie behind the planes in this order.
    pub fn syncobjs(&self) -> Option<[BorrowedFd<'_>; 2]> {
        match self.datas() {
            [.., acquire, release] if [acquire, release].iter().all(|data| data.type_ == SYNCOBJ) => {
                Some([descriptor(acquire)?, descriptor(release)?])
            }
            _ => None,
        }
    }

    /// What its producer says of when it may be looked at; `None` where that was not agreed on.
    pub fn ticket(&self) -> Option<Ticket> {
        meta::ticket(self.meta(meta::SYNC_TIMELINE))
    }

    /// Tells the producer that the release point is signalled by us: since PipeWire 1.6 it sets a flag, which its reader
    /// clears. Before, there is none.
    pub fn promise_release(&self) {
        let room = |meta: &&spa::spa_meta| meta.size as usize >= meta::SYNC_TIMELINE_BYTES;
        if let Some(meta) = self.find(meta::SYNC_TIMELINE).filter(room) {
            let flags = meta.data.cast::<u32>();
            // SAFETY: the structure's first four bytes, aligned to 8 as each of them is; libpipewire mapped them for reading
            // and writing, and no reference to them is alive.
            unsafe { flags.write_volatile(flags.read_volatile() & !meta::UNSCHEDULED_RELEASE) };
        }
    }

    /// What kind of memory it is.
    pub fn kind(&self) -> Kind {
        match self.data().map_or(spa::SPA_DATA_Invalid, |data| data.type_) {
            spa::SPA_DATA_MemFd => Kind::Memfd,
            spa::SPA_DATA_DmaBuf => Kind::Dmabuf,
            other => Kind::Other(other),
        }
    }

    /// Its descriptor.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        descriptor(self.data()?)
    }

    /// Where its memory begins in the descriptor, bytes.
    pub fn offset(&self) -> u32 {
        self.data().map_or(0, |data| data.mapoffset)
    }

    /// How much memory it has, bytes.
    pub fn room(&self) -> u32 {
        self.data().map_or(0, |data| data.maxsize)
    }

    /// What the producer says of the picture in it.
    pub fn chunk(&self) -> Option<Chunk> {
        let chunk = NonNull::new(self.data()?.chunk)?;
        // SAFETY: libpipewire made room for a chunk beside each data; it lies in memory that the producer writes too, so
        // it is read once, as a whole, into memory of our own. Any bits are a valid chunk.
        let chunk = unsafe { chunk.as_ptr().read_volatile() };
        let corrupted = chunk.flags.cast_unsigned() & spa::SPA_CHUNK_FLAG_CORRUPTED != 0;
        Some(Chunk { offset: chunk.offset, size: chunk.size, stride: chunk.stride, corrupted })
    }

    fn find(&self, kind: u32) -> Option<&spa::spa_meta> {
        let buffer = self.buffer();
        if buffer.metas.is_null() {
            return None;
        }
        // SAFETY: libpipewire allocated `n_metas` of them, which live as long as the buffer.
        let metas = unsafe { slice::from_raw_parts(buffer.metas, buffer.n_metas as usize) };
        metas.iter().find(|meta| meta.type_ == kind && !meta.data.is_null())
    }

    /// The metadata of this kind (`SPA_META_…`); empty where none was agreed on.
    pub fn meta(&self, kind: u32) -> &[u8] {
        match self.find(kind) {
            // SAFETY: libpipewire mapped `size` bytes there, sealed against shrinking by the daemon that made them; the
            // producer may write to them meanwhile, and for plain bytes that only yields other bytes.
            Some(meta) => unsafe { slice::from_raw_parts(meta.data.cast::<u8>(), meta.size as usize) },
            None => &[],
        }
    }
}

fn descriptor(data: &spa::spa_data) -> Option<BorrowedFd<'_>> {
    let fd = i32::try_from(data.fd).ok().filter(|&fd| fd >= 0)?;
    // SAFETY: libpipewire keeps the descriptor open as long as the buffer lives.
    Some(unsafe { BorrowedFd::borrow_raw(fd) })
}
