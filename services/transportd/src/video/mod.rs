//! Video: from encoded's ring to the client, one plain thread per session over one UDP socket of the stage.
//!
//! ```text
//!  link ──AccessUnit──► sequence ──frame number──► flight: packetise → FEC → (pace → seal → GSO send)* ──► Sent ──► link
//!                                                     ▲ address
//!  socket ──hello──► paths (one thread of the stage) ─┘
//! ```
//! **Invariant:** no AccessUnit is dropped here. While its client's path is unknown or the pacer holds it back it stays
//! unsent, and encoded starts no other.

pub mod figures;
pub mod flight;
pub mod outlet;
pub mod paths;
mod pointer;
mod sender;
pub mod sequence;
pub mod stream;

pub use figures::Figures;
pub use outlet::Outlet;
pub use paths::{Path, Paths};
pub use stream::{Report, Stream, StreamParts};
