//! The contract between lumen's stages, and nothing else.
//!
//! Two stages meet over a **link**: one `SOCK_SEQPACKET` pair that carries the messages of [`capture`],
//! [`encode`], [`sound`] or [`input`], one message a packet, some with file descriptors. A link is opened by a call on
//! lumen's own D-Bus ([`bus`]) and starts with a [`handshake`]. All types here are pure: no socket, no file,
//! no clock.
//!
//! ```text
//!  vdisplayd ──Source──► captured ──capture link──► encoded ──encode link──► transportd ──input link──► inputd
//!                           └──────sound link──────►  └─────sound link──────►
//! ```
#![forbid(unsafe_code)]

pub mod bus;
pub mod capture;
pub mod codec;
pub mod encode;
pub mod failure;
pub mod geometry;
pub mod handshake;
pub mod identity;
pub mod input;
pub mod message;
pub mod pointer;
pub mod pool;
pub mod sound;
pub mod timeline;

pub use failure::{Failure, FailureClass};
pub use geometry::{Damage, Mode, Rect};
pub use identity::{Generation, SessionId, Stage};
pub use message::{Delivery, FdKind, FdRule, LinkMessage};
pub use timeline::Timeline;
