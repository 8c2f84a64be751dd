use crate::pair::{Client, Host, meta, ms, survivors, unit};
use lumen_core::Output;
use lumen_core::wire::{BLOCK_HEAD_LEN, MAX_UNIT_LEN};
use proptest::prelude::*;

/// 1 byte to 8 MiB, each power of two as likely.
fn len() -> impl Strategy<Value = usize> {
    prop_oneof![
        20 => (0u32..24, 0.0..1.0f64).prop_map(|(power, part)| {
            (((1u64 << power) as f64 * (1.0 + part)) as usize).clamp(1, MAX_UNIT_LEN)
        }),
        // The lengths at which a block gains a shard.
        5 => (1usize..9, 0usize..4).prop_map(|(shards, less)| shards * 1344 - BLOCK_HEAD_LEN + 2 - less),
        1 => Just(MAX_UNIT_LEN),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    // Sabotage: recover only when all of the parity came, hand parity to the wrong index, or drop the padding's length.
    #[test]
    fn any_loss_within_parity_is_recovered(len in len(), percent in 0u16..=120, seed: u64, spare in 0.0..1.5f64) {
        let (mut host, mut client) = (Host::new(percent), Client::new());
        let unit = unit(len, seed);
        let datagrams = host.send(&unit, &meta(0), ms(3));
        let parity = parity(&host, len, percent);
        // In half of the cases as many are lost as can be, else fewer.
        let keep = datagrams.len() - parity + (parity as f64 * (spare - 0.5).max(0.0)) as usize;
        for datagram in survivors(datagrams, keep, seed) {
            client.receive(&datagram, ms(4)).unwrap();
        }
        let outputs = client.outputs();
        prop_assert_eq!(outputs.len(), 1);
        let Output::Frame(frame) = &outputs[0] else { panic!("{outputs:?}") };
        prop_assert!(frame.unit() == unit);
        prop_assert!(frame.decodable && frame.idr && !frame.repeat);
        prop_assert_eq!(frame.timeline, meta(0).timeline);
        prop_assert_eq!((frame.first_sent, frame.last_sent, frame.completed), (ms(3), ms(3), ms(4)));
    }

    // Sabotage: take one shard too few for enough, or hand out a block whose recovery failed.
    #[test]
    fn one_loss_more_is_a_lost_frame_and_never_wrong_bytes(len in len(), percent in 0u16..=120, seed: u64) {
        let (mut host, mut client) = (Host::new(percent), Client::new());
        let datagrams = host.send(&unit(len, seed), &meta(0), ms(3));
        let keep = datagrams.len() - parity(&host, len, percent) - 1;
        for datagram in survivors(datagrams, keep, seed) {
            client.receive(&datagram, ms(4)).unwrap();
        }
        prop_assert!(client.outputs().is_empty());
        for datagram in host.send(b"next", &meta(1), ms(20)) {
            client.receive(&datagram, ms(20)).unwrap();
        }
        client.reassembler.handle_timeout(ms(1000));
        let outputs = client.outputs();
        let [Output::Lost { first: 0, count: 1 }, Output::Frame(frame), Output::NeedIdr { after_frame: 0 }] = &outputs[..]
        else { panic!("{outputs:?}") };
        prop_assert_eq!(frame.unit(), b"next");
        prop_assert!(!frame.decodable);
    }
}

/// How many datagrams of the frame sent last may be lost, after checking that the parity is what was asked for.
fn parity(host: &Host, len: usize, percent: u16) -> usize {
    let shape = host.shape.unwrap();
    let (data, parity, shard_len) =
        (usize::from(shape.data), usize::from(shape.parity), usize::from(shape.shard_len));
    assert!((data - 1) * shard_len < BLOCK_HEAD_LEN + len && BLOCK_HEAD_LEN + len <= data * shard_len);
    assert!(parity * 100 >= data * usize::from(percent) && parity * 100 < data * usize::from(percent) + 100);
    parity
}
