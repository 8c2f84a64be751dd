//! RTSP on port 48010: how a launched session becomes a stream.
//!
//! ```text
//! client                                         host                       one TCP connection a request
//!   OPTIONS, DESCRIBE ────────────────────────►  Offering   what this host can: codecs, encryption, surround
//!   SETUP audio, video, control ──────────────►             ports, and what the client shall say on them
//!   ANNOUNCE (SDP) ───────────────────────────►  Announced  the client's choice: a [`StreamConfig`]
//!   PLAY ─────────────────────────────────────►  Playing
//! ```
//! Clients that say `corever` in their launch seal each message with the session's key ([`seal`]); the key is also how the
//! session of a connection is found, since nothing else tells two clients behind one address apart.

mod message;
mod negotiation;
mod offer;
mod sdp;
pub mod seal;

pub use message::{MAX_MESSAGE, Method, Parsed, Request, RtspError};
pub use negotiation::{Event, NEGOTIATION_DEADLINE, Negotiation, Output, Ports, Refused, Tokens};
pub use offer::{AudioQuality, Offer, opus_layout};
pub use sdp::{
    AudioConfig, Codec, ColorSpace, Encryption, MAX_PACKET_SIZE, MIN_PACKET_SIZE, Sdp, SdpError, StreamConfig,
};

#[cfg(test)]
mod tests;
