//! Both ends of the control stream, at the mercy of the other.

use lumen_core::control::{
    Codec, Launch, Launched, MAX_POINTER_SIDE, Message, ModeChanged, Notice, NoticeKind, PointerMoved,
    RefusalClass, Refused, SessionId,
};
use lumen_core::session::Output;
use lumen_core::{ChannelId, ClientConfig, ClientEvent, ClientSession, HostEvent, HostSession, Timestamp};

use super::MODE;
use crate::Script;

/// A client of any bytes; the owner of the host's side does what it may.
pub(super) fn host(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let (mut now, mut closed) = (Timestamp::from_ns(0), false);
    let mut host = HostSession::new("host", now);
    let mut seen = Vec::new();
    while let Some(step) = script.step() {
        match step % 16 {
            0 => {
                now = now + script.span();
                host.handle_timeout(now);
                assert!(host.poll_timeout().is_none_or(|due| due > now), "a deadline that was missed stays");
            }
            1 => host.launched(launched()),
            2 => host.refuse(refused()),
            3 => host.notice(Notice { kind: NoticeKind::Waiting, text: "t".into(), advice: String::new() }),
            4 => host.mode_changed(ModeChanged { mode: MODE, next_frame: 5 }),
            5 => host.pointer_moved(PointerMoved { spot: None }),
            6 => host.bye("bye"),
            kind @ 7..12 => host.handle_bytes(&message(kind, script.piece()), now),
            _ => host.handle_bytes(script.piece(), now),
        }
        while let Some(output) = host.poll_output() {
            assert!(!closed, "{output:?} after the close");
            match output {
                Output::Event(event) => judge(&mut seen, &event),
                Output::Close(_) => closed = true,
                Output::Send(bytes) => {
                    assert!(!seen.is_empty() || is_bye_or_hello(&bytes), "said to a stranger")
                }
            }
        }
    }
}

/// Nothing is asked for before the hello, nothing wanted before the launch.
fn judge(seen: &mut Vec<&'static str>, event: &HostEvent) {
    match event {
        HostEvent::ClientNamed(name) => {
            assert!(seen.is_empty() && name.len() <= 256);
            seen.push("hello");
        }
        HostEvent::Launch(_) | HostEvent::Resume(_) => {
            assert_eq!(seen.as_slice(), ["hello"]);
            seen.push("launch");
        }
        _ => assert_eq!(seen.as_slice(), ["hello", "launch"], "{event:?}"),
    }
}

fn is_bye_or_hello(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(1 | 13))
}

/// A host of any bytes; the client's owner dials again when it is told to.
pub(super) fn client(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let (mut now, mut closed, mut session) = (Timestamp::from_ns(0), false, None);
    let mut client = ClientSession::new(ClientConfig { name: "me".into(), launch: launch() }, now);
    while let Some(step) = script.step() {
        match step % 16 {
            0 => {
                now = now + script.span();
                client.handle_timeout(now);
                assert!(
                    client.poll_timeout().is_none_or(|due| due > now),
                    "a deadline that was missed stays"
                );
            }
            1 => client.connection_lost(now),
            2 => client.connected(now),
            3 => client.request_idr(script.u64()),
            4 => client.set_mode(MODE),
            5 => client.ping(now),
            6 => client.stop(),
            7 => client.handle_bytes(&Message::Launched(launched()).to_bytes(), now),
            kind @ 8..13 => client.handle_bytes(&message(kind + 4, script.piece()), now),
            _ => client.handle_bytes(script.piece(), now),
        }
        while let Some(output) = client.poll_output() {
            assert!(!closed, "{output:?} after the close");
            match output {
                Output::Event(ClientEvent::Launched(launched)) => {
                    assert!(session.is_none(), "launched twice");
                    session = Some(launched.session);
                }
                Output::Event(ClientEvent::Resumed(launched)) => assert_eq!(session, Some(launched.session)),
                Output::Event(ClientEvent::PointerShape(shape)) => {
                    let sides = 1..=MAX_POINTER_SIDE;
                    assert!(sides.contains(&shape.width) && sides.contains(&shape.height));
                    assert_eq!(shape.pixels.len(), usize::from(shape.width) * usize::from(shape.height) * 4);
                }
                Output::Close(_) => closed = true,
                Output::Event(_) | Output::Send(_) => {}
            }
        }
    }
}

/// A message with a head that fits, so that its fields are reached.
fn message(kind: u8, fields: &[u8]) -> Vec<u8> {
    let kind = match kind {
        7 => 1,
        8 => 2,
        other => other,
    };
    [&[kind, 0, fields.len() as u8, 0][..], fields].concat()
}

fn launch() -> Launch {
    Launch {
        mode: MODE,
        bitrate_bps: 1,
        parity_percent: 1,
        datagram_len: 1400,
        app: None,
        codecs: vec![Codec::H264],
        is_pointer_separate: true,
        channels: 0,
        has_microphone: false,
    }
}

fn launched() -> Launched {
    Launched {
        session: SessionId([3; 16]),
        channel: ChannelId(4),
        video_port: 5,
        mode: MODE,
        codec: Codec::H264,
        next_frame: 6,
        microphone: lumen_core::control::Microphone::None,
    }
}

fn refused() -> Refused {
    Refused { class: RefusalClass::Busy, text: "t".into(), advice: "a".into() }
}
