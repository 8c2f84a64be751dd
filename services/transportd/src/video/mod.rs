//! Video: from encoded's ring to the client, one plain thread per session over one UDP socket of the stage.
//!
//! ```text
//!  link ──AccessUnit──► sequence ──frame number──► flight: cutter → (pace → GSO send)* ──► Sent ──► link
//!                                                     ▲ address
//!  socket ──hello, ping──► paths (a thread a socket) ─┘
//! ```
//! A protocol is a [`cutter`] and a [`proof`]; all else is the same for both.
//! **Invariant:** no AccessUnit is dropped here. While its client's path is unknown or the pacer holds it back it stays
//! unsent, and encoded starts no other.

pub mod cutter;
pub mod datagrams;
pub mod early;
pub mod figures;
pub mod flight;
pub mod inlet;
pub mod outlet;
pub mod pacing;
pub mod paths;
mod pointer;
pub mod proof;
mod sender;
pub mod sequence;
pub mod stream;

pub use figures::Figures;
pub use outlet::Outlet;
pub use paths::{Path, Paths};
pub use sequence::Loss;
pub use stream::{Report, Stream, StreamParts};
