//! Stock Moonlight clients: who may come, and what is streamed to them.
//!
//! ```text
//!  client ◄──HTTP 47989, HTTPS 47984──► who may come: pairing, apps, launch
//!                                            │ streams::Streams
//!  client ◄──RTSP 48010, UDP 47998-48000──► what streams: sessions
//! ```
//! [`lumen_gamestream`] is the protocol; here are its sockets, files and clocks. `docs/gamestream.md` says it in words.
//!
//! **Invariant:** who is no Client reaches `/serverinfo` and `/pair` alone.

pub mod beginning;
pub mod card;
pub mod config;
pub mod conversation;
pub mod doors;
pub mod front;
pub mod ground;
pub mod house;
pub mod identity;
mod input;
mod keys;
pub mod launches;
pub mod mdns;
pub mod reception;
pub mod rtsp;
pub mod shelf;
pub mod sockets;
pub mod streams;
pub mod switchboard;
pub mod talk;
pub mod tls;
mod touches;
pub mod wire;

use crate::{identity::IdentityError, sockets::SocketError};

/// Why Moonlight is not served. The rest of the stage goes on without it.
#[derive(Debug, thiserror::Error)]
pub enum Off {
    /// The administrator wants it so.
    #[error("off: `enabled = false` in [gamestream] of transportd.toml")]
    Setting,
    /// A port is not to be had.
    #[error("Moonlight clients are not served: {0}; then run `systemctl --user restart lumen-transportd`")]
    Socket(#[from] SocketError),
    /// The host cannot say who it is.
    #[error("Moonlight clients are not served: {0}; then run `systemctl --user restart lumen-transportd`")]
    Identity(#[from] IdentityError),
    /// TLS does not take the identity.
    #[error("Moonlight clients are not served: the identity in gamestream.pem is of no use to TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The sockets are of no use.
    #[error("Moonlight clients are not served: the sockets are of no use: {0}")]
    Kernel(std::io::Error),
}
