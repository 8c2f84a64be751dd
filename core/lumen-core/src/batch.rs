//! The datagrams of one frame in one buffer, laid out for GSO; sealed burst by burst as they leave.
//!
//! ```text
//! packetise: unit ──► [.. head data ..][.. head data ..][.. head parity ..]   one buffer, segments of equal length
//! seal_next:          └─ sealed, sent ─┘└──────── still clear, waiting for the pacer ────────┘
//! ```
//! **Invariant**: no clear byte leaves: the only way to the bytes of a batch is [`DatagramBatch::seal_next`].

use crate::fec::{BlockEncoder, FecError};
use crate::packetiser::FrameMeta;
use crate::seal::{SealError, Sealer, SequenceCounter};
use crate::time::Timestamp;
use crate::wire::{
    BlockHead, BlockShape, FrameFlags, HEADER_LEN, Kind, OVERHEAD, SHARD_HEAD_LEN, ShardHead, TAG_LEN,
};
use zerocopy::{FromBytes, IntoBytes};

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
    pub(crate) fn begin(&mut self, shape: &BlockShape, meta: &FrameMeta) {
        self.segment_len = OVERHEAD + usize::from(shape.shard_len);
        self.segments = shape.shards();
        self.done = 0;
        let need = self.segments * self.segment_len;
        if self.buffer.len() < need {
            self.buffer.resize(need, 0);
        }
        let flags = FrameFlags { idr: meta.idr, repeat: meta.repeat };
        for (datagram, shard) in self.buffer.chunks_exact_mut(self.segment_len).zip(0..shape.shards() as u16)
        {
            let head = ShardHead::new(meta.number, flags, shape, shard, Timestamp::default());
            if let Some(place) = datagram.get_mut(HEADER_LEN..HEADER_LEN + SHARD_HEAD_LEN) {
                place.copy_from_slice(head.as_bytes());
            }
        }
    }

    /// Cuts head and unit into the data shards and fills up with zeroes.
    pub(crate) fn write_data(&mut self, head: &BlockHead, unit: &[u8], shape: &BlockShape) {
        let mut head = head.as_bytes();
        let mut unit = unit;
        for datagram in self.buffer.chunks_exact_mut(self.segment_len).take(shape.data.into()) {
            let mut space = shard_mut(datagram);
            space = put_some(space, &mut head);
            space = put_some(space, &mut unit);
            space.fill(0);
        }
    }

    pub(crate) fn write_parity(
        &mut self,
        encoder: &mut BlockEncoder,
        shape: &BlockShape,
    ) -> Result<(), FecError> {
        if shape.parity == 0 {
            return Ok(());
        }
        let Some((data, parity)) =
            self.buffer.split_at_mut_checked(self.segment_len * usize::from(shape.data))
        else {
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
