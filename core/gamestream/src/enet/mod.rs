//! The part of ENet 1.3 that clients use for control, with a state that a process can leave to the next.
//!
//! ```text
//! client                                     host
//!   CONNECT(data = what SETUP said) ──────►  Connect::parse, Peer::accept ─► Connecting
//!   ◄───────────── VERIFY_CONNECT ────────        │
//!   ACKNOWLEDGE ──────────────────────────►  Connected (event)
//!   SEND_RELIABLE, _FRAGMENT, _UNRELIABLE ►  Message (event), ACKNOWLEDGE
//!   ◄───────────── SEND_RELIABLE, PING ───        │ 10 s of silence ─► Closed (event)
//!   DISCONNECT ───────────────────────────►  Closed (event)
//! ```
//! All integers are big-endian. Compression, checksums, bandwidth limits, throttling and unreliable fragments are left out: no
//! client uses them here. Unsequenced messages are delivered as they come; control's own numbers tell which came twice.
//!
//! # Surviving
//! After each `handle_*`, `send` and `disconnect`, and **before** [`Peer::poll_output`] is drained, write [`Peer::record`]
//! where the next process finds it. Then nothing was acknowledged that is not recorded as received, no message is delivered
//! twice, and what was not acknowledged is sent again byte for byte by [`Peer::restore`].
//!
//! **Invariant**: a peer is found by the random number that SETUP gave its client; a datagram that names none is not answered.

mod channel;
mod peer;
mod record;
mod timing;
mod wire;

pub use peer::{CloseReason, Counters, Event, Output, Peer, SendError};
pub use record::{MAX_HELD_BYTES, MAX_RECORD_BYTES, MAX_UNACKED, MAX_UNACKED_BYTES, Record};
pub use wire::{Connect, MAX_FRAGMENTS, MAX_MESSAGE, PeerId};

use std::time::Duration;

/// Channels that a client may have: keyboard, mouse, 16 Pads and their sensors, …
pub const MAX_CHANNELS: usize = 64;
/// Silence after which a peer is gone. Clients say something each 100 ms, and give a host the same 10 s.
pub const TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
