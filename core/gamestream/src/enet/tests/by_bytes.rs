//! Datagrams written by hand, from gamestream.md 4.6 and ENet's protocol.h.

use crate::enet::*;
use crate::hex::{decode, encode};
use lumen_core::Timestamp;
use proptest::prelude::*;
use std::time::Duration;

/// peer 0xfff, time 0x1234; CONNECT, channel 0xff, sequence 1; id 2, sessions ff ff; MTU 900, window 65,536, 48 channels,
/// no bandwidths, throttle 5000/2/2, connect id 0xdeadbeef, data 0x01020304.
const CONNECT: &str = "8fff1234 82ff0001 0002ffff 00000384 00010000 00000030 00000000 00000000 00001388 00000002 00000002 deadbeef 01020304";

fn bytes(text: &str) -> Vec<u8> {
    decode(&text.replace(' ', "")).unwrap()
}

fn at(ms: u64) -> Timestamp {
    Timestamp::from_ns(0) + Duration::from_millis(ms)
}

fn outputs(peer: &mut Peer) -> Vec<Output> {
    std::iter::from_fn(|| peer.poll_output()).collect()
}

fn sent(peer: &mut Peer) -> Vec<String> {
    let sent = outputs(peer).into_iter().filter_map(|output| match output {
        Output::Send(bytes) => Some(encode(&bytes)),
        Output::Event(_) => None,
    });
    sent.collect()
}

fn accepted() -> Peer {
    let connect = Connect::parse(&bytes(CONNECT)).unwrap();
    assert_eq!((connect.data, connect.connect_id), (0x0102_0304, 0xdead_beef));
    Peer::accept(&connect, PeerId::new(7).unwrap(), at(0x55))
}

/// One whose client has acknowledged that it was verified.
fn connected() -> Peer {
    let mut peer = accepted();
    outputs(&mut peer);
    peer.handle_datagram(&bytes("80070000 01ff0001 0001 0055"), at(0x60));
    assert_eq!(outputs(&mut peer), [Output::Event(Event::Connected)]);
    peer
}

#[test]
fn a_connect_is_verified() {
    let mut peer = accepted();
    let verify = "80020055 83ff0001 00070000 00000384 00010000 00000030 00000000 00000000 00001388 00000002 00000002 deadbeef";
    assert_eq!(sent(&mut peer), [verify.replace(' ', "")]);
}

// Sabotage: answer a connect that is cut, has no channels, or more than there may be.
#[test]
fn what_is_no_connect_is_not_one() {
    let whole = bytes(CONNECT);
    for len in 0..whole.len() {
        assert_eq!(Connect::parse(&whole[..len]), None, "{len} bytes");
    }
    for (place, value) in [(0, 0x87), (4, 2), (4, 0x83), (5, 0), (23, 0), (22, 1)] {
        let mut other = whole.clone();
        other[place] = value;
        assert_eq!(Connect::parse(&other), None, "byte {place} = {value}");
    }
    assert_eq!(PeerId::of(&whole), None);
    assert_eq!(PeerId::of(&bytes("0007")), PeerId::new(7));
    assert_eq!(PeerId::of(&bytes("4007")), None, "compressed");
}

#[test]
fn a_message_is_acknowledged_delivered_once_and_in_order() {
    let mut peer = connected();
    // Channel 1, sequence 2 comes before sequence 1.
    peer.handle_datagram(&bytes("80070010 86010002 0002 4242"), at(0x70));
    assert_eq!(sent(&mut peer), ["80020070010100020002".to_owned() + "0010"], "acknowledged, and held");
    peer.handle_datagram(&bytes("80070020 86010001 0001 41"), at(0x80));
    let message = |bytes: &[u8]| Output::Event(Event::Message { channel: 1, bytes: bytes.to_vec() });
    let ack = Output::Send(bytes("80020080 01010001 00010020"));
    assert_eq!(outputs(&mut peer), [message(b"A"), message(b"BB"), ack.clone()]);
    peer.handle_datagram(&bytes("80070020 86010001 0001 41"), at(0x80));
    assert_eq!(outputs(&mut peer), [ack], "it came again: only acknowledged");
}

// Sabotage: draw new bytes, or a new sequence, for what is sent again.
#[test]
fn what_was_not_acknowledged_is_sent_again_byte_for_byte_by_the_next_process() {
    let mut peer = connected();
    peer.send(0, b"rumble", at(0x100)).unwrap();
    let command = "8600000100067275 6d626c65".replace(' ', "");
    assert_eq!(sent(&mut peer), [format!("80020100{command}")]);
    let mut next = Peer::restore(peer.record().clone(), at(0x200));
    assert_eq!(sent(&mut next), [format!("80020200{command}")]);
    next.handle_datagram(&bytes("80070210 01000001 0001 0200"), at(0x210));
    next.send(0, b"", at(0x211)).unwrap();
    assert_eq!(sent(&mut next), ["80020211860000020000"], "and the numbers go on");
}

// Sabotage: take a phase for granted that the process before did not live to tell.
#[test]
fn whoever_restores_a_peer_can_ask_what_became_of_it() {
    let asked = |peer: &Peer| {
        let next = Peer::restore(peer.record().clone(), at(0x80));
        (next.record().is_connected(), next.record().is_closed())
    };
    assert_eq!(asked(&accepted()), (false, false));
    let mut peer = connected();
    assert_eq!(asked(&peer), (true, false));
    // The client's goodbye is recorded, and the process dies before it tells of it.
    peer.handle_datagram(&bytes("80070070 84ff0002 00000005"), at(0x70));
    assert_eq!(asked(&peer), (false, true));
}

// Sabotage: hold 4,096 fragments, or believe a total.
#[test]
fn messages_in_fragments_have_limits() {
    let fragment =
        |sequence: u16, start: u16, count: u32, number: u32, total: u32, offset: u32, data: &[u8]| {
            let mut command = bytes("80070000 8803");
            command.extend(sequence.to_be_bytes());
            command.extend(start.to_be_bytes());
            command.extend((data.len() as u16).to_be_bytes());
            [count, number, total, offset].iter().for_each(|word| command.extend(word.to_be_bytes()));
            command.extend(data);
            command
        };
    let mut peer = connected();
    peer.handle_datagram(&fragment(1, 1, 2, 0, 5, 0, b"abc"), at(0x70));
    peer.handle_datagram(&fragment(2, 1, 2, 1, 5, 3, b"de"), at(0x70));
    let message = Output::Event(Event::Message { channel: 3, bytes: b"abcde".to_vec() });
    assert!(outputs(&mut peer).contains(&message));
    let (mut refused, before) = (connected(), connected().record().clone());
    for bad in [
        fragment(1, 1, 4096, 0, 4096, 0, b"a"),
        fragment(1, 1, 2, 0, 0xffff_ffff, 0, b"a"),
        fragment(1, 1, 2, 2, 5, 0, b"a"),
        fragment(1, 1, 0, 0, 5, 0, b"a"),
        fragment(1, 1, 2, 0, 5, 0xffff_ffff, b"a"),
        fragment(1, 1, 2, 0, 5, 5, b"a"),
        fragment(9, 1, 2, 0, 5, 0, b"a"),
    ] {
        refused.handle_datagram(&bad, at(0x70));
        assert_eq!(outputs(&mut refused), []);
    }
    assert_eq!(refused.record(), &before, "nothing is kept of them");
    assert_eq!(refused.counters().malformed, 7);
    // Each of these can be, but together they are no message.
    refused.handle_datagram(&fragment(1, 1, 2, 0, 5, 0, b"abc"), at(0x70));
    refused.handle_datagram(&fragment(2, 1, 2, 1, 9, 3, b"de"), at(0x70));
    assert!(!outputs(&mut refused).iter().any(|output| matches!(output, Output::Event(_))));
}

// Sabotage: acknowledge before there is room, or without end, or refuse what is next in turn: it and what takes the room
// then wait for each other for ever.
#[test]
fn what_waits_is_bounded() {
    let mut peer = connected();
    for sequence in 2u16..300 {
        let [high, low] = sequence.to_be_bytes();
        let head = [&bytes("80070000 8600")[..], &[high, low, 0x03, 0xe0]].concat();
        peer.handle_datagram(&[head, vec![0; 992]].concat(), at(0x70));
    }
    assert!(peer.record().held_bytes() <= MAX_HELD_BYTES);
    assert_eq!(sent(&mut peer).len(), MAX_HELD_BYTES / 1024);
    // What all that waits for is taken, however little room is left.
    let first = [&bytes("80070000 8600 0001 03e0")[..], &[0; 992]].concat();
    peer.handle_datagram(&first, at(0x71));
    let is_message = |output: &Output| matches!(output, Output::Event(Event::Message { .. }));
    let messages = outputs(&mut peer).into_iter().filter(is_message).count();
    assert_eq!(messages, 1 + MAX_HELD_BYTES / 1024);
    assert_eq!(peer.record().held_bytes(), 0);
    let mut silent = connected();
    let taken = (0..1000).take_while(|_| silent.send(0, &[0; 100], at(0x70)).is_ok()).count();
    assert_eq!(taken, MAX_UNACKED - 2);
    assert_eq!(silent.send(0, &[0; 100], at(0x70)), Err(SendError::Full));
    assert_eq!(connected().send(0, &[0; 900], at(0x70)), Err(SendError::TooLong { got: 900 }));
    assert_eq!(connected().send(48, b"", at(0x70)), Err(SendError::Channel { got: 48 }));
    assert_eq!(accepted().send(0, b"", at(0x70)), Err(SendError::NotConnected));
}

// Sabotage: count unreliable messages on after a reliable one, or deliver one before the reliable one that it follows.
#[test]
fn unreliable_messages_come_once_and_never_before_what_they_follow() {
    let mut peer = connected();
    let mut delivers = |datagram: &str| {
        peer.handle_datagram(&bytes(datagram), at(0x70));
        outputs(&mut peer).iter().any(|output| matches!(output, Output::Event(_)))
    };
    let (second, after_reliable) = ("80070000 07010000 0002 0001 41", "80070000 07010001 0001 0001 43");
    assert!(delivers(second));
    assert!(!delivers(second), "it came twice");
    assert!(!delivers("80070000 07010000 0001 0001 40"), "it was overtaken");
    assert!(!delivers(after_reliable), "the reliable one is missing");
    assert!(delivers("80070000 86010001 0001 42"));
    assert!(delivers(after_reliable), "they are counted anew after each reliable one");
    assert!(!delivers("80070000 07010000 0003 0001 44"), "it belongs before the reliable one");
}

#[test]
fn foreign_sessions_and_early_messages_are_not_heard() {
    let mut peer = connected();
    peer.handle_datagram(&bytes("90070010 86010001 0001 41"), at(0x70));
    peer.handle_datagram(&bytes("80080010 86010001 0001 41"), at(0x70));
    assert_eq!((outputs(&mut peer), peer.counters().foreign), (vec![], 2));
    let mut early = accepted();
    outputs(&mut early);
    early.handle_datagram(&bytes("80070010 86010001 0001 41"), at(0x70));
    assert_eq!(outputs(&mut early), [], "neither delivered nor acknowledged");
}

#[test]
fn goodbyes_are_heard_both_ways() {
    let mut peer = connected();
    peer.handle_datagram(&bytes("80070010 84ff0002 00000005"), at(0x70));
    let closed = Output::Event(Event::Closed(CloseReason::ByClient { data: 5 }));
    let ack = Output::Send(bytes("80020070 01ff0002 00020010"));
    assert_eq!(outputs(&mut peer), [closed, ack.clone()]);
    peer.handle_datagram(&bytes("80070010 84ff0002 00000005"), at(0x70));
    assert_eq!(outputs(&mut peer), [ack], "the client did not hear");
    assert_eq!(peer.poll_timeout(), None);
    let mut ours = connected();
    ours.disconnect(9, at(0x70));
    assert_eq!(sent(&mut ours), ["8002007084ff000200000009"]);
    ours.handle_datagram(&bytes("80070010 01ff0002 00020070"), at(0x80));
    assert_eq!(outputs(&mut ours), [Output::Event(Event::Closed(CloseReason::ByHost))]);
}

// Sabotage: wait for the acknowledgement of a ping only, or ping without end.
#[test]
fn a_silent_client_is_asked_and_then_given_up() {
    let mut peer = connected();
    let (mut now, mut pings) = (at(0x60), 0);
    let closed = loop {
        now = peer.poll_timeout().expect("no deadline while open").max(now);
        peer.handle_timeout(now);
        let outputs = outputs(&mut peer);
        pings += outputs.iter().filter(|output| matches!(output, Output::Send(_))).count();
        if let Some(Output::Event(event)) = outputs.last() {
            break event.clone();
        }
        assert!(peer.poll_timeout().is_some_and(|when| when > now), "a deadline was missed");
    };
    assert_eq!(closed, Event::Closed(CloseReason::TimedOut));
    assert_eq!(now, at(0x60) + TIMEOUT);
    assert!((5..30).contains(&pings), "{pings} pings");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived(
        datagrams in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..80), 0u8..13, any::<bool>()), 1..20),
    ) {
        let mut peer = connected();
        for (mut datagram, kind, aimed) in datagrams {
            let _ = (Connect::parse(&datagram), PeerId::of(&datagram));
            if aimed {
                let head = [0x80, 7, 0, 0, kind | 0x80];
                datagram.splice(..datagram.len().min(head.len()), head);
            }
            peer.handle_datagram(&datagram, at(100));
            prop_assert!(peer.record().held_bytes() <= MAX_HELD_BYTES);
            prop_assert!(peer.poll_timeout().is_none_or(|when| when > at(100)));
        }
    }
}
