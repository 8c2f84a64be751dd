//! DRM's timelines, and the few calls of a device that has them.
//!
//! A timeline is a number that only rises. Whoever has its descriptor may wait until it has reached a point, or raise it
//! to one. Timelines are the kernel's and not a driver's, so any device takes the descriptors of any other.
//!
//! The structures are those of linux/drm.h (`struct drm_syncobj_…`, unchanged since Linux 5.2; the eventfd since 6.6).
#![allow(unsafe_code, reason = "ioctls of structures")]

use super::gate::Points;
use rustix::{
    fs::{Mode, OFlags, open},
    io::Errno,
    ioctl::{Opcode, Updater, ioctl, opcode},
};
use std::{
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
    rc::Rc,
};

/// Where devices without a screen of their own lie.
const NODES: &str = "/dev/dri";
/// `DRM_CAP_SYNCOBJ_TIMELINE`.
const HAS_TIMELINES: u64 = 0x14;
/// `DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT`: a point that nobody promised yet is not reached, instead of an error.
const WAIT_FOR_SUBMIT: u32 = 2;

/// `struct drm_get_cap`.
#[repr(C)]
struct Capability {
    capability: u64,
    value: u64,
}

/// `struct drm_syncobj_handle`, as long as it was before Linux 6.17.
#[repr(C)]
struct Handle {
    handle: u32,
    flags: u32,
    fd: i32,
    pad: u32,
}

/// `struct drm_syncobj_destroy`.
#[repr(C)]
struct Destroy {
    handle: u32,
    pad: u32,
}

/// `struct drm_syncobj_timeline_wait`, as long as it was before Linux 6.6.
#[repr(C)]
struct Wait {
    handles: u64,
    points: u64,
    /// CLOCK_MONOTONIC; a time that has passed means not to wait.
    until_ns: i64,
    count: u32,
    flags: u32,
    first: u32,
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

/// `struct drm_syncobj_eventfd`.
#[repr(C)]
struct Eventfd {
    handle: u32,
    flags: u32,
    point: u64,
    fd: i32,
    pad: u32,
}

const GET_CAP: Opcode = opcode::read_write::<Capability>(b'd', 0x0C);
const DESTROY: Opcode = opcode::read_write::<Destroy>(b'd', 0xC0);
const FD_TO_HANDLE: Opcode = opcode::read_write::<Handle>(b'd', 0xC2);
const TIMELINE_WAIT: Opcode = opcode::read_write::<Wait>(b'd', 0xCA);
const TIMELINE_SIGNAL: Opcode = opcode::read_write::<Array>(b'd', 0xCD);
const EVENTFD: Opcode = opcode::read_write::<Eventfd>(b'd', 0xCF);

/// A device that has timelines.
#[derive(Debug)]
pub(super) struct Device(OwnedFd);

impl Device {
    /// The first render node whose driver has timelines and lets us; `None` where there is none.
    pub fn find() -> Option<Rc<Self>> {
        let nodes = std::fs::read_dir(NODES).ok()?.flatten().map(|entry| entry.path());
        let is_render = |path: &Path| {
            path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"renderD"))
        };
        let mut nodes: Vec<_> = nodes.filter(|path| is_render(path)).collect();
        nodes.sort();
        nodes.iter().find_map(|path| {
            let device = Self(open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).ok()?);
            let mut asked = Capability { capability: HAS_TIMELINES, value: 0 };
            device.call::<GET_CAP, _>(&mut asked).ok()?;
            (asked.value != 0).then(|| Rc::new(device))
        })
    }

    /// Takes another program's timeline in; the descriptor stays the caller's.
    ///
    /// # Errors
    /// The kernel's: it is none.
    pub fn import(self: &Rc<Self>, fd: BorrowedFd<'_>) -> Result<Timeline, Errno> {
        let mut taken = Handle { handle: 0, flags: 0, fd: fd.as_raw_fd(), pad: 0 };
        self.call::<FD_TO_HANDLE, _>(&mut taken)?;
        Ok(Timeline { device: self.clone(), handle: taken.handle })
    }

    fn call<const OPCODE: Opcode, T>(&self, argument: &mut T) -> Result<(), Errno> {
        loop {
            // SAFETY: each OPCODE of this file is made of the size of the structure that it is called with, so the kernel
            // reads and writes that much of it and no more; addresses in it are those of values that live for the call.
            match unsafe { ioctl(&self.0, Updater::<OPCODE, T>::new(argument)) } {
                Err(Errno::INTR | Errno::AGAIN) => {}
                done => return done,
            }
        }
    }
}

fn address<T>(value: &T) -> u64 {
    (&raw const *value).expose_provenance() as u64
}

/// A timeline of another program's. Dropping it signals nothing.
#[derive(Debug)]
pub(super) struct Timeline {
    device: Rc<Device>,
    handle: u32,
}

impl Points for Timeline {
    fn has_reached(&self, point: u64) -> Result<bool, Errno> {
        let (handles, points) = (address(&self.handle), address(&point));
        let flags = WAIT_FOR_SUBMIT;
        let mut wait = Wait { handles, points, until_ns: 0, count: 1, flags, first: 0, pad: 0 };
        match self.device.call::<TIMELINE_WAIT, _>(&mut wait) {
            Ok(()) => Ok(true),
            Err(Errno::TIME) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn ring(&self, point: u64, bell: BorrowedFd<'_>) -> Result<(), Errno> {
        let mut asked = Eventfd { handle: self.handle, flags: 0, point, fd: bell.as_raw_fd(), pad: 0 };
        self.device.call::<EVENTFD, _>(&mut asked)
    }

    fn signal(&self, point: u64) -> Result<(), Errno> {
        let (handles, points) = (address(&self.handle), address(&point));
        let mut raised = Array { handles, points, count: 1, flags: 0 };
        self.device.call::<TIMELINE_SIGNAL, _>(&mut raised)
    }
}

impl Drop for Timeline {
    fn drop(&mut self) {
        // It fails only when the device is gone, and the handle with it.
        let _ = self.device.call::<DESTROY, _>(&mut Destroy { handle: self.handle, pad: 0 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of linux/drm.h, as `DRM_IOWR` makes them.
    ///
    /// Sabotage: leave out a field of a structure, or mistake a number.
    #[test]
    fn calls_have_the_kernels_numbers() {
        assert_eq!(GET_CAP, 0xC010_640C);
        assert_eq!(DESTROY, 0xC008_64C0);
        assert_eq!(FD_TO_HANDLE, 0xC010_64C2);
        assert_eq!(TIMELINE_WAIT, 0xC028_64CA);
        assert_eq!(TIMELINE_SIGNAL, 0xC018_64CD);
        assert_eq!(EVENTFD, 0xC018_64CF);
    }
}
