//! What buffers are made of: memfds, and real dmabufs without a GPU: from /dev/udmabuf (a memfd in GPU clothes) or from vgem (a DRM device without hardware).

#![allow(clippy::undocumented_unsafe_blocks, reason = "ioctls of a test")]

use pipewire::spa::sys as spa;
use rustix::{
    fs::{MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create, open},
    ioctl::{Opcode, Updater, ioctl, opcode},
};
use std::{
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
    path::PathBuf,
};

/// Where a producer's buffers come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Memory {
    /// Memfds.
    #[default]
    Memfd,
    /// Linear dmabufs of /dev/udmabuf.
    Udmabuf,
    /// Linear dmabufs of the DRM device vgem.
    Vgem,
}

impl Memory {
    /// SPA's number of it.
    pub fn kind(self) -> u32 {
        match self {
            Self::Memfd => spa::SPA_DATA_MemFd,
            Self::Udmabuf | Self::Vgem => spa::SPA_DATA_DmaBuf,
        }
    }

    /// A dmabuf of at least `bytes` bytes.
    pub fn dmabuf(self, stride: u32, rows: u32) -> std::io::Result<OwnedFd> {
        match self {
            Self::Memfd => Err(std::io::ErrorKind::Unsupported.into()),
            Self::Udmabuf => udmabuf(u64::from(stride) * u64::from(rows)),
            Self::Vgem => vgem(stride, rows),
        }
    }
}

/// A memfd of `bytes` bytes.
pub fn memfd(bytes: u32, sealed: bool) -> OwnedFd {
    let memfd = memfd_create("producer", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&memfd, bytes.into()).unwrap();
    if sealed {
        fcntl_add_seals(&memfd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL).unwrap();
    }
    memfd
}

/// Draws lumen-stamp's frame `number` into rows of `stride` bytes.
pub fn draw(number: u32, (width, height): (u32, u32), stride: usize, map: &mut [u8]) {
    let row = width as usize * 4;
    let mut pixels = vec![0; row * height as usize];
    lumen_stamp::render(number, width, height, &mut pixels).unwrap();
    for (to, from) in map.chunks_mut(stride).zip(pixels.chunks(row)) {
        to[..row].copy_from_slice(from);
    }
}

/// `struct udmabuf_create` of linux/udmabuf.h.
#[repr(C)]
struct Create {
    memfd: u32,
    flags: u32,
    offset: u64,
    size: u64,
}

fn udmabuf(bytes: u64) -> std::io::Result<OwnedFd> {
    let size = bytes.next_multiple_of(4096);
    let memfd = memfd_create("producer", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC)?;
    ftruncate(&memfd, size)?;
    fcntl_add_seals(&memfd, SealFlags::SHRINK)?;
    let device = open("/dev/udmabuf", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    // 1: UDMABUF_FLAGS_CLOEXEC.
    let create = Create { memfd: memfd.as_raw_fd() as u32, flags: 1, offset: 0, size };
    made(&device, create)
}

/// The ioctl's answer is the descriptor, which rustix's own patterns have no place for.
fn made(device: &OwnedFd, create: Create) -> std::io::Result<OwnedFd> {
    struct Made(Create);
    unsafe impl rustix::ioctl::Ioctl for Made {
        type Output = OwnedFd;
        const IS_MUTATING: bool = false;

        fn opcode(&self) -> Opcode {
            opcode::write::<Create>(b'u', 0x42)
        }

        fn as_ptr(&mut self) -> *mut std::ffi::c_void {
            (&raw mut self.0).cast()
        }

        unsafe fn output_from_ptr(
            out: rustix::ioctl::IoctlOutput,
            _: *mut std::ffi::c_void,
        ) -> rustix::io::Result<OwnedFd> {
            Ok(unsafe { OwnedFd::from_raw_fd(out) })
        }
    }
    Ok(unsafe { ioctl(device.as_fd(), Made(create)) }?)
}

/// `struct drm_mode_create_dumb`.
#[repr(C)]
#[derive(Default)]
struct Dumb {
    height: u32,
    width: u32,
    bits: u32,
    flags: u32,
    handle: u32,
    pitch: u32,
    size: u64,
}

/// `struct drm_prime_handle`.
#[repr(C)]
struct Prime {
    handle: u32,
    flags: u32,
    fd: i32,
}

fn vgem(stride: u32, rows: u32) -> std::io::Result<OwnedFd> {
    const DUMB: Opcode = opcode::read_write::<Dumb>(b'd', 0xB2);
    const PRIME: Opcode = opcode::read_write::<Prime>(b'd', 0x2D);
    let device = open(&vgem_card()?, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let mut dumb = Dumb { height: rows, width: stride / 4, bits: 32, ..Dumb::default() };
    unsafe { ioctl(&device, Updater::<DUMB, Dumb>::new(&mut dumb)) }?;
    if dumb.pitch != stride {
        return Err(std::io::Error::other(format!("vgem gives rows of {} bytes, not {stride}", dumb.pitch)));
    }
    // O_CLOEXEC | O_RDWR.
    let mut prime = Prime { handle: dumb.handle, flags: 0o2_000_002, fd: -1 };
    unsafe { ioctl(&device, Updater::<PRIME, Prime>::new(&mut prime)) }?;
    Ok(unsafe { OwnedFd::from_raw_fd(prime.fd) })
}

fn vgem_card() -> std::io::Result<PathBuf> {
    for entry in std::fs::read_dir("/sys/class/drm")?.flatten() {
        let link = std::fs::read_link(entry.path()).unwrap_or_default();
        let name = entry.file_name();
        if link.to_string_lossy().contains("/vgem/") && name.to_string_lossy().starts_with("card") {
            return Ok(PathBuf::from("/dev/dri").join(name));
        }
    }
    Err(std::io::Error::other("there is no vgem: modprobe vgem"))
}
