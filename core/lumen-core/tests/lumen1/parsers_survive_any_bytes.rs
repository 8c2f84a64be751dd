use crate::pair::{CHANNEL, Client, secret};
use lumen_core::control::{Decoder, Message};
use lumen_core::wire::{BlockHead, Header, HelloBody, Kind, Shard};
use lumen_core::{ClientConfig, ClientSession, Direction, Fingerprint, HostSession, Sealer, Timestamp};
use proptest::prelude::*;

fn zero() -> Timestamp {
    Timestamp::from_ns(0)
}

fn launch() -> lumen_core::control::Launch {
    let mode = lumen_core::control::Mode { width: 1, height: 1, refresh_mhz: 1 };
    lumen_core::control::Launch {
        mode,
        bitrate_bps: 1,
        parity_percent: 1,
        datagram_len: 1400,
        app: None,
        codecs: Vec::new(),
        is_pointer_separate: false,
        channels: 0,
        has_microphone: false,
    }
}

/// Message heads that lead into every field parser, then anything.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let message = (0u16..18, prop::collection::vec(any::<u8>(), 0..80)).prop_map(|(kind, fields)| {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend((fields.len() as u16).to_le_bytes());
        bytes.extend(fields);
        bytes
    });
    prop_oneof![
        prop::collection::vec(message, 0..6).prop_map(|messages| messages.concat()),
        prop::collection::vec(any::<u8>(), 0..200),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn datagram_parsers_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Header::parse(&bytes);
        let _ = Shard::parse(&bytes);
        let _ = BlockHead::parse(&bytes);
        let _ = HelloBody::parse(&bytes);
        let _ = lumen_core::sound::Packet::parse(&bytes);
        let mut client = Client::new();
        prop_assert!(client.receive(&bytes, zero()).is_err());
        prop_assert_eq!(client.opener.counters().opened, 0);
    }

    // What a hostile host can seal: any head, any block.
    #[test]
    fn sealed_nonsense_never_panics(
        bodies in prop::collection::vec((0u64..4, 0u16..5, 0u16..5, 0u16..5, 0usize..60), 1..40),
        wild: bool,
        seed: u64,
    ) {
        let mut client = Client::new();
        let mut sealer = Sealer::new(&secret(), CHANNEL, Direction::HostToClient);
        let mut rng = lumen_netem::Rng::new(seed);
        for (sequence, (frame, shard, data, parity, len)) in bodies.into_iter().enumerate() {
            let mut datagram = vec![0; 16 + 24 + len * 2 + 16];
            rng.fill(&mut datagram);
            if !wild {
                datagram[16..24].copy_from_slice(&frame.to_le_bytes());
                for (place, number) in [(32, shard), (34, data), (36, parity)] {
                    datagram[place..place + 2].copy_from_slice(&number.to_le_bytes());
                }
                datagram[38..40].fill(0);
            }
            sealer.seal(Kind::Video, sequence as u64, &mut datagram).unwrap();
            let _ = client.receive(&datagram, zero());
            while client.reassembler.poll_output().is_some() {}
        }
        prop_assert_eq!(client.opener.counters().forged, 0);
        client.reassembler.handle_timeout(Timestamp::from_ns(u64::MAX));
    }

    #[test]
    fn control_streams_never_panic_and_say_the_same_in_pieces(bytes in stream(), cut in 0.0..1.0f64) {
        let mut whole = Decoder::new();
        whole.push(&bytes);
        let messages = read_all(&mut whole);
        let mut pieces = Decoder::new();
        let (head, tail) = bytes.split_at((bytes.len() as f64 * cut) as usize);
        pieces.push(head);
        let (mut cut_messages, failed) = read_all(&mut pieces);
        if !failed {
            pieces.push(tail);
            let (more, failed) = read_all(&mut pieces);
            cut_messages.extend(more);
            prop_assert_eq!((cut_messages, failed), messages);
        }
    }

    #[test]
    fn sessions_never_panic(bytes in stream(), greeted: bool) {
        let hello = Message::Hello(lumen_core::control::Hello::new("peer")).to_bytes();
        let mut client = ClientSession::new(ClientConfig { name: "me".into(), launch: launch() }, zero());
        let mut host = HostSession::new("host", zero());
        if greeted {
            client.handle_bytes(&hello, zero());
            host.handle_bytes(&hello, zero());
        }
        client.handle_bytes(&bytes, zero());
        host.handle_bytes(&bytes, zero());
        while client.poll_output().is_some() {}
        while host.poll_output().is_some() {}
    }

    #[test]
    fn fingerprints_never_panic(text in "\\PC{0,100}") {
        let _ = text.parse::<Fingerprint>();
    }
}

fn read_all(decoder: &mut Decoder) -> (Vec<Message>, bool) {
    let mut messages = Vec::new();
    loop {
        match decoder.next_message() {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => return (messages, false),
            Err(_) => return (messages, true),
        }
    }
}
