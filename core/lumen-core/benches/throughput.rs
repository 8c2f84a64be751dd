//! What a CPU second sends and receives, and what its parts would do alone: `cargo bench -p lumen-core`.
//!
//! Figures are Gbit of access units per second of this thread's CPU time, so that a busy machine says nearly the same.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a tool: a panic here is its error message")]

use lumen_core::seal::LocalCounter;
use lumen_core::{
    ChannelId, ChannelSecret, DatagramBatch, Direction, FrameMeta, Opened, Opener, Output, Packetiser,
    PacketiserConfig, Reassembler, ReassemblerConfig, Sealer, Timestamp,
};
use lumen_netem::Rng;
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

const CHANNEL: ChannelId = ChannelId(1);
const AT_LEAST: Duration = Duration::from_millis(400);

fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Runs `frame` until enough time went by; Gbit/s for `bytes` bytes each.
fn measure(bytes: usize, mut frame: impl FnMut(u64)) -> f64 {
    let mut number = 0;
    while number < 3 {
        frame(number);
        number += 1;
    }
    let (start, first) = (cpu(), number);
    while cpu() - start < AT_LEAST {
        frame(number);
        number += 1;
    }
    (number - first) as f64 * bytes as f64 * 8.0 / (cpu() - start).as_secs_f64() / 1e9
}

fn secret() -> ChannelSecret {
    ChannelSecret::from_bytes([1; 32])
}

fn meta(number: u64) -> FrameMeta {
    FrameMeta { number, idr: true, ..FrameMeta::default() }
}

fn packetiser(parity_percent: u16) -> Packetiser {
    Packetiser::new(PacketiserConfig { parity_percent, ..PacketiserConfig::default() }).unwrap()
}

/// Cutting and parity without seals.
fn cut(unit: &[u8], parity: u16) -> f64 {
    let (mut packetiser, mut batch) = (packetiser(parity), DatagramBatch::new());
    measure(unit.len(), |number| {
        batch.clear();
        packetiser.packetise(unit, &meta(number), &mut batch).unwrap();
    })
}

/// AES-128-GCM over 1,400 bytes, again and again in the same place.
fn seal() -> f64 {
    let mut sealer = Sealer::new(&secret(), CHANNEL, Direction::HostToClient);
    let mut datagram = [0; 1400];
    measure(1400 * 100, |round| {
        for sequence in round * 100..round * 100 + 100 {
            sealer.seal(lumen_core::wire::Kind::Video, sequence, &mut datagram).unwrap();
        }
    })
}

/// All that the sender does for a frame but the syscall.
fn send(unit: &[u8], parity: u16) -> f64 {
    let (mut packetiser, mut batch) = (packetiser(parity), DatagramBatch::new());
    let mut sealer = Sealer::new(&secret(), CHANNEL, Direction::HostToClient);
    let mut counter = LocalCounter::default();
    measure(unit.len(), |number| {
        packetiser.packetise(unit, &meta(number), &mut batch).unwrap();
        while batch.seal_next(46, Timestamp::from_ns(number), &mut sealer, &mut counter).unwrap().is_some() {}
    })
}

/// Sends and receives with a loss, less the sender's time, which is measured in the same loop.
fn receive(unit: &[u8], parity: u16, loss: f64) -> (f64, u64) {
    let (mut packetiser, mut batch) = (packetiser(parity), DatagramBatch::new());
    let mut sealer = Sealer::new(&secret(), CHANNEL, Direction::HostToClient);
    let (mut counter, mut rng) = (LocalCounter::default(), Rng::new(1));
    let mut opener = Opener::new(&secret(), CHANNEL, Direction::HostToClient);
    let mut reassembler = Reassembler::new(ReassemblerConfig::starting_at(0));
    let (mut datagrams, mut spent, mut whole) = (Vec::new(), Duration::ZERO, 0);
    for number in 0.. {
        let now = Timestamp::from_ns(number * 16_000_000);
        datagrams.clear();
        packetiser.packetise(unit, &meta(number), &mut batch).unwrap();
        let len = batch.segment_len();
        while let Some(burst) = batch.seal_next(46, now, &mut sealer, &mut counter).unwrap() {
            burst
                .datagrams()
                .filter(|_| !rng.chance(loss))
                .for_each(|datagram| datagrams.extend_from_slice(datagram));
        }
        let start = cpu();
        for datagram in datagrams.chunks_exact_mut(len) {
            if let Ok(Opened::Video(shard)) = opener.open(datagram) {
                reassembler.handle_shard(&shard, now);
            }
        }
        while let Some(output) = reassembler.poll_output() {
            if let Output::Frame(frame) = output {
                whole += 1;
                reassembler.recycle(frame);
            }
        }
        spent += cpu() - start;
        if spent > AT_LEAST {
            break;
        }
    }
    let gbits = whole as f64 * unit.len() as f64 * 8.0 / spent.as_secs_f64() / 1e9;
    (gbits, reassembler.counters().recovered_frames)
}

fn main() {
    println!("Gbit/s of access units per CPU second, datagrams of 1,400 bytes");
    println!("AES-128-GCM alone: {:.1}", seal());
    println!(
        "{:>10} {:>7} {:>10} {:>10} {:>12} {:>12} {:>14}",
        "unit", "parity", "cut + FEC", "send", "receive", "5 % lost", "(recovered)"
    );
    for len in [2_000, 20_000, 200_000, 2_000_000] {
        let mut unit = vec![0; len];
        Rng::new(7).fill(&mut unit);
        for parity in [0, 20, 50] {
            let (lossless, _) = receive(&unit, parity, 0.0);
            let (lossy, recovered) = receive(&unit, parity, 0.05);
            println!(
                "{len:>10} {parity:>6}% {:>10.1} {:>10.1} {lossless:>12.1} {lossy:>12.1} {recovered:>14}",
                cut(&unit, parity),
                send(&unit, parity),
            );
        }
    }
}
