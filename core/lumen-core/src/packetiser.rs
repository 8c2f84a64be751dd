//! Access units into batches of datagrams of one length, laid out for GSO; sealed burst by burst as they leave.
//!
//! ```text
//! packetise: unit ──► [.. head data ..][.. head data ..][.. head parity ..]   one buffer, segments of equal length
//! seal_next:          └─ sealed, sent ─┘└──────── still clear, waiting for the pacer ────────┘
//! ```
//! **Invariant**: no clear byte leaves: the only way to the bytes of a batch is [`DatagramBatch::seal_next`].

use crate::fec::{BlockEncoder, FecError, parity_count};
use crate::seal::{SealError, Sealer, SequenceCounter};
use crate::time::Timestamp;
use crate::wire::{
    BLOCK_HEAD_LEN, BlockHead, BlockShape, DEFAULT_DATAGRAM_LEN, FrameFlags, HEADER_LEN, Kind,
    MAX_DATAGRAM_LEN, MAX_UNIT_LEN, MIN_DATAGRAM_LEN, OVERHEAD, SHARD_HEAD_LEN, ShardHead, TAG_LEN, Timeline,
};
use zerocopy::{FromBytes, IntoBytes};

/// Because more than twice the data would be better spent on a lower bitrate.
pub const MAX_PARITY_PERCENT: u16 = 200;

/// How frames are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketiserConfig {
    /// UDP payload bytes of a full datagram, 512..=8,952.
    pub datagram_len: usize,
    /// Parity shards per 100 data shards, 0..=200, rounded up.
    pub parity_percent: u16,
}

impl Default for PacketiserConfig {
    /// 1,400 bytes and 20 %.
    fn default() -> Self {
        Self { datagram_len: DEFAULT_DATAGRAM_LEN, parity_percent: 20 }
    }
}

/// Why a configuration is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The datagram length is out of range.
    #[error("datagrams of {got} bytes: must be {MIN_DATAGRAM_LEN} to {MAX_DATAGRAM_LEN}")]
    DatagramLen {
        /// What was asked.
        got: usize,
    },
    /// More parity than [`MAX_PARITY_PERCENT`].
    #[error("a parity of {got} %: must be 0 to {MAX_PARITY_PERCENT}")]
    Parity {
        /// What was asked.
        got: u16,
    },
}

/// Why a unit was not cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketiseError {
    /// Empty, or longer than [`MAX_UNIT_LEN`].
    #[error("an access unit of {got} bytes: must be 1 to {MAX_UNIT_LEN}")]
    UnitLen {
        /// Its length.
        got: usize,
    },
    /// The batch still holds datagrams of the frame before.
    #[error("{waiting} datagrams of the frame before are still unsent")]
    BatchInUse {
        /// How many.
        waiting: usize,
    },
    /// Parity could not be computed.
    #[error(transparent)]
    Fec(#[from] FecError),
}

/// What a frame is, beside its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameMeta {
    /// The client's frame number: the first is what `Launched` said, each next one is one more.
    pub number: u64,
    /// It refers to no frame before it.
    pub idr: bool,
    /// It shows what the frame before it showed.
    pub repeat: bool,
    /// When it passed the stages, on the host's clock.
    pub timeline: Timeline,
}

/// Cuts access units into shards and computes their parity. Keeps its working space.
#[derive(Debug)]
pub struct Packetiser {
    config: PacketiserConfig,
    encoder: BlockEncoder,
}

impl Packetiser {
    /// A packetiser for one channel.
    ///
    /// # Errors
    /// [`ConfigError`] if a number is out of range.
    pub fn new(config: PacketiserConfig) -> Result<Self, ConfigError> {
        if !(MIN_DATAGRAM_LEN..=MAX_DATAGRAM_LEN).contains(&config.datagram_len) {
            return Err(ConfigError::DatagramLen { got: config.datagram_len });
        }
        check_parity(config.parity_percent)?;
        Ok(Self { config, encoder: BlockEncoder::default() })
    }

    /// Changes the parity from the next frame on.
    ///
    /// # Errors
    /// [`ConfigError::Parity`].
    pub fn set_parity_percent(&mut self, percent: u16) -> Result<(), ConfigError> {
        check_parity(percent)?;
        self.config.parity_percent = percent;
        Ok(())
    }

    /// Cuts `unit` into the empty batch `out`. Allocates only where the batch or the block is larger than any before.
    ///
    /// # Errors
    /// [`PacketiseError`]; the batch is then empty, or as it was if it was in use.
    pub fn packetise(
        &mut self,
        unit: &[u8],
        meta: &FrameMeta,
        out: &mut DatagramBatch,
    ) -> Result<BlockShape, PacketiseError> {
        if !out.is_empty() {
            return Err(PacketiseError::BatchInUse { waiting: out.remaining() });
        }
        let wrong_len = PacketiseError::UnitLen { got: unit.len() };
        if unit.is_empty() || unit.len() > MAX_UNIT_LEN {
            return Err(wrong_len);
        }
        let unit_len = u32::try_from(unit.len()).map_err(|_| wrong_len)?;
        let shape = self.shape(unit.len());
        out.begin(&shape, meta);
        out.write_data(&BlockHead::new(unit_len, &meta.timeline), unit, &shape);
        if let Err(error) = out.write_parity(&mut self.encoder, &shape) {
            out.clear();
            return Err(error.into());
        }
        Ok(shape)
    }

    /// The fewest shards that hold the unit, all of one even length with the least padding.
    fn shape(&self, unit_len: usize) -> BlockShape {
        let block = BLOCK_HEAD_LEN + unit_len;
        let longest = (self.config.datagram_len - OVERHEAD) & !1;
        let shard_len = block.div_ceil(block.div_ceil(longest)).next_multiple_of(2);
        // Rounding each shard up can leave whole shards without a byte of the block.
        let data = u16::try_from(block.div_ceil(shard_len)).unwrap_or(u16::MAX);
        BlockShape {
            data,
            parity: parity_count(data, self.config.parity_percent),
            shard_len: u16::try_from(shard_len).unwrap_or(u16::MAX),
        }
    }
}

fn check_parity(percent: u16) -> Result<(), ConfigError> {
    if percent > MAX_PARITY_PERCENT {
        return Err(ConfigError::Parity { got: percent });
    }
    Ok(())
}

/// The datagrams of one frame in one buffer, all of [`segment_len`](Self::segment_len) bytes. Reuse it.
#[derive(Default)]
pub struct DatagramBatch {
    /// Only its first `segments × segment_len` bytes are this frame's.
    buffer: Vec<u8>,
    segment_len: usize,
    segments: usize,
    /// Segments sealed and handed out.
    done: usize,
}

impl std::fmt::Debug for DatagramBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatagramBatch")
            .field("segment_len", &self.segment_len)
            .field("segments", &self.segments)
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

/// Sealed datagrams side by side, ready for one GSO send.
#[derive(Clone, Copy, Debug)]
pub struct Burst<'a> {
    /// `count × segment_len` bytes.
    pub bytes: &'a [u8],
    /// Bytes of each datagram.
    pub segment_len: usize,
    /// How many.
    pub count: usize,
}

impl<'a> Burst<'a> {
    /// The datagrams one by one, for senders without GSO.
    pub fn datagrams(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.bytes.chunks_exact(self.segment_len.max(1))
    }
}

impl DatagramBatch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Datagrams not yet handed out.
    pub fn remaining(&self) -> usize {
        self.segments - self.done
    }

    /// Whether all were handed out.
    pub fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    /// Bytes of each datagram.
    pub fn segment_len(&self) -> usize {
        self.segment_len
    }

    /// Forgets what was not handed out.
    pub fn clear(&mut self) {
        (self.segments, self.done) = (0, 0);
    }

    /// Seals the next `max` datagrams at most, says in each that it leaves at `sent`, and hands them out. `None` if the batch is
    /// empty or `max` is 0. The counter is moved on before anything is sealed.
    ///
    /// # Errors
    /// [`SealError::Exhausted`] if the counter has no numbers left.
    pub fn seal_next(
        &mut self,
        max: usize,
        sent: Timestamp,
        sealer: &mut Sealer,
        counter: &mut impl SequenceCounter,
    ) -> Result<Option<Burst<'_>>, SealError> {
        let count = self.remaining().min(max);
        let start = self.done * self.segment_len;
        let Some(bytes) = self.buffer.get_mut(start..start + count * self.segment_len) else {
            return Ok(None);
        };
        if bytes.is_empty() {
            return Ok(None);
        }
        let first = counter.reserve(count as u64).ok_or(SealError::Exhausted)?;
        for (datagram, sequence) in bytes.chunks_exact_mut(self.segment_len).zip(first..) {
            if let Some((_, body)) = datagram.split_at_mut_checked(HEADER_LEN)
                && let Ok((head, _)) = ShardHead::mut_from_prefix(body)
            {
                head.set_sent(sent);
            }
            sealer.seal(Kind::Video, sequence, datagram)?;
        }
        self.done += count;
        Ok(Some(Burst { bytes, segment_len: self.segment_len, count }))
    }

    /// Makes room and writes the head of each shard.
    fn begin(&mut self, shape: &BlockShape, meta: &FrameMeta) {
        self.segment_len = OVERHEAD + usize::from(shape.shard_len);
        self.segments = shape.shards();
        self.done = 0;
        let need = self.segments * self.segment_len;
        if self.buffer.len() < need {
            self.buffer.resize(need, 0);
        }
        let flags = FrameFlags { idr: meta.idr, repeat: meta.repeat };
        for (datagram, shard) in self.buffer.chunks_exact_mut(self.segment_len).zip(0..shape.shards() as u16) {
            let head = ShardHead::new(meta.number, flags, shape, shard, Timestamp::default());
            if let Some(place) = datagram.get_mut(HEADER_LEN..HEADER_LEN + SHARD_HEAD_LEN) {
                place.copy_from_slice(head.as_bytes());
            }
        }
    }

    /// Cuts head and unit into the data shards and fills up with zeroes.
    fn write_data(&mut self, head: &BlockHead, unit: &[u8], shape: &BlockShape) {
        let mut head = head.as_bytes();
        let mut unit = unit;
        for datagram in self.buffer.chunks_exact_mut(self.segment_len).take(shape.data.into()) {
            let mut space = shard_mut(datagram);
            space = put_some(space, &mut head);
            space = put_some(space, &mut unit);
            space.fill(0);
        }
    }

    fn write_parity(&mut self, encoder: &mut BlockEncoder, shape: &BlockShape) -> Result<(), FecError> {
        if shape.parity == 0 {
            return Ok(());
        }
        let Some((data, parity)) = self.buffer.split_at_mut_checked(self.segment_len * usize::from(shape.data)) else {
            return Ok(());
        };
        let mut parity = parity.chunks_exact_mut(self.segment_len);
        encoder.encode(shape, data.chunks_exact(self.segment_len).map(shard), |_, bytes| {
            if let Some(datagram) = parity.next() {
                shard_mut(datagram).copy_from_slice(bytes);
            }
        })
    }
}

/// The shard of a clear datagram.
fn shard(datagram: &[u8]) -> &[u8] {
    datagram.get(HEADER_LEN + SHARD_HEAD_LEN..datagram.len().saturating_sub(TAG_LEN)).unwrap_or_default()
}

fn shard_mut(datagram: &mut [u8]) -> &mut [u8] {
    let end = datagram.len().saturating_sub(TAG_LEN);
    datagram.get_mut(HEADER_LEN + SHARD_HEAD_LEN..end).unwrap_or_default()
}

/// Moves as much of `from` into `space` as fits, and returns the space left.
fn put_some<'a>(space: &'a mut [u8], from: &mut &[u8]) -> &'a mut [u8] {
    let (now, later) = from.split_at(from.len().min(space.len()));
    let (place, left) = space.split_at_mut(now.len());
    place.copy_from_slice(now);
    *from = later;
    left
}
