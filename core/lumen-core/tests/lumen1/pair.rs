//! A host's and a client's video path with keys in common.

use lumen_core::reassembler::ReassemblyCounters;
use lumen_core::seal::LocalCounter;
use lumen_core::wire::BlockShape;
use lumen_core::{
    ChannelId, ChannelSecret, DatagramBatch, Direction, FrameMeta, OpenError, Opened, Opener, Output,
    Packetiser, PacketiserConfig, Reassembler, ReassemblerConfig, Sealer, Timeline, Timestamp,
};
use lumen_netem::Rng;

pub const CHANNEL: ChannelId = ChannelId(0x1234_5678);

pub fn secret() -> ChannelSecret {
    ChannelSecret::from_bytes([7; 32])
}

pub fn ms(ms: u64) -> Timestamp {
    Timestamp::from_ns(ms * 1_000_000)
}

/// `len` bytes that depend on the seed.
pub fn unit(len: usize, seed: u64) -> Vec<u8> {
    let mut unit = vec![0; len];
    Rng::new(seed).fill(&mut unit);
    unit
}

pub fn meta(number: u64) -> FrameMeta {
    let at = |offset| ms(number * 16 + offset);
    let timeline = Timeline { dequeued: at(0), encode_begin: at(1), encode_end: at(2), packetised: at(3) };
    FrameMeta { number, idr: number == 0, repeat: false, timeline }
}

pub struct Host {
    pub packetiser: Packetiser,
    pub batch: DatagramBatch,
    pub sealer: Sealer,
    pub counter: LocalCounter,
    /// How the frame sent last was cut.
    pub shape: Option<BlockShape>,
}

impl Host {
    pub fn new(parity_percent: u16) -> Self {
        let config = PacketiserConfig { parity_percent, ..PacketiserConfig::default() };
        Self {
            packetiser: Packetiser::new(config).unwrap(),
            batch: DatagramBatch::new(),
            sealer: Sealer::new(&secret(), CHANNEL, Direction::HostToClient),
            counter: LocalCounter::default(),
            shape: None,
        }
    }

    /// All datagrams of a frame, data first.
    pub fn send(&mut self, unit: &[u8], meta: &FrameMeta, now: Timestamp) -> Vec<Vec<u8>> {
        self.shape = Some(self.packetiser.packetise(unit, meta, &mut self.batch).unwrap());
        let mut datagrams = Vec::new();
        while let Some(burst) = self.batch.seal_next(46, now, &mut self.sealer, &mut self.counter).unwrap() {
            assert_eq!(burst.bytes.len(), burst.count * burst.segment_len);
            datagrams.extend(burst.datagrams().map(<[u8]>::to_vec));
        }
        datagrams
    }
}

pub struct Client {
    pub opener: Opener,
    pub reassembler: Reassembler,
}

impl Client {
    pub fn new() -> Self {
        Self::with(ReassemblerConfig::starting_at(0))
    }

    pub fn with(config: ReassemblerConfig) -> Self {
        Self {
            opener: Opener::new(&secret(), CHANNEL, Direction::HostToClient),
            reassembler: Reassembler::new(config),
        }
    }

    pub fn receive(&mut self, datagram: &[u8], now: Timestamp) -> Result<(), OpenError> {
        let mut datagram = datagram.to_vec();
        match self.opener.open(&mut datagram)? {
            Opened::Video(shard) => self.reassembler.handle_shard(&shard, now),
            Opened::Hello(_) => panic!("a host sends no hello"),
        }
        Ok(())
    }

    pub fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.reassembler.poll_output()).collect()
    }

    pub fn counters(&self) -> ReassemblyCounters {
        self.reassembler.counters()
    }
}

/// Keeps `keep` of the datagrams, chosen and ordered by the seed.
pub fn survivors(mut datagrams: Vec<Vec<u8>>, keep: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut rng = Rng::new(seed);
    for place in (1..datagrams.len()).rev() {
        datagrams.swap(place, rng.below(place as u64 + 1) as usize);
    }
    datagrams.truncate(keep);
    datagrams
}
