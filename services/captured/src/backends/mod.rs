//! Where pictures come from: one trait, one file or folder per backend.
//!
//! A source owns a file descriptor to poll. It either says which layout it needs, is given a pool of such buffers
//! and then, one by one, buffers to fill; or it announces buffers of its own, all of which it has at first. What it
//! fills is the brain's to keep (`newest.rs`) until that gives it to fill again. It never waits and never sleeps.

mod error;
pub mod pattern;
pub mod pipewire;
pub mod wlroots;

pub use error::SourceError;

use crate::newest::Picture;
use arrayvec::ArrayVec;
use lumen_ipc::{
    Mode,
    pool::{BufferPlace, Layout, MAX_BUFFERS, Memory},
};
use std::os::fd::{BorrowedFd, OwnedFd};

/// Copies refused in a row before a source gives up. Because one or two are refused at each change of mode.
const MOST_REFUSED: u32 = 16;

/// What a source has to say.
#[derive(Debug)]
pub enum Event {
    /// Its Output shows this mode now. A `refresh_mhz` of 0 means that the compositor does not know.
    Mode(Mode),
    /// It needs buffers of this layout: all it was given before are void, those being filled too.
    Layout(Layout),
    /// From now on it fills buffers of its own, which it has all: those of before are void.
    Pool(Foreign),
    /// The pointer looks like this from now on.
    Bitmap(Bitmap),
    /// Only the pointer moved.
    Pointer {
        /// Where it is; `None`: nowhere to be drawn.
        spot: Option<Spot>,
        /// When this stage had it, CLOCK_MONOTONIC ns.
        dequeued_ns: u64,
    },
    /// `buffer` holds a new picture.
    Filled {
        /// The buffer, one that it was given.
        buffer: u32,
        /// The picture.
        picture: Picture,
        /// Its rows lie from the bottom up and must be turned before anybody reads it.
        upside_down: bool,
    },
    /// `buffer` comes back empty; the source will take another.
    Missed {
        /// The buffer, one that it was given.
        buffer: u32,
    },
}

/// Buffers that another program made.
#[derive(Debug)]
pub struct Foreign {
    /// Layout of every buffer.
    pub layout: Layout,
    /// What they are.
    pub memory: Memory,
    /// Where the pictures lie.
    pub places: ArrayVec<BufferPlace, MAX_BUFFERS>,
    /// One descriptor per buffer, in the order of their numbers.
    pub fds: ArrayVec<OwnedFd, MAX_BUFFERS>,
}

/// Where the pointer's hotspot is, in pixels from the picture's upper left corner; may lie outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    /// To the right.
    pub x: i32,
    /// Downwards.
    pub y: i32,
}

/// What the pointer looks like.
#[derive(Debug)]
pub struct Bitmap {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Of the point that points, from the bitmap's upper left corner.
    pub hotspot: Spot,
    /// A sealed memfd as [`lumen_ipc::pointer::PointerBitmap`] says.
    pub pixels: OwnedFd,
}

/// What a source of its own accord counts, for Status; each silent drop has one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Times the stream began to run.
    pub starts: u64,
    /// Formats that the other side set.
    pub formats: u64,
    /// Streams made anew because their buffers had no memory.
    pub renewed: u64,
    /// Modifiers under which dmabufs were given up.
    pub modifiers_dropped: u64,
    /// Buffers without a picture: only the pointer's data were new.
    pub pointer_only: u64,
    /// Pictures that their producer called corrupted.
    pub corrupted: u64,
    /// Pictures shorter than their format says.
    pub short: u64,
    /// Times the producer was asked for its first picture once more.
    pub asked_again: u64,
    /// Pictures copied into a pool of our own.
    pub copied: u64,
    /// Bytes of them.
    pub copied_bytes: u64,
    /// Pictures replaced before they could be copied.
    pub uncopied: u64,
    /// Pointer bitmaps that were too large or of an unknown format.
    pub bitmaps_unreadable: u64,
    /// Explicit sync: pictures that were not drawn yet when they came.
    pub sync_waited: u64,
    /// Of them, those that were left out because a later one was drawn first.
    pub sync_overtaken: u64,
    /// Of them, those that were not drawn within a second.
    pub sync_late: u64,
    /// Release points that were signalled.
    pub sync_released: u64,
    /// Of buffers that PipeWire lost on their way, release points that were signalled.
    pub sync_lost: u64,
    /// Release points that the kernel would not signal.
    pub sync_failed: u64,
    /// Times explicit sync was given up.
    pub sync_refused: u64,
    /// From the time at which the producer says it was shown to the time at which it was dequeued, µs, of the newest picture.
    pub age_us: u64,
}

impl Counts {
    /// All of them with their names.
    pub fn named(&self) -> [(&'static str, u64); 20] {
        [
            ("starts", self.starts),
            ("formats", self.formats),
            ("renewed", self.renewed),
            ("modifiers_dropped", self.modifiers_dropped),
            ("pointer_only", self.pointer_only),
            ("corrupted", self.corrupted),
            ("short", self.short),
            ("asked_again", self.asked_again),
            ("copied", self.copied),
            ("copied_bytes", self.copied_bytes),
            ("uncopied", self.uncopied),
            ("bitmaps_unreadable", self.bitmaps_unreadable),
            ("sync_waited", self.sync_waited),
            ("sync_overtaken", self.sync_overtaken),
            ("sync_late", self.sync_late),
            ("sync_released", self.sync_released),
            ("sync_lost", self.sync_lost),
            ("sync_failed", self.sync_failed),
            ("sync_refused", self.sync_refused),
            ("age_us", self.age_us),
        ]
    }
}

/// Something that gives pictures. It lives and dies on its session's thread.
pub trait Source {
    /// Name of the way in which it takes pictures, for Status.
    fn name(&self) -> &'static str;

    /// Why it takes them in this way, for Status.
    fn why(&self) -> &'static str;

    /// The file descriptor to poll for reading; [`Source::dispatch`] when it is ready, and once at the start.
    fn descriptor(&self) -> BorrowedFd<'_>;

    /// The next event, reading whatever arrived; `None` when there is nothing more for now. Does not block.
    ///
    /// # Errors
    /// The source is at its end.
    fn dispatch(&mut self) -> Result<Option<Event>, SourceError>;

    /// Takes the memfds of a pool of the layout last asked for, in the order of their numbers.
    ///
    /// # Errors
    /// The source is at its end.
    fn use_pool(&mut self, layout: Layout, buffers: &[BorrowedFd<'_>]) -> Result<(), SourceError>;

    /// Whether it can take one more buffer to fill now.
    fn wants_buffer(&self) -> bool;

    /// Gives it a buffer to fill. Only when it [wants](Source::wants_buffer) one.
    ///
    /// # Errors
    /// The source is at its end.
    fn fill(&mut self, buffer: u32) -> Result<(), SourceError>;

    /// Whether [`Source::dispatch`] has an event although the descriptor is not ready.
    fn is_pending(&self) -> bool {
        false
    }

    /// Whether somebody looks at its pictures; at first somebody does. While nobody does it may rest.
    ///
    /// # Errors
    /// The source is at its end.
    fn watch(&mut self, _watched: bool) -> Result<(), SourceError> {
        Ok(())
    }

    /// The reader cannot read the memory of its buffers: it is to use memfds.
    ///
    /// # Errors
    /// The source is at its end.
    fn refuse_memory(&mut self) -> Result<(), SourceError> {
        Ok(())
    }

    /// What it counted so far.
    fn counts(&self) -> Counts {
        Counts::default()
    }
}
