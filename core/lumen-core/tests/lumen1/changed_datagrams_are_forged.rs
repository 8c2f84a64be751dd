use crate::pair::{Client, Host, meta, ms, unit};
use lumen_core::{OpenError, Output};
use lumen_netem::Rng;

// Sabotage: leave the header out of the authenticated data, look into the replay window before the tag is checked, or take
// an unknown version for malformed.
#[test]
fn each_of_ten_thousand_flipped_bits_is_counted_and_changes_no_frame() {
    let (mut host, mut client, mut rng) = (Host::new(20), Client::new(), Rng::new(11));
    let mut flipped = 0;
    for number in 0..200 {
        let unit = unit(60_000, number);
        for datagram in host.send(&unit, &meta(number), ms(number * 16)) {
            // Before and after the good one, so that a changed sequence number meets both a new and a known one.
            flipped += u64::from(flip_and_send(&mut client, &datagram, &mut rng, number));
            client.receive(&datagram, ms(number * 16)).unwrap();
            flipped += u64::from(flip_and_send(&mut client, &datagram, &mut rng, number));
        }
        let outputs = client.outputs();
        let [Output::Frame(frame)] = &outputs[..] else { panic!("{outputs:?}") };
        assert!(frame.unit() == unit && frame.recovered_shards == 0);
    }
    assert!(flipped >= 10_000, "only {flipped}");
    assert_eq!(client.opener.counters().forged, flipped);
    assert_eq!(client.opener.counters().malformed + client.opener.counters().replayed, 0);
}

fn flip_and_send(client: &mut Client, datagram: &[u8], rng: &mut Rng, number: u64) -> bool {
    let mut changed = datagram.to_vec();
    // The header is 1 % of a datagram: half of the flips go there.
    let bits = if rng.chance(0.5) { 16 * 8 } else { datagram.len() * 8 };
    let bit = rng.below(bits as u64) as usize;
    changed[bit / 8] ^= 1 << (bit % 8);
    assert_eq!(client.receive(&changed, ms(number * 16)), Err(OpenError::Forged), "bit {bit}");
    true
}

#[test]
fn a_datagram_counts_once() {
    let (mut host, mut client) = (Host::new(0), Client::new());
    let datagrams = host.send(&unit(100_000, 1), &meta(0), ms(1));
    for datagram in datagrams.iter().chain(&datagrams) {
        let _ = client.receive(datagram, ms(1));
    }
    assert_eq!(client.opener.counters().opened, datagrams.len() as u64);
    assert_eq!(client.opener.counters().replayed, datagrams.len() as u64);
    assert_eq!(client.outputs().len(), 1);
}

#[test]
fn a_truncated_datagram_is_forged_or_malformed() {
    let (mut host, mut client) = (Host::new(0), Client::new());
    let datagram = &host.send(&unit(900, 1), &meta(0), ms(1))[0];
    for len in 0..datagram.len() {
        assert!(client.receive(&datagram[..len], ms(1)).is_err(), "{len} bytes were accepted");
    }
    let counters = client.opener.counters();
    assert_eq!((counters.malformed, counters.forged), (32, datagram.len() as u64 - 32));
    client.receive(datagram, ms(1)).unwrap();
}

#[test]
fn what_the_client_seals_is_not_taken_for_the_hosts() {
    let (mut host, mut client) = (Host::new(0), Client::new());
    let hello = host.sealer.seal_hello(ms(1), &mut host.counter).unwrap();
    assert_eq!(client.receive(&hello, ms(1)), Err(OpenError::Forged));
}
