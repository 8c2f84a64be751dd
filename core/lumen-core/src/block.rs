//! One frame's block as its shards come in: data in place, parity aside until it is needed.

use crate::fec::{BlockDecoder, FecError};
use crate::time::Timestamp;
use crate::wire::{BLOCK_HEAD_LEN, BlockHead, BlockShape, FrameFlags, Shard, Timeline, WireError};

/// The memory of a block, kept from frame to frame.
#[derive(Default)]
pub(crate) struct Buffers {
    /// `shape.block_len()` bytes, stale where no shard was put yet.
    block: Vec<u8>,
    /// Parity shards one after another, in the order in which they came.
    parity: Vec<u8>,
    /// Index (from 0) of each of them.
    parity_indices: Vec<u16>,
    /// One bit for each shard that came, data and parity.
    came: Vec<u64>,
}

/// What a shard did to its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// It was needed.
    Kept,
    /// It came before.
    Duplicate,
    /// It contradicts the shards before it.
    Inconsistent,
}

/// A block that is not complete yet.
pub(crate) struct IncomingBlock {
    frame: u64,
    flags: FrameFlags,
    shape: BlockShape,
    data_count: usize,
    buffers: Buffers,
    first_sent: Timestamp,
    last_sent: Timestamp,
    first_received: Timestamp,
    last_received: Timestamp,
}

/// Why a block with enough shards gave no frame: the peer sealed nonsense.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub(crate) enum BlockError {
    #[error(transparent)]
    Fec(#[from] FecError),
    #[error(transparent)]
    Wire(#[from] WireError),
}

impl IncomingBlock {
    /// The most memory that a block of this shape takes: its data, and as much parity as could stand in for it.
    pub(crate) fn cost(shape: &BlockShape) -> usize {
        shape.block_len() + usize::from(shape.parity.min(shape.data)) * usize::from(shape.shard_len)
    }

    /// An empty block for the frame of `shard`, whose shape is known to be valid and affordable.
    pub(crate) fn new(shard: &Shard<'_>, now: Timestamp, mut buffers: Buffers) -> Self {
        // Not cleared before, because every byte is overwritten before a block is complete.
        buffers.block.resize(shard.shape.block_len(), 0);
        buffers.parity.clear();
        buffers.parity_indices.clear();
        buffers.came.clear();
        buffers.came.resize(shard.shape.shards().div_ceil(64), 0);
        Self {
            frame: shard.frame,
            flags: shard.flags,
            shape: shard.shape,
            data_count: 0,
            buffers,
            first_sent: shard.sent,
            last_sent: shard.sent,
            first_received: now,
            last_received: now,
        }
    }

    pub(crate) fn shape(&self) -> &BlockShape {
        &self.shape
    }

    pub(crate) fn last_received(&self) -> Timestamp {
        self.last_received
    }

    pub(crate) fn into_buffers(self) -> Buffers {
        self.buffers
    }

    /// Keeps a shard of this frame.
    pub(crate) fn put(&mut self, shard: &Shard<'_>, now: Timestamp) -> Put {
        if shard.shape != self.shape || shard.flags != self.flags {
            return Put::Inconsistent;
        }
        if !self.mark(shard.index) {
            return Put::Duplicate;
        }
        self.first_sent = self.first_sent.min(shard.sent);
        self.last_sent = self.last_sent.max(shard.sent);
        self.last_received = self.last_received.max(now);
        match shard.index.checked_sub(self.shape.data) {
            Some(parity) => {
                self.buffers.parity.extend_from_slice(shard.bytes);
                self.buffers.parity_indices.push(parity);
            }
            None => {
                place(&mut self.buffers.block, &self.shape, shard.index.into(), shard.bytes);
                self.data_count += 1;
            }
        }
        Put::Kept
    }

    /// Whether as many shards came as the block has data.
    pub(crate) fn has_enough(&self) -> bool {
        self.data_count + self.buffers.parity_indices.len() >= usize::from(self.shape.data)
    }

    /// The frame, its missing shards recovered.
    pub(crate) fn complete(
        mut self,
        decoder: &mut BlockDecoder,
        now: Timestamp,
    ) -> Result<ReceivedFrame, BlockError> {
        let recovered = usize::from(self.shape.data) - self.data_count;
        if recovered > 0 {
            self.recover(decoder)?;
        }
        let (timeline, unit_len) = BlockHead::parse(&self.buffers.block)?;
        Ok(ReceivedFrame {
            number: self.frame,
            idr: self.flags.idr,
            repeat: self.flags.repeat,
            decodable: false,
            recovered_shards: recovered,
            timeline,
            first_sent: self.first_sent,
            last_sent: self.last_sent,
            first_received: self.first_received,
            completed: now,
            unit_len,
            buffers: self.buffers,
        })
    }

    fn recover(&mut self, decoder: &mut BlockDecoder) -> Result<(), BlockError> {
        let Buffers { block, parity, parity_indices, came } = &mut self.buffers;
        let parity = parity.chunks_exact(self.shape.shard_len.into());
        let parity = parity_indices.iter().map(|&index| usize::from(index)).zip(parity);
        Ok(decoder.decode(&self.shape, block, |index| bit(came, index), parity)?)
    }

    /// Sets the bit of shard `index`; false if it was set.
    fn mark(&mut self, index: u16) -> bool {
        let index = usize::from(index);
        let fresh = !bit(&self.buffers.came, index);
        if let Some(word) = self.buffers.came.get_mut(index / 64) {
            *word |= 1 << (index % 64);
        }
        fresh
    }
}

/// A frame whose every byte came or was recovered.
pub struct ReceivedFrame {
    /// Its number.
    pub number: u64,
    /// It refers to no frame before it.
    pub idr: bool,
    /// It shows what the frame before it showed.
    pub repeat: bool,
    /// All frames it refers to were handed out: no frame was lost since the last IDR.
    pub decodable: bool,
    /// How many of its data shards were lost and recovered.
    pub recovered_shards: usize,
    /// When it passed the host's stages, on the host's clock.
    pub timeline: Timeline,
    /// When the first of the shards that came was sealed, on the host's clock.
    pub first_sent: Timestamp,
    /// When the last of them was.
    pub last_sent: Timestamp,
    /// When the first of its shards came, on the client's clock.
    pub first_received: Timestamp,
    /// When it was whole, on the client's clock.
    pub completed: Timestamp,
    unit_len: usize,
    buffers: Buffers,
}

impl std::fmt::Debug for ReceivedFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReceivedFrame")
            .field("number", &self.number)
            .field("idr", &self.idr)
            .field("unit_len", &self.unit_len)
            .finish_non_exhaustive()
    }
}

impl ReceivedFrame {
    /// The access unit.
    pub fn unit(&self) -> &[u8] {
        self.buffers.block.get(BLOCK_HEAD_LEN..BLOCK_HEAD_LEN + self.unit_len).unwrap_or_default()
    }

    pub(crate) fn into_buffers(self) -> Buffers {
        self.buffers
    }

    pub(crate) fn block_len(&self) -> usize {
        self.buffers.block.len()
    }
}

fn bit(words: &[u64], index: usize) -> bool {
    words.get(index / 64).is_some_and(|word| word & (1 << (index % 64)) != 0)
}

/// Puts data shard `index` in its place.
fn place(block: &mut [u8], shape: &BlockShape, index: usize, bytes: &[u8]) {
    let start = index * usize::from(shape.shard_len);
    if let Some(space) = block.get_mut(start..start + bytes.len()) {
        space.copy_from_slice(bytes);
    }
}
