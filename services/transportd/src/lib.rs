//! lumen's network stage: the only one that speaks to clients.
//!
//! ```text
//!  client ◄─QUIC─► control ─► peers: one task a connection, HostSession + Brain ──Open──► encoded, inputd
//!                                │ link                                             (lumen's bus)
//!                                ▼
//!  client ◄──UDP── video: one thread a session, link + ring → packetise → FEC → seal → GSO
//! ```
//! Moonlight clients come by [`gamestream`], which has its own sockets and the same sessions; they get [`sound`] as well.
//!
//! **Invariant:** nothing is sent to an address from which nothing authenticated came: QUIC's handshake on one port, a
//! sealed hello on the other; in GameStream the number or token that its client was told under its key.
#![forbid(unsafe_code)]

pub mod announcements;
pub mod clients;
pub mod config;
pub mod control;
pub mod gamestream;
pub mod identity;
pub mod launch;
pub mod needs;
pub mod occupant;
pub mod peers;
pub mod record;
pub mod recover;
pub mod run;
pub mod sockets;
pub mod sound;
pub mod stage;
pub mod transport1;
pub mod upstream;
pub mod vault;
pub mod video;
