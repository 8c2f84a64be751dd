//! The datagrams of lumen/1's UDP socket, byte by byte. All integers are little-endian.
//!
//! ```text
//! datagram = Header (16, clear, authenticated) ‖ sealed body ‖ tag (16)
//!
//! Header     kind u8 ‖ version u8 = 1 ‖ reserved u16 = 0 ‖ channel u32 ‖ sequence u64
//! body of 1  ShardHead (24) ‖ shard bytes           Video, host → client
//! body of 2  sent_ns u64                            Hello, client → host
//!
//! ShardHead  frame u64 ‖ sent_ns u64 ‖ shard u16 ‖ data u16 ‖ parity u16 ‖ flags u8 ‖ reserved u8 = 0
//! block      BlockHead (40) ‖ unit bytes ‖ zeroes up to data × shard length
//! BlockHead  unit_len u32 ‖ reserved u32 = 0 ‖ dequeued_ns u64 ‖ encode_begin_ns u64 ‖ encode_end_ns u64 ‖ packetised_ns u64
//! ```
//! A frame is one block: its bytes are cut into `data` shards of one even length, followed by `parity` parity shards.

mod block;
mod shard;

pub use block::{BlockHead, Timeline};
pub use shard::{BlockShape, FrameFlags, Shard, ShardHead};

use crate::time::Timestamp;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The version of this layout, in every header.
pub const VERSION: u8 = 1;
/// Bytes of the clear header.
pub const HEADER_LEN: usize = size_of::<Header>();
/// Bytes of the sealed head before a shard.
pub const SHARD_HEAD_LEN: usize = size_of::<ShardHead>();
/// Bytes of the head at the start of a block.
pub const BLOCK_HEAD_LEN: usize = size_of::<BlockHead>();
/// Bytes of the AES-GCM tag that ends every datagram.
pub const TAG_LEN: usize = 16;
/// What a video datagram is longer than its shard.
pub const OVERHEAD: usize = HEADER_LEN + SHARD_HEAD_LEN + TAG_LEN;
/// Bytes of a hello datagram.
pub const HELLO_LEN: usize = HEADER_LEN + size_of::<HelloBody>() + TAG_LEN;
/// Because 1,400 + 48 (IPv6 + UDP) passes any path of 1,448 and leaves shards of 21 × 64 bytes, the FEC's stride.
pub const DEFAULT_DATAGRAM_LEN: usize = 1400;
/// Because every IPv4 host must take 576 bytes, of which 28 (IPv4 + UDP) and a margin are not ours.
pub const MIN_DATAGRAM_LEN: usize = 512;
/// Because a jumbo frame is 9,000 bytes, of which 48 are not ours.
pub const MAX_DATAGRAM_LEN: usize = 8952;
/// The longest access unit: 8 MiB. A receiver refuses more before it allocates.
pub const MAX_UNIT_LEN: usize = 8 << 20;

/// A channel's random number: how the host finds the session of a datagram before it can open it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(pub u32);

/// What a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A shard of a frame, host to client.
    Video = 1,
    /// Opens or refreshes the host's path to the client, client to host.
    Hello = 2,
}

/// Why bytes are not a datagram of lumen/1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Shorter than its parts.
    #[error("a datagram of {got} bytes is shorter than the {need} it must have")]
    TooShort {
        /// Bytes needed at least.
        need: usize,
        /// Bytes there.
        got: usize,
    },
    /// Another version of the layout.
    #[error("a datagram of layout version {got}; this side speaks {VERSION}")]
    Version {
        /// The version it says.
        got: u8,
    },
    /// No such kind, or reserved bits are set.
    #[error("a datagram of unknown kind {got}")]
    Kind {
        /// The kind it says.
        got: u8,
    },
    /// Numbers in a shard's head contradict each other or the limits.
    #[error("a shard head that cannot be: shard {shard} of {data}+{parity}, {len} bytes")]
    Shape {
        /// Index of the shard.
        shard: u16,
        /// Data shards.
        data: u16,
        /// Parity shards.
        parity: u16,
        /// Bytes of this shard.
        len: usize,
    },
    /// A block's head says a length that its block cannot hold.
    #[error("a block of {block} bytes cannot hold a unit of {unit}")]
    Unit {
        /// Bytes the unit should have.
        unit: usize,
        /// Bytes of the block.
        block: usize,
    },
}

/// The clear header: authenticated, not hidden. 16 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    kind: u8,
    version: u8,
    reserved: U16,
    channel: U32,
    sequence: U64,
}

impl Header {
    /// The header of datagram `sequence` of `channel`.
    pub fn new(kind: Kind, channel: ChannelId, sequence: u64) -> Self {
        Self {
            kind: kind as u8,
            version: VERSION,
            reserved: U16::ZERO,
            channel: U32::new(channel.0),
            sequence: U64::new(sequence),
        }
    }

    /// The header and the sealed rest, whose tag it is known to hold.
    ///
    /// # Errors
    /// [`WireError`] if the bytes are no datagram of this version.
    pub fn parse(datagram: &[u8]) -> Result<(Self, &[u8]), WireError> {
        let (header, rest) = Self::read_from_prefix(datagram)
            .ok()
            .filter(|(_, rest)| rest.len() >= TAG_LEN)
            .ok_or(WireError::TooShort { need: HEADER_LEN + TAG_LEN, got: datagram.len() })?;
        if header.version != VERSION {
            return Err(WireError::Version { got: header.version });
        }
        if header.reserved != U16::ZERO {
            return Err(WireError::Kind { got: header.kind });
        }
        header.kind()?;
        Ok((header, rest))
    }

    /// What the datagram is.
    ///
    /// # Errors
    /// [`WireError::Kind`] if there is no such kind.
    pub fn kind(&self) -> Result<Kind, WireError> {
        match self.kind {
            1 => Ok(Kind::Video),
            2 => Ok(Kind::Hello),
            got => Err(WireError::Kind { got }),
        }
    }

    /// Whose datagram it is.
    pub fn channel(&self) -> ChannelId {
        ChannelId(self.channel.get())
    }

    /// Its nonce.
    pub fn sequence(&self) -> u64 {
        self.sequence.get()
    }
}

/// The channel a datagram claims, so that its session can be found. Nothing is authenticated yet.
///
/// # Errors
/// [`WireError`] if the bytes are no datagram of this version.
pub fn channel_of(datagram: &[u8]) -> Result<ChannelId, WireError> {
    Header::parse(datagram).map(|(header, _)| header.channel())
}

/// The sealed body of a hello. 8 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct HelloBody {
    sent_ns: U64,
}

impl HelloBody {
    /// A hello sent at `sent`.
    pub fn new(sent: Timestamp) -> Self {
        Self { sent_ns: U64::new(sent.as_ns()) }
    }

    /// When the client sealed it, on the client's clock. Bytes that follow are a later version's and ignored.
    ///
    /// # Errors
    /// [`WireError::TooShort`].
    pub fn parse(body: &[u8]) -> Result<Timestamp, WireError> {
        Self::ref_from_prefix(body)
            .map(|(hello, _)| Timestamp::from_ns(hello.sent_ns.get()))
            .map_err(|_| WireError::TooShort { need: size_of::<Self>(), got: body.len() })
    }
}
