//! A shard's head, and how a block is cut.

use super::{BLOCK_HEAD_LEN, MAX_DATAGRAM_LEN, MAX_UNIT_LEN, OVERHEAD, SHARD_HEAD_LEN, WireError};
use crate::time::Timestamp;
use zerocopy::little_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What a frame is, in the head of each of its shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameFlags {
    /// It refers to no frame before it.
    pub idr: bool,
    /// It shows what the frame before it showed.
    pub repeat: bool,
}

impl FrameFlags {
    const IDR: u8 = 1;
    const REPEAT: u8 = 2;

    fn bits(self) -> u8 {
        u8::from(self.idr) * Self::IDR + u8::from(self.repeat) * Self::REPEAT
    }

    /// Unknown bits are ignored: later versions may set them.
    fn from_bits(bits: u8) -> Self {
        Self { idr: bits & Self::IDR != 0, repeat: bits & Self::REPEAT != 0 }
    }
}

/// How a block is cut: `data` + `parity` shards of `shard_len` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockShape {
    /// Data shards, at least 1.
    pub data: u16,
    /// Parity shards, perhaps 0.
    pub parity: u16,
    /// Bytes of each shard, even.
    pub shard_len: u16,
}

impl BlockShape {
    /// Data and parity shards.
    pub fn shards(&self) -> usize {
        usize::from(self.data) + usize::from(self.parity)
    }

    /// Bytes of the data shards.
    pub fn block_len(&self) -> usize {
        usize::from(self.data) * usize::from(self.shard_len)
    }

    /// Whether the field can hold this many shards, and the lengths are within the protocol's limits.
    pub fn is_valid(&self) -> bool {
        let (data, parity, len) =
            (usize::from(self.data), usize::from(self.parity), usize::from(self.shard_len));
        let fits = parity == 0
            || data.next_power_of_two().min(parity.next_power_of_two()) + data.max(parity) <= 1 << 16;
        data > 0
            && len > 0
            && len.is_multiple_of(2)
            && len <= MAX_DATAGRAM_LEN - OVERHEAD
            && self.shards() <= usize::from(u16::MAX)
            && (data - 1) * len < BLOCK_HEAD_LEN + MAX_UNIT_LEN
            && fits
    }
}

/// The sealed head of a shard. 24 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct ShardHead {
    frame: U64,
    sent_ns: U64,
    shard: U16,
    data: U16,
    parity: U16,
    flags: u8,
    reserved: u8,
}

impl ShardHead {
    /// The head of shard `shard` of `frame`.
    pub fn new(frame: u64, flags: FrameFlags, shape: &BlockShape, shard: u16, sent: Timestamp) -> Self {
        Self {
            frame: U64::new(frame),
            sent_ns: U64::new(sent.as_ns()),
            shard: U16::new(shard),
            data: U16::new(shape.data),
            parity: U16::new(shape.parity),
            flags: flags.bits(),
            reserved: 0,
        }
    }

    /// Says when it leaves.
    pub fn set_sent(&mut self, sent: Timestamp) {
        self.sent_ns = U64::new(sent.as_ns());
    }
}

/// A shard whose head was checked.
#[derive(Clone, Copy, Debug)]
pub struct Shard<'a> {
    /// Number of its frame.
    pub frame: u64,
    /// What the frame is.
    pub flags: FrameFlags,
    /// How the frame's block is cut; known to be valid.
    pub shape: BlockShape,
    /// Index of this shard, parity after data; known to be within the shape.
    pub index: u16,
    /// When the host sealed it, on the host's clock.
    pub sent: Timestamp,
    /// `shape.shard_len` bytes.
    pub bytes: &'a [u8],
}

impl<'a> Shard<'a> {
    /// Reads an opened body.
    ///
    /// # Errors
    /// [`WireError`] if its numbers cannot be.
    pub fn parse(body: &'a [u8]) -> Result<Self, WireError> {
        let (head, bytes) = ShardHead::ref_from_prefix(body)
            .map_err(|_| WireError::TooShort { need: SHARD_HEAD_LEN, got: body.len() })?;
        let wrong = || WireError::Shape {
            shard: head.shard.get(),
            data: head.data.get(),
            parity: head.parity.get(),
            len: bytes.len(),
        };
        let shape = BlockShape {
            data: head.data.get(),
            parity: head.parity.get(),
            shard_len: u16::try_from(bytes.len()).map_err(|_| wrong())?,
        };
        if !shape.is_valid() || usize::from(head.shard.get()) >= shape.shards() {
            return Err(wrong());
        }
        Ok(Self {
            frame: head.frame.get(),
            flags: FrameFlags::from_bits(head.flags),
            shape,
            index: head.shard.get(),
            sent: Timestamp::from_ns(head.sent_ns.get()),
            bytes,
        })
    }
}
