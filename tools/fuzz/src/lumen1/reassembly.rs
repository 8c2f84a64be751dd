//! Shards into frames: what a hostile host could seal, and what a network does to a friendly one's.

use std::time::Duration;

use lumen_core::seal::LocalCounter;
use lumen_core::wire::{BlockShape, FrameFlags, Shard};
use lumen_core::{
    ChannelId, ChannelSecret, DatagramBatch, Direction, FrameMeta, Opened, Opener, Output, Packetiser,
    PacketiserConfig, Reassembler, ReassemblerConfig, Sealer, Timestamp,
};

use crate::Script;

/// A reassembler and what must hold of it.
struct Witness {
    reassembler: Reassembler,
    config: ReassemblerConfig,
    now: Timestamp,
    /// The number that must be told of next.
    next: u64,
    over: bool,
}

impl Witness {
    fn new(script: &mut Script<'_>) -> Self {
        let next = match script.u8() {
            255 => u64::MAX - u64::from(script.u8()),
            small => small.into(),
        };
        let config = ReassemblerConfig {
            max_frames: 1 + usize::from(script.u8() % 8),
            max_bytes: 64 + usize::from(script.u16()),
            ..ReassemblerConfig::starting_at(next)
        };
        Self { reassembler: Reassembler::new(config), config, now: Timestamp::from_ns(0), next, over: false }
    }

    /// Every frame from the first on is handed out or told to be lost, once, in order.
    fn drain(&mut self, mut frame: impl FnMut(u64, &[u8])) {
        assert!(self.reassembler.held_bytes() <= self.config.max_bytes, "more memory than it may have");
        while let Some(output) = self.reassembler.poll_output() {
            let (first, count) = match &output {
                Output::Frame(frame) => (frame.number, 1),
                Output::Lost { first, count } => (*first, *count),
                Output::NeedIdr { .. } => continue,
            };
            assert!(
                first == self.next && count > 0 && !self.over,
                "{first} + {count} where {} was due",
                self.next
            );
            (self.next, self.over) = match first.checked_add(count) {
                Some(next) => (next, false),
                None => (u64::MAX, true),
            };
            if let Output::Frame(received) = output {
                assert!(!received.unit().is_empty());
                frame(received.number, received.unit());
                self.reassembler.recycle(received);
            }
        }
    }

    /// Some time goes by, with every timeout in it; each is later than the one before.
    fn pass(&mut self, span: Duration, mut frame: impl FnMut(u64, &[u8])) {
        let end = self.now + span;
        let mut last = None;
        while let Some(due) = self.reassembler.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.reassembler.handle_timeout(self.now);
            self.drain(&mut frame);
            let still = self.reassembler.poll_timeout();
            assert!(still.is_none_or(|still| still > self.now), "it would be called again and again");
            assert!(last.is_none_or(|last| self.now > last), "time stands still");
            last = Some(self.now);
        }
        self.now = end;
    }
}

/// Any shard heads, around the frame that is due.
pub(super) fn shards(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let mut witness = Witness::new(&mut script);
    while let Some(step) = script.step() {
        if step % 8 == 0 {
            witness.pass(script.span(), |_, _| ());
            continue;
        }
        let frame = match script.u8() {
            0 => script.u64(),
            near => witness.next.saturating_add(u64::from(near) % 16).saturating_sub(4),
        };
        let (sizes, index) = (script.u8(), script.u8());
        let shape = BlockShape {
            data: 1 + u16::from(sizes & 7),
            parity: u16::from(sizes >> 3 & 3),
            shard_len: 2 * (1 + u16::from(sizes >> 5) * 8),
        };
        let flags = FrameFlags { idr: step & 0x40 != 0, repeat: step & 0x80 != 0 };
        let mut bytes = script.take(shape.shard_len.into()).to_vec();
        bytes.resize(shape.shard_len.into(), 0);
        let index = u16::from(index) % (shape.data + shape.parity);
        let shard = Shard { frame, flags, shape, index, sent: witness.now, bytes: &bytes };
        witness.reassembler.handle_shard(&shard, witness.now);
        witness.drain(|_, _| ());
    }
    witness.pass(Duration::from_secs(1), |_, _| ());
}

/// Real frames whose datagrams are lost, late, doubled and out of order: what arrives is what was sent.
pub(super) fn loss(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let parity_percent = u16::from(script.u8()).min(200);
    let config = PacketiserConfig { datagram_len: 512 + usize::from(script.u8()), parity_percent };
    let mut packetiser = Packetiser::new(config).expect("both are in range");
    let (secret, channel) = (ChannelSecret::from_bytes([7; 32]), ChannelId(9));
    let mut sealer = Sealer::new(&secret, channel, Direction::HostToClient);
    let mut opener = Opener::new(&secret, channel, Direction::HostToClient);
    let (mut counter, mut batch) = (LocalCounter::starting_at(0), DatagramBatch::new());
    let mut witness = Witness::new(&mut Script::new(&[0, 7, 255, 255]));
    let mut late: Vec<Vec<u8>> = Vec::new();
    for number in 0..3 {
        let unit = unit(number, usize::from(script.u16()) % 1024);
        let meta = FrameMeta { number, idr: number == 0, ..FrameMeta::default() };
        packetiser.packetise(&unit, &meta, &mut batch).expect("it is not too long");
        let burst =
            batch.seal_next(usize::MAX, witness.now, &mut sealer, &mut counter).expect("numbers are left");
        let sent: Vec<Vec<u8>> =
            burst.iter().flat_map(|burst| burst.datagrams()).map(<[u8]>::to_vec).collect();
        for mut datagram in sent {
            match script.u8() % 4 {
                0 => continue,
                1 => late.push(datagram.clone()),
                2 => late.extend([datagram.clone(), datagram.clone()]),
                _ => {}
            }
            receive(&mut witness, &mut opener, &mut datagram);
        }
        while script.flag()
            && let Some(mut datagram) = late.pop()
        {
            receive(&mut witness, &mut opener, &mut datagram);
        }
        witness.pass(script.span(), same);
    }
}

fn receive(witness: &mut Witness, opener: &mut Opener, datagram: &mut [u8]) {
    if let Ok(Opened::Video(shard)) = opener.open(datagram) {
        witness.reassembler.handle_shard(&shard, witness.now);
        witness.drain(same);
    }
    assert_eq!(opener.counters().forged + opener.counters().malformed, 0);
}

fn unit(number: u64, len: usize) -> Vec<u8> {
    (0..=len as u64).map(|at| (at * 31 + number * 7) as u8).collect()
}

fn same(number: u64, bytes: &[u8]) {
    assert_eq!(bytes, unit(number, bytes.len() - 1), "frame {number} is not what was sent");
}
