//! Copying PipeWire's pictures into a pool of our own, where its buffers cannot be handed on. Only rows that changed
//! since *this* buffer was last filled are copied.

use super::memory::{BufferRef, Kind};
use crate::{backends::SourceError, newest::MAX_BUFFERS};
use arrayvec::ArrayVec;
use lumen_ipc::{Damage, pool::Layout};
use lumen_stage::{dmabuf::ReadableDmabuf, memory::SharedMemory};
use rustix::io::{Errno, fcntl_dupfd_cloexec, pread};
use std::{
    ops::Range,
    os::fd::{AsFd, BorrowedFd},
};

/// One buffer of ours.
struct Target {
    memory: SharedMemory,
    /// What it lacks of the newest picture.
    stale: Damage,
}

/// Our buffers and those of them that may be written now.
#[derive(Default)]
pub(super) struct Copier {
    targets: ArrayVec<Target, MAX_BUFFERS>,
    free: ArrayVec<u32, MAX_BUFFERS>,
    /// Dmabufs that were read before, by the number of PipeWire's buffer.
    maps: Vec<(usize, ReadableDmabuf)>,
    /// Bytes copied so far.
    pub bytes: u64,
}

impl Copier {
    /// Takes the memfds of a pool of this layout. No buffer may be written yet.
    pub fn use_pool(&mut self, layout: Layout, memfds: &[BorrowedFd<'_>]) -> Result<(), SourceError> {
        let bytes = layout.bytes()?;
        self.targets.clear();
        self.free.clear();
        for memfd in memfds.iter().take(MAX_BUFFERS) {
            let memfd = fcntl_dupfd_cloexec(memfd, 0).map_err(system)?;
            let memory =
                SharedMemory::adopt(memfd, bytes).map_err(|error| SourceError::Memory(error.to_string()))?;
            self.targets.push(Target { memory, stale: Damage::full(layout.width, layout.height) });
        }
        Ok(())
    }

    /// Whether there is a pool.
    pub fn has_pool(&self) -> bool {
        !self.targets.is_empty()
    }

    /// How many buffers may be written now.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// `buffer` of our pool may be written.
    pub fn give(&mut self, buffer: u32) {
        // The brain gives none twice, so there is room for each.
        let _ = self.free.try_push(buffer);
    }

    /// PipeWire's buffers are gone.
    pub fn forget_sources(&mut self) {
        self.maps.clear();
    }

    /// Copies what `damage` says and what is missing from before; the number of our buffer, or `None` if none is free.
    pub fn copy(
        &mut self,
        (index, source): (usize, BufferRef),
        offset: u64,
        layout: &Layout,
        damage: &Damage,
    ) -> Result<Option<u32>, SourceError> {
        let Some(buffer) = self.free.pop_at(0) else { return Ok(None) };
        self.targets.iter_mut().for_each(|target| target.stale.unite(damage));
        if source.kind() == Kind::Dmabuf && !self.maps.iter().any(|(known, _)| *known == index) {
            self.maps.push((index, map(source, offset, layout)?));
        }
        let Some(Target { memory, stale }) = self.targets.get_mut(buffer as usize) else { return Ok(None) };
        let rows = bytes_of(stale, layout);
        let Some(target) = memory.bytes_mut().get_mut(rows.clone()) else { return Ok(None) };
        match self.maps.iter().find(|(known, _)| *known == index) {
            Some((_, map)) => {
                let from = offset as usize;
                let reading = map.read();
                let source = reading.bytes().get(from + rows.start..from + rows.end);
                source.into_iter().for_each(|source| target.copy_from_slice(source));
            }
            None => read(source, offset + rows.start as u64, target)?,
        }
        stale.clear();
        self.bytes += target.len() as u64;
        Ok(Some(buffer))
    }
}

fn system(errno: Errno) -> SourceError {
    SourceError::System { what: "copying a picture", errno }
}

fn map(source: BufferRef, offset: u64, layout: &Layout) -> Result<ReadableDmabuf, SourceError> {
    let fd = source.fd().ok_or(SourceError::PipeWire { what: "reading a buffer" })?;
    let fd = fcntl_dupfd_cloexec(fd, 0).map_err(system)?;
    let end = offset + span(layout);
    ReadableDmabuf::map(fd, end).map_err(|error| SourceError::Memory(error.to_string()))
}

/// Bytes from the first to behind the last pixel.
pub(super) fn span(layout: &Layout) -> u64 {
    let rows = u64::from(layout.height.saturating_sub(1));
    rows * u64::from(layout.stride) + u64::from(layout.width) * 4
}

/// The bytes of the rows that `damage` touches.
fn bytes_of(damage: &Damage, layout: &Layout) -> Range<usize> {
    let first = damage.rects().iter().map(|rect| rect.y).min().unwrap_or(0);
    let end = damage.rects().iter().map(|rect| rect.y + rect.height).max().unwrap_or(0).min(layout.height);
    let stride = layout.stride as usize;
    let stop = (end as usize * stride).min(span(layout) as usize);
    (first as usize * stride).min(stop)..stop
}

/// Reads from a memfd that may shrink meanwhile: by a system call, since through a mapping that would be the end.
fn read(source: BufferRef, from: u64, target: &mut [u8]) -> Result<(), SourceError> {
    let fd = source.fd().ok_or(SourceError::PipeWire { what: "reading a buffer" })?;
    let mut done = 0;
    while let Some(rest) = target.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match pread(fd.as_fd(), rest, from + done as u64) {
            Ok(0) => return Err(system(Errno::NODATA)),
            Ok(read) => done += read,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(system(errno)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumen_ipc::{Rect, pool::PixelFormat};

    // Sabotage: count the padding of the last row, or forget to unite.
    #[test]
    fn rows_between_the_first_and_the_last_change_are_copied() {
        let layout = Layout { width: 8, height: 10, stride: 64, format: PixelFormat::Bgrx };
        let mut damage = Damage::default();
        assert_eq!(bytes_of(&damage, &layout), 0..0);
        damage.add(Rect { x: 3, y: 2, width: 1, height: 1 });
        damage.add(Rect { x: 0, y: 5, width: 1, height: 2 });
        assert_eq!(bytes_of(&damage, &layout), 128..448);
        assert_eq!(bytes_of(&Damage::full(8, 10), &layout), 0..9 * 64 + 32);
    }
}
