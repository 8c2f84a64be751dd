//! The link between captured (writes) and encoded (reads).
//!
//! ```text
//!  captured                        encoded
//!     │ ── Ready{mode} ─────────────► │
//!     │ ── Pool{…} + buffers ───────► │   again whenever size or format change
//!     │ ── Frame{pool, buffer, …} ──► │   at most MAX_FRAMES_OUT not yet returned
//!     │ ◄───────────── Return{…} ─────│
//! ```

use serde::{Deserialize, Serialize};

use crate::{
    Damage, Delivery, FdRule, LinkMessage, Mode, Timeline,
    failure::Failure,
    pointer::{Pointer, PointerBitmap},
    pool::{BufferId, PoolDescription},
};

/// Frames that may be out on one link: one being read and one waiting.
pub const MAX_FRAMES_OUT: usize = 2;

/// From captured to encoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FromCapture {
    /// The Output is there; Frames will follow. Sent again when the Output's mode changes.
    Ready {
        /// What the Output shows.
        mode: Mode,
    },
    /// It cannot be captured; the link stays for a later `Ready`.
    Failed(Failure),
    /// New buffers; Frames of earlier pools stay valid until returned.
    Pool(PoolDescription),
    /// A picture to read; captured does not touch the buffer until it is returned.
    Frame(Frame),
    /// What a pointer looks like that later messages of this link name.
    Bitmap(PointerBitmap),
    /// Only the pointer moved; the picture is that of the Frame before. One is out until it is taken.
    Pointer {
        /// As in [`Frame::pointer`].
        pointer: Option<Pointer>,
        /// `dequeued_ns` is set.
        timeline: Timeline,
    },
    /// captured ends in an orderly way: wait for its next owner before opening again.
    Closing,
}

/// A captured picture *handle*.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// Counts the pictures that captured took for this session, including skipped ones.
    pub number: u64,
    /// Where the picture lies.
    pub buffer: BufferId,
    /// What changed since the Frame sent before on this link; the first has all.
    pub damage: Damage,
    /// Pictures that were taken and superseded since the Frame before.
    pub skipped: u32,
    /// The pointer to be drawn on it; `None` where it is hidden, elsewhere, or in the picture already.
    pub pointer: Option<Pointer>,
    /// `dequeued_ns` is set.
    pub timeline: Timeline,
}

/// From encoded to captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToCapture {
    /// The lease of a Frame ends.
    Return {
        /// [`BufferId::pool`].
        pool: u32,
        /// [`BufferId::buffer`].
        buffer: u32,
    },
    /// The session is over: release all that was made for it, without waiting for the lease.
    Close,
    /// The [`FromCapture::Pointer`] that was out is read: the next one may come.
    PointerTaken,
    /// The memory of this pool cannot be read here: captured is to give pictures in memfds from now on.
    Unreadable {
        /// [`PoolDescription::number`].
        pool: u32,
    },
}

impl LinkMessage for FromCapture {
    fn delivery(&self) -> Delivery {
        match self {
            Self::Ready { .. } | Self::Failed(_) | Self::Pool(_) | Self::Bitmap(_) | Self::Closing => {
                Delivery::State
            }
            Self::Frame(_) | Self::Pointer { .. } => Delivery::Sample,
        }
    }

    fn fds(&self) -> FdRule {
        match self {
            Self::Pool(pool) => pool.fds(),
            Self::Bitmap(bitmap) => bitmap.fds(),
            _ => FdRule::NONE,
        }
    }
}

impl LinkMessage for ToCapture {
    fn delivery(&self) -> Delivery {
        Delivery::State
    }
}
