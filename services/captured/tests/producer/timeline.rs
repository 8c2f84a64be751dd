//! Explicit sync as a compositor does it: each buffer has two timelines of a DRM device, one for when it is drawn and one for
//! when nobody looks at it any more. The points are Mutter's: the next one for *drawn*, the one after it for *released*.
//!
//! A fake in one respect: no GPU draws. Until a picture is finished its acquire point is not even promised.

#![allow(clippy::undocumented_unsafe_blocks, reason = "ioctls of a test")]

use super::Picture;
use pipewire::{spa::sys as spa, stream::StreamRc, sys as pw};
use rustix::{
    fs::{Mode, OFlags, open},
    ioctl::{Opcode, Updater, ioctl, opcode},
};
use std::{
    os::fd::{FromRawFd, IntoRawFd, OwnedFd},
    rc::Rc,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

/// `SPA_DATA_SyncObj` and `SPA_META_SyncTimeline` of PipeWire 1.2.
pub const SYNCOBJ: u32 = 5;
pub const SYNC_TIMELINE: u32 = 9;
/// What a buffer shows until its picture is drawn.
pub const UNDRAWN: u8 = 0xEE;

/// `struct drm_syncobj_create` and `struct drm_syncobj_destroy`.
#[repr(C)]
struct Pair(u32, u32);

/// `struct drm_syncobj_handle`.
#[repr(C)]
struct Handle {
    handle: u32,
    flags: u32,
    fd: i32,
    pad: u32,
}

/// `struct drm_syncobj_timeline_array`.
#[repr(C)]
struct Array {
    handles: u64,
    points: u64,
    count: u32,
    flags: u32,
}

const CREATE: Opcode = opcode::read_write::<Pair>(b'd', 0xBF);
const DESTROY: Opcode = opcode::read_write::<Pair>(b'd', 0xC0);
const TO_FD: Opcode = opcode::read_write::<Handle>(b'd', 0xC1);
const QUERY: Opcode = opcode::read_write::<Array>(b'd', 0xCB);
const SIGNAL: Opcode = opcode::read_write::<Array>(b'd', 0xCD);

struct Syncobj {
    device: Rc<OwnedFd>,
    handle: u32,
}

impl Syncobj {
    fn new(device: &Rc<OwnedFd>) -> std::io::Result<Self> {
        let mut created = Pair(0, 0);
        unsafe { ioctl(&**device, Updater::<CREATE, _>::new(&mut created)) }?;
        Ok(Self { device: device.clone(), handle: created.0 })
    }

    fn to_fd(&self) -> OwnedFd {
        let mut asked = Handle { handle: self.handle, flags: 0, fd: -1, pad: 0 };
        unsafe { ioctl(&*self.device, Updater::<TO_FD, _>::new(&mut asked)) }.unwrap();
        unsafe { OwnedFd::from_raw_fd(asked.fd) }
    }

    fn array<const OPCODE: Opcode>(&self, point: &mut u64) {
        let (handles, points) = ((&raw const self.handle) as u64, (&raw mut *point) as u64);
        let mut array = Array { handles, points, count: 1, flags: 0 };
        unsafe { ioctl(&*self.device, Updater::<OPCODE, _>::new(&mut array)) }.unwrap();
    }

    /// The point that it has reached.
    fn point(&self) -> u64 {
        let mut point = 0;
        self.array::<QUERY>(&mut point);
        point
    }

    fn signal(&self, mut point: u64) {
        self.array::<SIGNAL>(&mut point);
    }
}

impl Drop for Syncobj {
    fn drop(&mut self) {
        let _ = unsafe { ioctl(&*self.device, Updater::<DESTROY, _>::new(&mut Pair(self.handle, 0))) };
    }
}

/// A device with timelines: the first that lets one be made.
fn device() -> Rc<OwnedFd> {
    let nodes = std::fs::read_dir("/dev/dri").expect("there is a DRM device").flatten();
    let paths = nodes.map(|entry| entry.path()).filter(|path| path.to_string_lossy().contains("renderD"));
    let opened = paths.filter_map(|path| open(&path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).ok());
    opened.map(Rc::new).find(|device| Syncobj::new(device).is_ok()).expect("a device has timelines")
}

struct Line {
    buffer: *mut pw::pw_buffer,
    acquire: Syncobj,
    release: Syncobj,
    /// Of its release; 0 before the first picture.
    point: u64,
}

/// The timelines of all buffers.
#[derive(Default)]
pub struct Timelines {
    device: Option<Rc<OwnedFd>>,
    lines: Vec<Line>,
    /// Given and not yet drawn, the oldest first.
    pub undrawn: Vec<(*mut pw::pw_buffer, Picture)>,
    /// Came back before they were released, and are not drawn in until they are, as Mutter does.
    aside: Vec<*mut pw::pw_buffer>,
}

/// How the buffers are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Releases {
    /// Buffers with timelines.
    pub buffers: usize,
    /// Of them, those that were given and whose release point is reached exactly.
    pub released: usize,
    /// Of them, those that were given and whose release point is not reached.
    pub due: usize,
    /// Of them, those whose timeline is farther than it may be.
    pub beyond: usize,
}

impl Timelines {
    /// Makes the timelines of a buffer, if they were agreed on.
    pub unsafe fn make(&mut self, buffer: *mut pw::pw_buffer) {
        unsafe {
            let spa = &*(*buffer).buffer;
            let datas = std::slice::from_raw_parts_mut(spa.datas, spa.n_datas as usize);
            let [_, acquire_data, release_data] = datas else { return };
            let device = self.device.get_or_insert_with(device);
            let [acquire, release] = [(); 2].map(|()| Syncobj::new(device).unwrap());
            for (data, syncobj) in [(acquire_data, &acquire), (release_data, &release)] {
                data.type_ = SYNCOBJ;
                data.flags = spa::SPA_DATA_FLAG_READWRITE;
                data.fd = syncobj.to_fd().into_raw_fd().into();
            }
            self.lines.push(Line { buffer, acquire, release, point: 0 });
        }
    }

    /// Forgets a buffer.
    pub unsafe fn unmake(&mut self, buffer: *mut pw::pw_buffer) {
        self.undrawn.retain(|(undrawn, _)| *undrawn != buffer);
        self.aside.retain(|aside| *aside != buffer);
        if let Some(at) = self.lines.iter().position(|line| line.buffer == buffer) {
            self.lines.swap_remove(at);
            let spa = unsafe { &*(*buffer).buffer };
            let datas = unsafe { std::slice::from_raw_parts(spa.datas, spa.n_datas as usize) };
            datas[1..].iter().for_each(|data| unsafe { rustix::io::close(data.fd as i32) });
        }
    }

    /// A buffer to draw in, null if there is none; adds those to `unreleased` that came back before they were released.
    pub fn dequeue(&mut self, stream: &StreamRc, unreleased: &AtomicU32) -> *mut pw::pw_buffer {
        if let Some(place) = self.aside.iter().position(|aside| self.is_released(*aside)) {
            return self.aside.swap_remove(place);
        }
        loop {
            let buffer = unsafe { stream.dequeue_raw_buffer() };
            if buffer.is_null() || self.is_released(buffer) {
                return buffer;
            }
            unreleased.fetch_add(1, Relaxed);
            self.aside.push(buffer);
        }
    }

    /// Whether a buffer's release point is reached; of one without timelines it is.
    fn is_released(&self, buffer: *mut pw::pw_buffer) -> bool {
        let line = self.lines.iter().find(|line| line.buffer == buffer);
        line.is_none_or(|line| line.release.point() >= line.point)
    }

    /// Whether a buffer has timelines.
    pub fn has(&self, buffer: *mut pw::pw_buffer) -> bool {
        self.lines.iter().any(|line| line.buffer == buffer)
    }

    /// The next points of a buffer: drawn, released.
    pub fn next(&mut self, buffer: *mut pw::pw_buffer) -> Option<[u64; 2]> {
        let line = self.lines.iter_mut().find(|line| line.buffer == buffer)?;
        line.point += 2;
        Some([line.point - 1, line.point])
    }

    /// Its picture is drawn.
    pub fn drawn(&self, buffer: *mut pw::pw_buffer) {
        let line = self.lines.iter().find(|line| line.buffer == buffer);
        line.into_iter().for_each(|line| line.acquire.signal(line.point - 1));
    }

    pub fn releases(&self) -> Releases {
        let mut releases = Releases { buffers: self.lines.len(), ..Releases::default() };
        for line in self.lines.iter().filter(|line| line.point > 0) {
            match line.release.point().cmp(&line.point) {
                std::cmp::Ordering::Less => releases.due += 1,
                std::cmp::Ordering::Equal => releases.released += 1,
                std::cmp::Ordering::Greater => releases.beyond += 1,
            }
        }
        releases
    }
}
