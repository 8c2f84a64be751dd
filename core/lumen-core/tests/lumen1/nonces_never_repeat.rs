use crate::pair::{CHANNEL, Client, Host, meta, ms, secret, unit};
use lumen_core::seal::{EPOCH_BITS, LocalCounter, SealError};
use lumen_core::wire::Header;
use lumen_core::{Direction, Opener, Output, Sealer, SequenceCounter};
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

fn sequence(datagram: &[u8]) -> u64 {
    Header::parse(datagram).unwrap().0.sequence()
}

// Sabotage: reserve after sealing, or reserve one number too few.
#[test]
fn a_successor_goes_on_where_the_shared_counter_stands() {
    let shared = AtomicU64::new(0);
    let mut seen = HashSet::new();
    for life in 0..50 {
        let mut host = Host::new(20);
        let mut counter = &shared;
        host.packetiser.packetise(&unit(200_000, life), &meta(life), &mut host.batch).unwrap();
        // Each process dies somewhere in its first frame: what it sealed last was perhaps never sent.
        for _ in 0..=life % 4 {
            let burst = host.batch.seal_next(46, ms(1), &mut host.sealer, &mut counter).unwrap().unwrap();
            for datagram in burst.datagrams() {
                assert!(sequence(datagram) < shared.load(Ordering::SeqCst));
                assert!(seen.insert(sequence(datagram)));
            }
        }
    }
    assert_eq!(seen.len() as u64, shared.load(Ordering::SeqCst));
}

#[test]
fn hello_and_video_share_no_key() {
    let (mut to_client, mut to_host) = (
        Sealer::new(&secret(), CHANNEL, Direction::HostToClient),
        Sealer::new(&secret(), CHANNEL, Direction::ClientToHost),
    );
    let one = to_client.seal_hello(ms(1), &mut LocalCounter::default()).unwrap();
    let other = to_host.seal_hello(ms(1), &mut LocalCounter::default()).unwrap();
    assert_eq!(one[..16], other[..16]);
    assert_ne!(one[16..], other[16..]);
    let mut opener = Opener::new(&secret(), CHANNEL, Direction::ClientToHost);
    assert!(opener.open(&mut other.clone()).is_ok());
    assert!(opener.open(&mut one.clone()).is_err());
}

// Sabotage: derive the same key for all epochs in one of Sealer and Opener, or forget the previous key.
#[test]
fn a_new_epoch_has_a_new_key_and_late_datagrams_of_the_old_one_are_opened() {
    let (mut host, mut client) = (Host::new(0), Client::new());
    host.counter = LocalCounter::starting_at((1 << EPOCH_BITS) - 5);
    let unit = unit(13_000, 1);
    let mut datagrams = host.send(&unit, &meta(0), ms(1));
    assert!(sequence(&datagrams[4]) >> EPOCH_BITS == 0 && sequence(&datagrams[5]) >> EPOCH_BITS == 1);
    datagrams.reverse();
    for datagram in datagrams {
        client.receive(&datagram, ms(1)).unwrap();
    }
    let outputs = client.outputs();
    let [Output::Frame(frame)] = &outputs[..] else { panic!("{outputs:?}") };
    assert!(frame.unit() == unit);
}

#[test]
fn an_epoch_beyond_reason_costs_no_key() {
    let (mut host, mut client) = (Host::new(0), Client::new());
    host.counter = LocalCounter::starting_at(2000 << EPOCH_BITS);
    let datagram = &host.send(b"x", &meta(0), ms(1))[0];
    assert!(client.receive(datagram, ms(1)).is_err());
}

#[test]
fn a_counter_at_its_end_seals_nothing() {
    let mut host = Host::new(0);
    host.counter = LocalCounter::starting_at(u64::MAX - 1);
    host.packetiser.packetise(&unit(5000, 1), &meta(0), &mut host.batch).unwrap();
    let sealed = host.batch.seal_next(46, ms(1), &mut host.sealer, &mut host.counter);
    assert_eq!(sealed.err(), Some(SealError::Exhausted));
    let shared = AtomicU64::new(u64::MAX);
    assert_eq!((&shared).reserve(1), None);
}
