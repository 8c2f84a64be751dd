//! Golden bytes. Provenance: computed from docs/lumen1.md by a script of ours with Python's hmac and the `cryptography`
//! package 48.0, which share no code with this crate.

use crate::pair::ms;
use lumen_core::control::{
    Codec, Decoder, Launch, Launched, Message, Microphone, Mode, ModeChanged, Notice, NoticeKind,
    PointerMoved, PointerShape, PointerSpot, SessionId,
};
use lumen_core::seal::{EPOCH_BITS, LocalCounter};
use lumen_core::{
    ChannelId, ChannelSecret, DatagramBatch, Direction, FrameMeta, Opened, Opener, Packetiser,
    PacketiserConfig, Sealer, Timeline, Timestamp,
};

const DATAGRAM: &str = "010100007856341203000004000000006ea677fe0be6c25d3c4b0bdcc8fdf6c410c602c1362c9966e17a6cd17f1deb61f7\
    325dc2e02fecabc0fa75c5ceb344c46288e5eedb1902e9bf58defca4756ad7eaffa3d829d8acc7791fd8c163b5319919ed6b14c4a4";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn at(ns: u64) -> Timestamp {
    Timestamp::from_ns(ns)
}

// Sabotage: any change of a layout, a label, the key schedule or the nonce.
#[test]
fn a_sealed_datagram_is_the_one_that_another_implementation_makes() {
    let secret = ChannelSecret::from_bytes(std::array::from_fn(|index| index as u8));
    let channel = ChannelId(0x1234_5678);
    let mut packetiser =
        Packetiser::new(PacketiserConfig { parity_percent: 0, ..PacketiserConfig::default() }).unwrap();
    let mut sealer = Sealer::new(&secret, channel, Direction::HostToClient);
    let (mut batch, mut counter) = (DatagramBatch::new(), LocalCounter::starting_at((1 << EPOCH_BITS) + 3));
    let timeline =
        Timeline { dequeued: at(100), encode_begin: at(200), encode_end: at(300), packetised: at(400) };
    packetiser
        .packetise(b"lumen", &FrameMeta { number: 7, idr: true, repeat: false, timeline }, &mut batch)
        .unwrap();
    let burst = batch.seal_next(1, at(555), &mut sealer, &mut counter).unwrap().unwrap();
    assert_eq!(hex(burst.bytes), DATAGRAM);

    let mut datagram = burst.bytes.to_vec();
    let mut opener = Opener::new(&secret, channel, Direction::HostToClient);
    let Ok(Opened::Video(shard)) = opener.open(&mut datagram) else { panic!("it was sealed for us") };
    assert_eq!((shard.frame, shard.index, shard.sent), (7, 0, at(555)));
    assert!(shard.flags.idr && !shard.flags.repeat);
}

#[test]
fn a_control_message_is_type_length_fields() {
    let launch = Launch {
        mode: Mode { width: 1280, height: 720, refresh_mhz: 60_000 },
        bitrate_bps: 10_000_000,
        parity_percent: 20,
        datagram_len: 1400,
        app: Some("a".into()),
        codecs: vec![Codec::H264, Codec::Av1],
        is_pointer_separate: true,
        channels: 6,
        has_microphone: true,
    };
    let expected = "02001e00\
        00050000d002000060ea0000\
        80969800\
        1400\
        7805\
        01\
        010061\
        020103\
        01\
        06\
        01";
    assert_eq!(hex(&Message::Launch(launch.clone()).to_bytes()), expected);
    // What a client of before there were microphones says, and one of before there was sound.
    for (cut, channels) in [(1, 6), (2, 0)] {
        let mut bytes = Message::Launch(launch.clone()).to_bytes();
        bytes.truncate(bytes.len() - cut);
        bytes[2] -= cut as u8;
        let mut decoder = Decoder::new();
        decoder.push(&bytes);
        let old = Launch { channels, has_microphone: false, ..launch.clone() };
        assert_eq!(decoder.next_message(), Ok(Some(Message::Launch(old))));
    }
    assert_eq!(hex(&Message::Ping { sent: ms(1) }.to_bytes()), "0800080040420f0000000000");
}

// Written by hand from docs/lumen1.md § 2. Sabotage: another number for an answer, or refuse a host that gives none.
#[test]
fn whether_a_microphone_is_taken_is_said_last() {
    let launched = |microphone| Launched {
        session: SessionId([7; 16]),
        channel: ChannelId(1),
        video_port: 258,
        mode: Mode { width: 1, height: 2, refresh_mhz: 3 },
        codec: Codec::H264,
        next_frame: 4,
        microphone,
    };
    let answers = [
        Microphone::None,
        Microphone::Taken,
        Microphone::NotAllowed,
        Microphone::NoSound,
        Microphone::Unknown(4),
    ];
    for (code, answer) in answers.into_iter().enumerate() {
        let mut bytes = Message::Launched(launched(answer)).to_bytes();
        assert!(hex(&bytes).starts_with("04002c00") && hex(&bytes).ends_with(&format!("{code:02x}")));
        let mut decoder = Decoder::new();
        decoder.push(&bytes);
        assert_eq!(decoder.next_message(), Ok(Some(Message::Launched(launched(answer)))));
        bytes.pop();
        bytes[2] -= 1;
        decoder.push(&bytes);
        assert_eq!(decoder.next_message(), Ok(Some(Message::Launched(launched(Microphone::None)))));
    }
}

// Written by hand from docs/lumen1.md § 2. Sabotage: write the spot before the flag, or the shape's rows before their head.
#[test]
fn the_pointer_is_what_the_table_says() {
    let spot = PointerSpot { x: 640, y: -2, shape: 3 };
    let moved = |spot| hex(&Message::PointerMoved(PointerMoved { spot }).to_bytes());
    assert_eq!(moved(Some(spot)), "12000d000180020000feffffff03000000");
    assert_eq!(moved(None), "12000d0000000000000000000000000000");
    let pixels = vec![1, 2, 3, 4, 5, 6, 7, 8];
    let shape = PointerShape { id: 3, width: 1, height: 2, hotspot_x: 0, hotspot_y: 1, pixels };
    let pieces: Vec<_> = shape.pieces().map(|piece| hex(&Message::PointerRows(piece).to_bytes())).collect();
    assert_eq!(
        pieces,
        ["11001c000300000001000200000000000100000000000200\
        0102030405060708"]
    );
}

// Written by hand from docs/lumen1.md § 2. Sabotage: another number for a message or for a kind of notice.
#[test]
fn changes_in_mid_stream_are_what_the_table_says() {
    let mode = Mode { width: 1920, height: 1080, refresh_mhz: 59_940 };
    let fields = "800700003804000024ea0000";
    assert_eq!(hex(&Message::SetMode(mode).to_bytes()), format!("0e000c00{fields}"));
    let changed = Message::ModeChanged(ModeChanged { mode, next_frame: 258 });
    assert_eq!(hex(&changed.to_bytes()), format!("10001400{fields}0201000000000000"));
    let kinds = [NoticeKind::Running, NoticeKind::Waiting, NoticeKind::Locked, NoticeKind::AppEnded];
    for (code, kind) in kinds.into_iter().enumerate() {
        let notice = Notice { kind, text: "ab".into(), advice: String::new() };
        assert_eq!(hex(&Message::Notice(notice).to_bytes()), format!("0f000700{code:02x}020061620000"));
    }
}
