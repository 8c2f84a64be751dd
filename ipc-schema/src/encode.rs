//! The link between encoded (writes) and transportd (reads).
//!
//! AccessUnits lie in a ring: one sealed memfd that transportd maps for reading. Kind and length come from the
//! message, never from ring bytes. encoded starts no picture while one is unsent, so nothing is ever dropped here.
//!
//! ```text
//!  encoded                               transportd
//!     │ ── Ready{…} + ring memfd ────────► │
//!     │ ── AccessUnit{offset, len, …} ───► │
//!     │ ◄──────────────── Sent{number} ────│   frees the bytes, allows the next picture
//!     │ ◄──────────────── Control{…} ──────│   State: sent whole on every new link
//! ```

use serde::{Deserialize, Serialize};

use crate::{
    Delivery, FdRule, LinkMessage, Mode, Timeline,
    failure::Failure,
    message::FdKind,
    pointer::{Pointer, PointerBitmap},
};

/// Largest ring in bytes.
pub const MAX_RING_BYTES: u64 = 64 << 20;

/// How the bytes are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Codec {
    /// H.264, Annex B byte stream.
    H264,
}

/// What an AccessUnit is to a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnitKind {
    /// Starts anew: needs nothing before it.
    Idr,
    /// Needs the AccessUnit before it.
    Delta,
    /// A Delta of a picture that did not change: the keep-alive floor.
    Repeat,
    /// Needs an older AccessUnit, and none from [`Control::lost_from`] on.
    Recovered,
}

/// From encoded to transportd.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FromEncode {
    /// The encoder runs. Carries the ring's memfd. Sent again when mode or codec change.
    Ready {
        /// Mode of the pictures.
        mode: Mode,
        /// How they are encoded.
        codec: Codec,
        /// Size of the ring in bytes.
        ring_bytes: u64,
    },
    /// No pictures can come now; the link stays for a later `Ready`.
    Failed(Failure),
    /// One encoded picture.
    AccessUnit(AccessUnit),
    /// What a pointer looks like; only for sessions that asked for it apart from the picture.
    Bitmap(PointerBitmap),
    /// Where the pointer is now; only for sessions that asked for it apart. One is out until it is taken.
    Pointer(Option<Pointer>),
    /// encoded ends in an orderly way: wait for its next owner before opening again.
    Closing,
}

/// One encoded picture, by reference into the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessUnit {
    /// Rises by one per AccessUnit of this incarnation of encoded.
    pub number: u64,
    /// What it is to a decoder.
    pub kind: UnitKind,
    /// First byte in the ring; `offset + len` never passes the ring's end.
    pub offset: u32,
    /// Bytes.
    pub len: u32,
    /// [`crate::capture::Frame::number`] of the picture.
    pub frame: u64,
    /// Set up to `encode_end_ns`.
    pub timeline: Timeline,
}

/// From transportd to encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToEncode {
    /// Every datagram of this AccessUnit and of those before it has been handed to the network, or will have been before the
    /// next picture could be encoded: its bytes in the ring are not needed any more.
    Sent {
        /// [`AccessUnit::number`].
        number: u64,
    },
    /// What the client wants; the latest wins.
    Control(Control),
    /// The session is over: release all that was made for it, without waiting for the lease.
    Close,
    /// The [`FromEncode::Pointer`] that was out is read: the next one may come.
    PointerTaken,
}

/// What the client wants of the encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// Bits a second for the encoded pictures.
    pub bitrate_bps: u32,
    /// Counts requests for an IDR: a number higher than the last seen asks for one.
    pub idr_wanted: u32,
    /// Counts losses: a number higher than the last seen asks for an AccessUnit that is [`UnitKind::Recovered`], or an IDR.
    pub losses: u32,
    /// The first AccessUnit that the client did not get, of the losses that are not mended; of this incarnation of encoded.
    pub lost_from: u64,
}

impl LinkMessage for FromEncode {
    fn delivery(&self) -> Delivery {
        match self {
            Self::Ready { .. } | Self::Failed(_) | Self::Bitmap(_) | Self::Closing => Delivery::State,
            Self::AccessUnit(_) | Self::Pointer(_) => Delivery::Sample,
        }
    }

    fn fds(&self) -> FdRule {
        match self {
            Self::Ready { ring_bytes, .. } => {
                FdRule { count: 1, kind: FdKind::SealedMemfd { bytes: *ring_bytes } }
            }
            Self::Bitmap(bitmap) => bitmap.fds(),
            _ => FdRule::NONE,
        }
    }
}

impl LinkMessage for ToEncode {
    fn delivery(&self) -> Delivery {
        Delivery::State
    }
}
