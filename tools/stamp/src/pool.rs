//! Two buffers in one memfd, drawn in turn.

use std::os::fd::AsFd;

use anyhow::Context;
use lumen_stamp::{Layout, Region, render_in, render_moving_in};
use wayland_client::{
    Dispatch, QueueHandle,
    protocol::{wl_buffer::WlBuffer, wl_shm, wl_shm_pool::WlShmPool},
};

#[derive(Debug)]
struct Buffer {
    handle: WlBuffer,
    busy: bool,
    /// It already holds the still parts.
    drawn: bool,
}

/// Buffers for frames of one size. The memfd is shared with the compositor and written with `pwrite`, so that no
/// memory is mapped here.
#[derive(Debug)]
pub struct Pool {
    layout: Layout,
    file: std::fs::File,
    pixels: Vec<u8>,
    buffers: [Buffer; 2],
}

/// What a freshly drawn buffer is to be shown with.
#[derive(Debug)]
pub struct Drawn<'a> {
    /// The buffer to attach.
    pub buffer: &'a WlBuffer,
    /// What differs from the frame shown before; the whole frame at first.
    pub damage: Vec<Region>,
}

impl Pool {
    /// Makes the pool known to the compositor.
    pub fn new<S>(shm: &wl_shm::WlShm, queue: &QueueHandle<S>, layout: Layout) -> anyhow::Result<Self>
    where
        S: Dispatch<WlShmPool, ()> + Dispatch<WlBuffer, ()> + 'static,
    {
        let size = layout.bytes();
        let memory = memfd::MemfdOptions::default().close_on_exec(true).create("lumen-stamp")?;
        memory.as_file().set_len(2 * size as u64).context("cannot make room for two frames")?;
        let file = memory.into_file();
        let bytes = i32::try_from(2 * size).context("the output is too large for a wl_shm pool")?;
        let pool = shm.create_pool(file.as_fd(), bytes, queue, ());
        let (width, height) = (layout.width as i32, layout.height as i32);
        let buffer = |slot: usize| {
            let offset = (slot * size) as i32;
            let format = wl_shm::Format::Xrgb8888;
            let handle = pool.create_buffer(offset, width, height, width * 4, format, queue, ());
            Buffer { handle, busy: false, drawn: false }
        };
        let buffers = [buffer(0), buffer(1)];
        pool.destroy();
        Ok(Self { pixels: vec![0; size], layout, file, buffers })
    }

    /// Whether it is for frames of this size.
    pub fn fits(&self, width: u32, height: u32) -> bool {
        (self.layout.width, self.layout.height) == (width, height)
    }

    /// The compositor reads the buffer no longer.
    pub fn released(&mut self, handle: &WlBuffer) {
        for buffer in self.buffers.iter_mut().filter(|b| b.handle == *handle) {
            buffer.busy = false;
        }
    }

    /// Draws frame `number` into a free buffer; `None` while the compositor reads both.
    pub fn draw(&mut self, number: u32) -> anyhow::Result<Option<Drawn<'_>>> {
        let Some(slot) = self.buffers.iter().position(|b| !b.busy) else {
            return Ok(None);
        };
        let first = self.buffers.iter().all(|b| !b.drawn);
        let (width, height) = (self.layout.width, self.layout.height);
        if first {
            render_in(&self.layout, number, &mut self.pixels)?;
        } else {
            render_moving_in(&self.layout, number, &mut self.pixels)?;
        }
        let Some(buffer) = self.buffers.get_mut(slot) else {
            return Ok(None);
        };
        let whole = Region { x: 0, y: 0, width, height };
        let rows = if buffer.drawn { bounds(&self.layout.moving()) } else { 0..height };
        let row_bytes = width as usize * 4;
        let span = rows.start as usize * row_bytes..rows.end as usize * row_bytes;
        let offset = (slot * self.layout.bytes() + span.start) as u64;
        let changed = self.pixels.get(span).unwrap_or_default();
        std::os::unix::fs::FileExt::write_all_at(&self.file, changed, offset)?;
        buffer.busy = true;
        buffer.drawn = true;
        let damage = if first { vec![whole] } else { self.layout.moving().to_vec() };
        Ok(Some(Drawn { buffer: &buffer.handle, damage }))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for buffer in &self.buffers {
            buffer.handle.destroy();
        }
    }
}

/// The rows from the first to the last of some regions.
fn bounds(regions: &[Region]) -> std::ops::Range<u32> {
    let start = regions.iter().map(|r| r.y).min().unwrap_or(0);
    let end = regions.iter().map(|r| r.y + r.height).max().unwrap_or(0);
    start..end
}
