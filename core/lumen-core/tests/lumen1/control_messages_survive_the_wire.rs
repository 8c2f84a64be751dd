use crate::pair::ms;
use lumen_core::ChannelId;
use lumen_core::control::{
    Bye, Codec, Decoder, Finger, Hello, Input, Launch, Launched, MAX_MESSAGE_LEN, MalformedMessage, Message,
    Microphone, Mode, ModeChanged, Notice, NoticeKind, PointerMoved, PointerRows, PointerShape, PointerSpot,
    RefusalClass, Refused, SessionId, Stats,
};
use proptest::prelude::*;

fn mode() -> impl Strategy<Value = Mode> {
    (any::<u32>(), any::<u32>(), any::<u32>()).prop_map(|(width, height, refresh_mhz)| Mode {
        width,
        height,
        refresh_mhz,
    })
}

fn codec() -> impl Strategy<Value = Codec> {
    prop::sample::select(vec![Codec::H264, Codec::Hevc, Codec::Av1])
}

fn launch() -> impl Strategy<Value = Launch> {
    let codecs = prop::collection::vec(codec(), 0..16);
    let app = prop::option::of("\\PC{0,60}");
    let sound = (any::<u8>(), any::<bool>());
    (mode(), any::<u32>(), any::<u16>(), any::<u16>(), app, codecs, any::<bool>(), sound).prop_map(
        |(mode, bitrate_bps, parity_percent, datagram_len, app, codecs, is_pointer_separate, sound)| Launch {
            mode,
            bitrate_bps,
            parity_percent,
            datagram_len,
            app,
            codecs,
            is_pointer_separate,
            channels: sound.0,
            has_microphone: sound.1,
        },
    )
}

fn launched() -> impl Strategy<Value = Launched> {
    (any::<[u8; 16]>(), any::<u32>(), any::<u16>(), mode(), codec(), any::<u64>(), microphone()).prop_map(
        |(session, channel, video_port, mode, codec, next_frame, microphone)| Launched {
            session: SessionId(session),
            channel: ChannelId(channel),
            video_port,
            mode,
            codec,
            next_frame,
            microphone,
        },
    )
}

fn microphone() -> impl Strategy<Value = Microphone> {
    prop::sample::select(vec![
        Microphone::None,
        Microphone::Taken,
        Microphone::NotAllowed,
        Microphone::NoSound,
        Microphone::Unknown(9),
    ])
}

fn finger() -> impl Strategy<Value = Finger> {
    let numbers = (any::<u32>(), any::<u16>(), any::<u16>(), any::<u16>());
    numbers.prop_map(|(id, x, y, pressure)| Finger { id, x, y, pressure })
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        (any::<u16>(), any::<bool>()).prop_map(|(code, pressed)| Input::Key { code, pressed }),
        (any::<u16>(), any::<bool>()).prop_map(|(code, pressed)| Input::Button { code, pressed }),
        (any::<i32>(), any::<i32>()).prop_map(|(dx, dy)| Input::Motion { dx, dy }),
        (any::<u16>(), any::<u16>()).prop_map(|(x, y)| Input::MotionTo { x, y }),
        (any::<i32>(), any::<i32>()).prop_map(|(dx, dy)| Input::Scroll { dx, dy }),
        "\\PC{0,400}".prop_map(Input::Text),
        (any::<bool>(), prop::collection::vec(finger(), 0..12))
            .prop_map(|(cancels, down)| Input::Fingers { down, cancels }),
    ]
}

fn refused() -> impl Strategy<Value = Refused> {
    let classes = vec![
        RefusalClass::Version,
        RefusalClass::Mode,
        RefusalClass::Codec,
        RefusalClass::App,
        RefusalClass::Busy,
        RefusalClass::Backend,
        RefusalClass::Session,
        RefusalClass::Unknown(999),
    ];
    (prop::sample::select(classes), "\\PC{0,400}", "\\PC{0,400}").prop_map(|(class, text, advice)| Refused {
        class,
        text,
        advice,
    })
}

fn notice() -> impl Strategy<Value = Notice> {
    let kinds = vec![NoticeKind::Running, NoticeKind::Waiting, NoticeKind::Locked, NoticeKind::AppEnded];
    (prop::sample::select(kinds), "\\PC{0,400}", "\\PC{0,400}").prop_map(|(kind, text, advice)| Notice {
        kind,
        text,
        advice,
    })
}

fn rows() -> impl Strategy<Value = PointerRows> {
    let sizes = (1u16..=256, 1u16..=15, 0u16..=200);
    (sizes, any::<u32>(), any::<[i32; 2]>(), any::<u8>()).prop_map(
        |((width, rows, top), id, hotspot, byte)| {
            let pixels = vec![byte; usize::from(width) * usize::from(rows) * 4];
            let [hotspot_x, hotspot_y] = hotspot;
            let shape = PointerShape { id, width, height: 256, hotspot_x, hotspot_y, pixels };
            PointerRows { shape, top }
        },
    )
}

fn moved() -> impl Strategy<Value = PointerMoved> {
    prop::option::of((any::<[i32; 2]>(), any::<u32>()))
        .prop_map(|spot| PointerMoved { spot: spot.map(|([x, y], shape)| PointerSpot { x, y, shape }) })
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        (any::<u16>(), "\\PC{0,60}").prop_map(|(version, name)| Message::Hello(Hello { version, name })),
        launch().prop_map(Message::Launch),
        any::<[u8; 16]>().prop_map(|id| Message::Resume(SessionId(id))),
        launched().prop_map(Message::Launched),
        refused().prop_map(Message::Refused),
        any::<u64>().prop_map(|after_frame| Message::RequestIdr { after_frame }),
        any::<u32>().prop_map(|bps| Message::SetBitrate { bps }),
        (0u64..9000).prop_map(|at| Message::Ping { sent: ms(at) }),
        (0u64..9000).prop_map(|at| Message::Pong {
            sent: ms(at),
            received: ms(at + 1),
            answered: ms(at + 2)
        }),
        any::<[u32; 6]>().prop_map(|n| Message::Stats(Stats {
            frames: n[0].into(),
            lost_frames: n[1].into(),
            recovered_frames: n[2].into(),
            datagrams: n[3].into(),
            forged: n[4].into(),
            rtt_us: n[5],
        })),
        input().prop_map(Message::Input),
        Just(Message::Stop),
        "\\PC{0,400}".prop_map(|reason| Message::Bye(Bye { reason })),
        mode().prop_map(Message::SetMode),
        notice().prop_map(Message::Notice),
        (mode(), any::<u64>())
            .prop_map(|(mode, next_frame)| Message::ModeChanged(ModeChanged { mode, next_frame })),
        rows().prop_map(Message::PointerRows),
        moved().prop_map(Message::PointerMoved),
    ]
}

proptest! {
    // Sabotage: swap two fields in one of read and write, or leave a field out of both.
    #[test]
    fn what_is_written_is_read(messages in prop::collection::vec(message(), 0..8), piece in 1usize..100) {
        let mut stream = Vec::new();
        messages.iter().for_each(|message| message.encode(&mut stream));
        let (mut decoder, mut read) = (Decoder::new(), Vec::new());
        for piece in stream.chunks(piece) {
            decoder.push(piece);
            while let Some(message) = decoder.next_message().unwrap() {
                read.push(message);
            }
        }
        prop_assert_eq!(read, messages);
    }

    #[test]
    fn later_versions_may_add_fields(message in message(), more in prop::collection::vec(any::<u8>(), 0..50)) {
        let mut bytes = message.to_bytes();
        let len = u16::from_le_bytes([bytes[2], bytes[3]]) + more.len() as u16;
        bytes[2..4].copy_from_slice(&len.to_le_bytes());
        bytes.extend(more);
        let mut decoder = Decoder::new();
        decoder.push(&bytes);
        prop_assert_eq!(decoder.next_message(), Ok(Some(message)));
        prop_assert_eq!(decoder.next_message(), Ok(None));
    }

    // Sabotage: trust a text's length.
    #[test]
    fn a_message_cut_short_is_an_error(message in message(), cut in 0.0..1.0f64) {
        let bytes = message.to_bytes();
        let len = ((bytes.len() - 4) as f64 * cut) as usize;
        let mut short = bytes[..4 + len].to_vec();
        short[2..4].copy_from_slice(&(len as u16).to_le_bytes());
        let mut decoder = Decoder::new();
        decoder.push(&short);
        let read = decoder.next_message();
        prop_assert!(read == Err(MalformedMessage::Short) || bytes.len() == 4, "{read:?}");
    }
}

// Sabotage: end the session at a kind that this version does not know.
#[test]
fn a_notice_of_a_later_kind_is_skipped() {
    let known = Notice { kind: NoticeKind::Locked, text: "t".into(), advice: "a".into() };
    let mut bytes = Message::Notice(known.clone()).to_bytes();
    bytes[4] = 9;
    Message::Notice(known.clone()).encode(&mut bytes);
    let mut decoder = Decoder::new();
    decoder.push(&bytes);
    assert_eq!(decoder.next_message(), Ok(Some(Message::Notice(known))));
    assert_eq!(decoder.skipped(), 1);
}

#[test]
fn a_long_message_is_refused_before_it_came() {
    let mut decoder = Decoder::new();
    let len = MAX_MESSAGE_LEN as u16 + 1;
    decoder.push(&[0xff, 0xff, len.to_le_bytes()[0], len.to_le_bytes()[1]]);
    assert_eq!(decoder.next_message(), Err(MalformedMessage::Long { got: len.into() }));
}

#[test]
fn a_text_beyond_its_limit_is_cut_at_a_character_when_written_and_refused_when_read() {
    let message = Message::Hello(Hello { version: 1, name: "é".repeat(200) });
    let mut decoder = Decoder::new();
    decoder.push(&message.to_bytes());
    let cut = Message::Hello(Hello { version: 1, name: "é".repeat(128) });
    assert_eq!(decoder.next_message(), Ok(Some(cut)));
    let mut bytes = vec![1, 0, 5, 1, 1, 0, 1, 1];
    bytes.resize(4 + 0x105, b'x');
    decoder.push(&bytes);
    assert_eq!(decoder.next_message(), Err(MalformedMessage::TextLen { got: 257, limit: 256 }));
}
