//! From an AccessUnit to datagrams.

use super::batch::Batch;
use super::fec::Engine;
use super::frame::FrameMeta;
use super::layout::{Block, Layout, MAX_PARITY_PERCENT};
use super::{FRAME_HEAD_LEN, RTP_LEN, SEAL_LEN, SHARD_HEAD_LEN};
use crate::keys::{Cipher, SessionKey};
use crate::rtsp::{MAX_PACKET_SIZE, MIN_PACKET_SIZE};
use lumen_core::SequenceCounter;

const PICTURE: u8 = 0x1;
const END: u8 = 0x2;
const START: u8 = 0x4;
const LONG_TERM: u8 = 0x1;
const SEVERAL_BLOCKS: u8 = 0x10;

/// How frames are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketiserConfig {
    /// As announced, [`StreamConfig::packet_size`](crate::rtsp::StreamConfig::packet_size).
    pub packet_size: u16,
    /// Parity in percent of the data.
    pub parity_percent: u8,
    /// As announced, [`StreamConfig::min_parity`](crate::rtsp::StreamConfig::min_parity).
    pub min_parity: u8,
}

/// Why no datagrams were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketiseError {
    /// The packet size is out of bounds.
    #[error("packets of {got} bytes; {MIN_PACKET_SIZE} to {MAX_PACKET_SIZE} can be")]
    PacketSize {
        /// What it should be.
        got: u16,
    },
    /// More parity than helps.
    #[error("parity of {got} %; at most {MAX_PARITY_PERCENT} can be")]
    Parity {
        /// What it should be.
        got: u8,
    },
    /// The unit is empty or longer than four blocks hold.
    #[error("a unit of {got} bytes; a frame holds 1 to {most}")]
    UnitLen {
        /// Bytes of the unit.
        got: usize,
        /// Bytes that fit.
        most: usize,
    },
    /// The last frame's datagrams are not all taken.
    #[error("{waiting} datagrams of the last frame are still waiting")]
    BatchInUse {
        /// How many.
        waiting: usize,
    },
    /// The counter has no numbers left.
    #[error("the packet numbers of this key are used up; resume the session for a new key")]
    Exhausted,
}

/// Cuts frames for one client.
#[derive(Debug)]
pub struct Packetiser {
    config: PacketiserConfig,
    engine: Engine,
    cipher: Option<Cipher>,
}

impl Packetiser {
    /// One that seals each datagram if it gets a key.
    ///
    /// # Errors
    /// [`PacketiseError::PacketSize`], [`PacketiseError::Parity`].
    pub fn new(config: PacketiserConfig, key: Option<&SessionKey>) -> Result<Self, PacketiseError> {
        if !(MIN_PACKET_SIZE..=MAX_PACKET_SIZE).contains(&config.packet_size) {
            return Err(PacketiseError::PacketSize { got: config.packet_size });
        }
        check_parity(config.parity_percent)?;
        Ok(Self { config, engine: Engine::new(), cipher: key.map(SessionKey::cipher) })
    }

    /// Changes the parity from the next frame on.
    ///
    /// # Errors
    /// [`PacketiseError::Parity`].
    pub fn set_parity_percent(&mut self, percent: u8) -> Result<(), PacketiseError> {
        check_parity(percent)?;
        self.config.parity_percent = percent;
        Ok(())
    }

    /// Fills `out`, whose datagrams must all have been taken, with those of a frame. `counter` starts at 0 with each key:
    /// clients begin at sequence 0 and throw away what seems to lie before it.
    ///
    /// # Errors
    /// [`PacketiseError`].
    pub fn packetise(
        &mut self,
        unit: &[u8],
        meta: &FrameMeta,
        counter: &mut impl SequenceCounter,
        out: &mut Batch,
    ) -> Result<Layout, PacketiseError> {
        if !out.is_empty() {
            return Err(PacketiseError::BatchInUse { waiting: out.remaining() });
        }
        let PacketiserConfig { packet_size, parity_percent, min_parity } = self.config;
        let size = usize::from(packet_size);
        let layout = Some(unit).filter(|unit| !unit.is_empty());
        let layout = layout.and_then(|unit| Layout::of(unit.len(), size, parity_percent, min_parity)).ok_or(
            PacketiseError::UnitLen { got: unit.len(), most: 4092 * (size - RTP_LEN) - FRAME_HEAD_LEN },
        )?;
        let shards = layout.shards();
        let first = counter.reserve(shards as u64).ok_or(PacketiseError::Exhausted)?;
        let skip = if self.cipher.is_some() { SEAL_LEN } else { 0 };
        let stride = skip + RTP_LEN + size;
        let head = meta.head(layout.last_len);
        let mut writer = Writer { meta, rest: (&head, unit), number: first, stride, skip };
        let mut rest = out.begin(shards, stride);
        for (block, index) in layout.blocks.iter().zip(0..) {
            let (own, others) = rest.split_at_mut((block.data + block.parity) * stride);
            writer.block(own, block, index | (layout.blocks.len() as u8 - 1) << 2, &self.engine);
            rest = others;
        }
        if let Some(cipher) = &self.cipher {
            seal(cipher, out.begun(), stride, first, meta.number);
        }
        Ok(layout)
    }
}

/// Seals each shard after the parity was made: nonce = number LE ‖ 0³ ‖ 'V'.
fn seal(cipher: &Cipher, bytes: &mut [u8], stride: usize, first: u64, frame: u32) {
    for (datagram, number) in bytes.chunks_exact_mut(stride).zip(first..) {
        let (prefix, shard) = datagram.split_at_mut(SEAL_LEN);
        let mut nonce = [0; 12];
        put(&mut nonce, 0, &number.to_le_bytes());
        put(&mut nonce, 11, b"V");
        let tag = cipher.seal(nonce, shard);
        put(prefix, 0, &nonce);
        put(prefix, 12, &frame.to_le_bytes());
        put(prefix, 16, &tag);
    }
}

fn check_parity(percent: u8) -> Result<(), PacketiseError> {
    if percent > MAX_PARITY_PERCENT { Err(PacketiseError::Parity { got: percent }) } else { Ok(()) }
}

/// Writes `from` at a place that the caller knows to be there.
fn put(into: &mut [u8], at: usize, from: &[u8]) {
    into.iter_mut().skip(at).zip(from).for_each(|(to, from)| *to = *from);
}

/// Writes the shards of one frame.
struct Writer<'a> {
    meta: &'a FrameMeta,
    /// What is left of the frame's head and of the unit.
    rest: (&'a [u8], &'a [u8]),
    /// Of the next packet.
    number: u64,
    /// Bytes from one datagram to the next.
    stride: usize,
    /// Bytes of a datagram before the shard.
    skip: usize,
}

impl Writer<'_> {
    /// One block: what parity covers, then parity, then what clients restore by themselves.
    fn block(&mut self, bytes: &mut [u8], block: &Block, blocks: u8, engine: &Engine) {
        let first = self.number;
        let (data, parity) = bytes.split_at_mut(block.data * self.stride);
        for (datagram, index) in data.chunks_exact_mut(self.stride).zip(0..) {
            let edges = if index == 0 { START } else { 0 } | if index + 1 == block.data { END } else { 0 };
            let shard = datagram.get_mut(self.skip..).unwrap_or_default();
            self.data_shard(shard, PICTURE | edges);
        }
        engine.encode(data, parity, self.stride, self.skip);
        self.number = first + (block.data + block.parity) as u64;
        for (datagram, index) in bytes.chunks_exact_mut(self.stride).zip(0..) {
            let shard = datagram.get_mut(self.skip..).unwrap_or_default();
            self.heads(shard, first + u64::from(index), blocks);
            let info = u32::from(block.percent) << 4 | index << 12 | (block.data as u32) << 22;
            put(shard, 28, &info.to_le_bytes());
        }
    }

    fn data_shard(&mut self, shard: &mut [u8], flags: u8) {
        put(shard, 16, &((self.number as u32) << 8).to_le_bytes());
        let extra = if self.meta.long_term { LONG_TERM } else { 0 };
        put(shard, 24, &[flags, extra, SEVERAL_BLOCKS]);
        self.number += 1;
        let mut payload = shard.get_mut(SHARD_HEAD_LEN..).unwrap_or_default();
        for rest in [&mut self.rest.0, &mut self.rest.1] {
            let count = rest.len().min(payload.len());
            let (from, left) = rest.split_at(count);
            let (into, free) = payload.split_at_mut(count);
            into.copy_from_slice(from);
            (*rest, payload) = (left, free);
        }
    }

    fn heads(&self, shard: &mut [u8], number: u64, blocks: u8) {
        put(shard, 0, &[0x90, 0]);
        put(shard, 2, &(number as u16).to_be_bytes());
        put(shard, 4, &self.meta.timestamp.to_be_bytes());
        put(shard, 8, &[0; 8]);
        put(shard, 20, &self.meta.number.to_le_bytes());
        put(shard, 27, &[blocks << 4]);
    }
}
