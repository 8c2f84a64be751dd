//! Video: an AccessUnit becomes datagrams of one length, with parity, each sealed if the client asked for it.
//!
//! ```text
//! frame     head (8) ‖ unit ‖ zeroes, cut into payloads of packet size − 16, in 1 to 4 Blocks
//! shard     RTP (16) ‖ packet head (16) ‖ payload            = packet size + 16 bytes
//! sealed    nonce (12) ‖ frame u32 LE ‖ GCM tag (16) ‖ ciphertext of a shard
//!
//! RTP          0x90 ‖ 0 ‖ sequence u16 BE ‖ timestamp u32 BE ‖ ssrc u32 = 0 ‖ reserved u32 = 0
//! packet head  index u32 LE (24 bits, << 8) ‖ frame u32 LE ‖ flags ‖ extra flags ‖ 0x10 ‖ block << 4 | last << 6
//!              ‖ u32 LE percent << 4 | shard << 12 | data << 22
//! frame head   0x01 ‖ host latency u16 LE (0.1 ms) ‖ type ‖ bytes used of the last payload u16 LE ‖ 0 u16
//! ```
//! Sequence, index and nonce are one number: that of the packet since the session's key was made, cut to 16, 24 and 64 bits.
//!
//! **Invariant**: the numbers of all packets of a frame are reserved before its first byte is written.

mod batch;
mod fec;
mod frame;
mod layout;
mod packetiser;

pub use batch::Batch;
pub use frame::{FrameMeta, FrameType};
pub use layout::{Block, Layout, MAX_PARITY_PERCENT};
pub use packetiser::{PacketiseError, Packetiser, PacketiserConfig};

/// Bytes of a shard before its payload.
pub const SHARD_HEAD_LEN: usize = 32;
/// What a shard is longer than the packet size that the client announced.
pub const RTP_LEN: usize = 16;
/// Bytes before a sealed shard.
pub const SEAL_LEN: usize = 32;
/// Bytes before the unit in a frame.
pub const FRAME_HEAD_LEN: usize = 8;

#[cfg(test)]
mod tests;
