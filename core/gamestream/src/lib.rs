//! GameStream without sockets, files or clocks: what a host says to stock Moonlight clients.
//!
//! Nothing here reads a clock, a socket, a file or the OS' randomness: bytes, [`Timestamp`](lumen_core::Timestamp)s and
//! random values come in as arguments, results go out through one `poll_output` per machine. `docs/gamestream.md` is the same
//! protocol in words.
//!
//! ```text
//! TCP 47989 plain ┐ http::Request ─► http::Call ─► pairing::Lobby ─► Store(Proven): the one commit
//! TCP 47984 TLS   ┘                         └────► Launch, Resume, Cancel, … ─► http::answers
//! TCP 48010         rtsp::Negotiation ─► StreamConfig ─► Play
//! ```

#![forbid(unsafe_code)]

pub mod control;
pub mod hex;
pub mod http;
pub mod identity;
pub mod input;
pub mod keys;
pub mod pairing;
pub mod ping;
pub mod rtsp;
pub mod video;

mod fields;
