use super::*;
use crate::record::{slot::SLOT_HEAD, tests::fixed};
use lumen_core::Timestamp;
use lumen_gamestream::{
    enet::{Connect, Peer, PeerId},
    hex::decode,
    http::answers::Codecs,
    rtsp::{Offer, Sdp},
};

/// ENet's connect, 48 channels, connect id 0xdeadbeef, data 7.
pub const CONNECT: &str = "8fff123482ff00010002ffff00000384000100000000003000000000000000000000138800000002000000\
                           02deadbeef00000007";

fn config() -> StreamConfig {
    let sdp = "a=x-nv-video[0].clientViewportWd:1280\na=x-nv-video[0].clientViewportHt:720\na=x-nv-video[0].maxFPS:60\n\
               a=x-nv-video[0].packetSize:1024\na=x-ml-video.configuredBitrateKbps:10000\n\
               a=x-nv-vqos[0].bitStreamFormat:0\na=x-nv-general.useReliableUdp:13\na=x-ss-general.encryptionEnabled:1\n";
    let offer = Offer {
        codecs: Codecs::H264,
        invalidates_references: false,
        touch: false,
        pad_sensors: false,
        seal_video: false,
    };
    StreamConfig::choose(&Sdp::parse(sdp).unwrap(), &offer, false).unwrap()
}

/// Whose connect carries 7.
pub fn terms() -> Terms {
    Terms { key: [3; 16], app: -5, video: *b"0123456789abcdef", control: 7, config: config() }
}

fn talk(held: u16) -> Talk {
    let connect = Connect::parse(&decode(CONNECT).unwrap()).unwrap();
    let peer = Peer::accept(&connect, PeerId::new(1).unwrap(), Timestamp::from_ns(1));
    Talk {
        peer: peer.record().clone(),
        window: ReplayWindow::default(),
        held: ArrayVec::from_iter([held]),
        to: ([127, 0, 0, 1], 5).into(),
        from: None,
    }
}

fn record() -> Record {
    Record::make_gamestream(&fixed(1), &terms(), 5).unwrap()
}

/// Sabotage: number frames from 0, leave the key out, or keep the parity in the process.
#[test]
fn the_next_incarnation_knows_what_was_agreed() {
    let record = record();
    assert!(!record.is_playing() && record.talk().is_none());
    record.set_playing();
    assert_eq!(record.control_numbers().reserve(2), Some(0));
    record.set_parity(35);
    record.set_talk(1, &talk(30));
    let (next, known) = Record::adopt(record.duplicate().unwrap()).unwrap();
    assert_eq!((known, next.terms()), (fixed(1), Some(terms())));
    assert_eq!((next.next_frame(), next.is_playing(), next.parity()), (1, true, 35));
    assert_eq!(next.control_numbers().reserve(1), Some(2));
    assert_eq!((next.talk(), next.talk_turn()), (Some(talk(30)), 1));
    assert!(Record::make(&fixed(1), 5).unwrap().terms().is_none(), "of lumen/1");
}

/// Sabotage: write all turns into one slot, or the checksum first.
#[test]
fn a_talk_that_was_half_written_is_the_one_before() {
    let record = record();
    (1..=4).for_each(|turn| record.set_talk(turn, &talk(turn as u16)));
    assert_eq!(record.talk(), Some(talk(4)));
    record.lock().bytes_mut()[talk_at(4) + SLOT_HEAD + 3] ^= 1;
    assert_eq!((record.talk(), record.talk_turn()), (Some(talk(3)), 3));
}
