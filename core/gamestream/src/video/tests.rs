use super::*;
use crate::keys::SessionKey;
use fec_rs::ReedSolomon;
use lumen_core::seal::LocalCounter;
use lumen_netem::Rng;
use proptest::prelude::*;
use std::time::Duration;

const KEY: SessionKey = SessionKey::from_bytes([0x42; 16]);

fn meta(number: u32) -> FrameMeta {
    FrameMeta {
        number,
        kind: FrameType::Predicted,
        timestamp: 0x0102_0304,
        latency: Duration::from_micros(2_550),
        long_term: false,
    }
}

fn unit(len: usize) -> Vec<u8> {
    let mut rng = Rng::new(len as u64);
    let mut unit = vec![0; len];
    rng.fill(&mut unit);
    unit
}

fn config(packet_size: u16, parity_percent: u8) -> PacketiserConfig {
    PacketiserConfig { packet_size, parity_percent, min_parity: 2 }
}

/// The datagrams of a frame.
fn send(config: PacketiserConfig, unit: &[u8], meta: &FrameMeta, counter: &mut LocalCounter) -> Vec<Vec<u8>> {
    let mut batch = Batch::new();
    Packetiser::new(config, None).unwrap().packetise(unit, meta, counter, &mut batch).unwrap();
    let len = batch.segment_len();
    batch.take(usize::MAX).chunks(len).map(<[u8]>::to_vec).collect()
}

/// Of a shard, what a client reads.
struct Head {
    sequence: u16,
    frame: u32,
    block: u8,
    last_block: u8,
    percent: usize,
    shard: usize,
    data: usize,
}

fn head(shard: &[u8]) -> Head {
    let word = |at: usize| u32::from_le_bytes(shard[at..at + 4].try_into().unwrap());
    let info = word(28);
    assert_eq!((shard[0], &shard[8..16]), (0x90, &[0; 8][..]));
    Head {
        sequence: u16::from_be_bytes([shard[2], shard[3]]),
        frame: word(20),
        block: shard[27] >> 4 & 3,
        last_block: shard[27] >> 6,
        percent: (info >> 4 & 0xff) as usize,
        shard: (info >> 12 & 0x3ff) as usize,
        data: (info >> 22) as usize,
    }
}

/// The 24-bit index, which parity restores.
fn index_of(shard: &[u8]) -> u32 {
    u32::from_le_bytes(shard[16..20].try_into().unwrap()) >> 8
}

/// A client by gamestream.md 4.7: checks each datagram as clients do, mends each block, and gives the unit.
fn receive(datagrams: &[Vec<u8>], frame: u32) -> Option<Vec<u8>> {
    let mut payloads: Vec<Vec<u8>> = Vec::new();
    let blocks = head(datagrams.first()?).last_block + 1;
    for block in 0..blocks {
        let own: Vec<_> = datagrams.iter().filter(|shard| head(shard).block == block).collect();
        let first = head(own.first()?);
        let (data, parity) = (first.data, (first.data * first.percent).div_ceil(100));
        let mut shards: Vec<Option<Vec<u8>>> = vec![None; data + parity];
        for shard in own {
            let head = head(shard);
            assert_eq!((head.frame, head.data, head.percent), (frame, data, first.percent));
            shards[head.shard] = Some(shard.clone());
        }
        if shards.iter().take(data).any(Option::is_none) {
            ReedSolomon::new(data, parity).ok()?.reconstruct_data(&mut shards).ok()?;
        }
        for (index, shard) in shards.iter().take(data).flatten().enumerate() {
            let flags = 1 | if index == 0 { 4 } else { 0 } | if index + 1 == data { 2 } else { 0 };
            assert_eq!((shard[24], shard[25], shard[26]), (flags, 0, 0x10), "also of mended shards");
            let previous = shards[index.saturating_sub(1)].as_ref()?;
            let step = u32::from(index > 0);
            assert_eq!((index_of(previous) + step) & 0xff_ffff, index_of(shard), "indices are in a row");
            payloads.push(shard[32..].to_vec());
        }
    }
    let last = usize::from(u16::from_le_bytes([payloads[0][4], payloads[0][5]]));
    payloads.last_mut()?.truncate(last);
    let frame = payloads.concat();
    assert_eq!((frame[0], &frame[1..3], &frame[6..8]), (1, &25u16.to_le_bytes()[..], &[0, 0][..]));
    Some(frame[8..].to_vec())
}

// Bytes by gamestream.md 4.7.
#[test]
fn a_datagram_has_the_layout_that_clients_read() {
    let mut counter = LocalCounter::starting_at(0x01_fffe);
    let datagrams =
        send(config(512, 20), &unit(900), &FrameMeta { kind: FrameType::Idr, ..meta(7) }, &mut counter);
    assert_eq!(datagrams.len(), 4, "two data, two parity");
    assert!(datagrams.iter().all(|datagram| datagram.len() == 528));
    let expected = "9000fffe010203040000000000000000 00feff01 07000000 05001000 40068000 011900029c010000"
        .replace(' ', "");
    assert_eq!(crate::hex::encode(&datagrams[0][..40]), expected);
    let second = "9000ffff010203040000000000000000 00ffff01 07000000 03001000 40168000".replace(' ', "");
    assert_eq!(crate::hex::encode(&datagrams[1][..32]), second);
    let parity = head(&datagrams[3]);
    assert_eq!((parity.sequence, parity.shard, parity.percent, parity.data), (1, 3, 100, 2));
}

// Sabotage: restart any of the numbers with a frame, or cut one to the wrong width.
#[test]
fn numbers_wrap_without_an_anomaly() {
    for power in [16, 24, 31, 32] {
        let start = (1u64 << power) - 100;
        let (mut counter, mut number) = (LocalCounter::starting_at(start), start);
        for frame in 0..30u32 {
            let frame = (start as u32).wrapping_add(frame);
            let unit = unit(5000);
            let datagrams = send(config(512, 20), &unit, &meta(frame), &mut counter);
            for datagram in &datagrams {
                assert_eq!(head(datagram).sequence, number as u16);
                assert_eq!(head(datagram).frame, frame);
                number += 1;
            }
            assert_eq!(receive(&datagrams[1..], frame), Some(unit), "mended across 2^{power}");
        }
        assert!(number > 1 << power);
    }
}

// Sabotage: seal before the parity is made, with a nonce of another width, or without the frame's number.
#[test]
fn each_shard_is_sealed_by_itself() {
    let mut packetiser = Packetiser::new(config(480, 20), Some(&KEY)).unwrap();
    let (mut batch, mut counter) = (Batch::new(), LocalCounter::starting_at(u64::from(u32::MAX)));
    let sent = unit(3000);
    packetiser.packetise(&sent, &meta(9), &mut counter, &mut batch).unwrap();
    assert_eq!(batch.segment_len(), 480 + 16 + 32);
    let len = batch.segment_len();
    let mut opened = Vec::new();
    for (datagram, number) in batch.take(usize::MAX).chunks(len).zip(u64::from(u32::MAX)..) {
        assert_eq!(datagram[..8], number.to_le_bytes());
        assert_eq!((&datagram[8..12], &datagram[12..16]), (&b"\0\0\0V"[..], &9u32.to_le_bytes()[..]));
        let nonce = datagram[..12].try_into().unwrap();
        opened.push(KEY.cipher().open(nonce, &datagram[16..32], &datagram[32..]).unwrap());
    }
    assert_eq!(receive(&opened[2..], 9), Some(sent));
}

#[test]
fn what_cannot_be_sent_is_refused_and_uses_no_number() {
    let refused = |config| Packetiser::new(config, None).err();
    assert_eq!(refused(config(15, 0)), Some(PacketiseError::PacketSize { got: 15 }));
    assert_eq!(refused(config(65_535, 0)), Some(PacketiseError::PacketSize { got: 65_535 }));
    assert_eq!(refused(config(1392, 101)), Some(PacketiseError::Parity { got: 101 }));
    let mut packetiser = Packetiser::new(config(480, 20), None).unwrap();
    let (mut batch, mut counter) = (Batch::new(), LocalCounter::starting_at(u64::MAX - 2));
    let most = 4092 * 464 - 8;
    for got in [0, most + 1] {
        let error = packetiser.packetise(&vec![0; got], &meta(1), &mut counter, &mut batch);
        assert_eq!(error, Err(PacketiseError::UnitLen { got, most }));
    }
    let error = packetiser.packetise(&unit(1), &meta(1), &mut counter, &mut batch);
    assert_eq!(error, Err(PacketiseError::Exhausted), "three shards, two numbers");
    let mut counter = LocalCounter::default();
    packetiser.packetise(&unit(1), &meta(1), &mut counter, &mut batch).unwrap();
    let error = packetiser.packetise(&unit(1), &meta(2), &mut counter, &mut batch);
    assert_eq!(error, Err(PacketiseError::BatchInUse { waiting: 3 }));
    assert_eq!(batch.take(2).len(), 2 * 496);
    assert_eq!(batch.take(2).len(), 496);
    assert!(batch.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    // Sabotage: cover a byte by parity that changes later, or leave one uncovered that does not.
    #[test]
    fn any_loss_within_the_parity_is_mended(
        len in prop_oneof![1usize..3000, 1usize..300_000], packet_size in 480u16..1500, percent in 0u8..=60, seed: u64,
    ) {
        let (sent, mut rng) = (unit(len), Rng::new(seed));
        let mut datagrams = send(config(packet_size, percent), &sent, &meta(1), &mut LocalCounter::starting_at(seed >> 1));
        for block in 0..=head(&datagrams[0]).last_block {
            let shards = datagrams.iter().filter(|shard| head(shard).block == block).count();
            let data = datagrams.iter().map(|shard| head(shard)).find(|head| head.block == block).unwrap().data;
            for left in 0..rng.below((shards - data) as u64 + 1) as usize {
                let victim = rng.below((shards - left) as u64) as usize;
                let place = (0..datagrams.len()).filter(|&at| head(&datagrams[at]).block == block).nth(victim);
                datagrams.remove(place.unwrap());
            }
        }
        prop_assert!(receive(&datagrams, 1) == Some(sent));
    }
}
