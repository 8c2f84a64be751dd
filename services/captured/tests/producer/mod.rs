//! A PipeWire daemon of our own with its session manager, and a producer in it that does what it is told: a node with
//! memfds of its own, header, damage and cursor metadata, as compositors have.
#![allow(dead_code, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "it is part of tests")]

mod daemon;
mod memory;
mod node;
mod pods;
mod timeline;

#[allow(unused_imports, reason = "each test uses a part")]
pub use daemon::{Daemon, until};
pub use memory::Memory;
#[allow(unused_imports, reason = "each test uses a part")]
pub use node::Producer;
#[allow(unused_imports, reason = "each test uses a part")]
pub use timeline::{Releases, UNDRAWN};

use lumen_captured::{
    backends::Source,
    display::{Display, open},
};
use lumen_ipc::{
    Failure, FailureClass, Rect, SessionId,
    bus::{self, OutputSpec},
};
use lumen_stage::pulse::Pulse;
use std::{
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
};

/// The session that tests open.
const SESSION: SessionId = SessionId([5; 16]);

/// What a producer is like.
#[derive(Debug, Clone)]
pub struct Manner {
    /// SPA's number of its only pixel format.
    pub format: u32,
    /// Its own size; `None`: what the reader fixes.
    pub size: Option<(u32, u32)>,
    /// Fewest and most buffers that it gives.
    pub buffers: (i32, i32),
    /// Whether its memfds are sealed against shrinking.
    pub sealed: bool,
    /// Bytes by which each buffer is too small.
    pub lacking: u32,
    /// Bytes by which each row is longer than its pixels.
    pub padding: u32,
    /// Where its buffers come from.
    pub memory: Memory,
    /// Offers dmabufs under these modifiers before memfds: real ones of `memory`, or memfds that it calls dmabufs. With
    /// none, and a `memory` that is no memfd, it has linear dmabufs and nothing else.
    pub modifiers: Vec<u64>,
    /// Its buffers have timelines for whoever takes such.
    pub timelines: bool,
}

impl Default for Manner {
    fn default() -> Self {
        let format = pipewire::spa::sys::SPA_VIDEO_FORMAT_BGRx;
        Self {
            format,
            size: None,
            buffers: (2, 16),
            sealed: true,
            lacking: 0,
            padding: 0,
            memory: Memory::Memfd,
            modifiers: Vec::new(),
            timelines: false,
        }
    }
}

/// What a chunk says of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Chunk {
    /// Its size.
    #[default]
    Whole,
    /// A size of 0, which means as much as the format needs.
    Unsaid,
    /// A size of 0, and corrupted: only the metadata are new.
    None,
    /// Its size, and corrupted.
    Corrupted,
    /// Half its size.
    Half,
}

/// A cursor's metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pointing {
    pub x: i32,
    pub y: i32,
    /// Side and byte of a new bitmap of equal bytes.
    pub bitmap: Option<(u32, u8)>,
}

/// One picture to be given: all bytes equal to `byte`, or lumen-stamp's frame of a number.
#[derive(Debug, Clone, Default)]
pub struct Picture {
    pub byte: u8,
    pub stamp: Option<u32>,
    /// It is drawn when [`Producer::draw`] says so; where its buffer has timelines.
    pub later: bool,
    pub damage: Vec<Rect>,
    pub pointing: Option<Pointing>,
    pub chunk: Chunk,
}

/// Gives the newest node of a daemon.
pub struct Node {
    socket: PathBuf,
    pub node: AtomicU32,
    /// Whether it takes another rate only with another size.
    pub detour: AtomicBool,
    pub acquired: AtomicU32,
    pub released: AtomicU32,
}

impl Node {
    pub fn new(daemon: &Daemon, node: u32) -> Arc<Self> {
        Self::at(daemon.socket(), node)
    }

    /// Of a daemon that listens there.
    pub fn at(socket: PathBuf, node: u32) -> Arc<Self> {
        let [node, acquired, released] = [node, 0, 0].map(AtomicU32::new);
        Arc::new(Self { socket, node, detour: AtomicBool::new(false), acquired, released })
    }
}

impl Display for Node {
    fn acquire(&self, _: SessionId, spec: &OutputSpec, _: &Pulse) -> Result<Box<dyn Source>, Failure> {
        self.acquired.fetch_add(1, Relaxed);
        let gone = |_| Failure::new(FailureClass::Temporary, "no PipeWire", "start it");
        let fd = UnixStream::connect(&self.socket).map_err(gone)?;
        let source = bus::Source {
            kind: "pipewire".into(),
            fd: Some(OwnedFd::from(fd).into()),
            node: Some(self.node.load(Relaxed)),
            serial: None,
            detour: Some(self.detour.load(Relaxed)),
            output: None,
            users: None,
            width: spec.width,
            height: spec.height,
            refresh_mhz: spec.refresh_mhz,
        };
        let ladder = lumen_stage::Ladder::take(&mut Vec::new(), lumen_stage::ladder::QUIET);
        open(source, spec, &ladder.unwrap())
    }

    fn release(&self, _: SessionId, _: &Pulse) {
        self.released.fetch_add(1, Relaxed);
    }
}
