//! Messages of links, as a hostile stage could send them.

use lumen_ipc::codec::{MAX_MESSAGE, decode, encode};
use lumen_ipc::handshake::{Hello, MAGIC, SCHEMA};
use lumen_ipc::pool::MAX_BUFFERS;
use lumen_ipc::{LinkMessage, Stage, capture, encode as encoded, input, sound};

use crate::Script;

/// One message of the link that the first byte names.
pub(super) fn messages(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    match script.u8() % 10 {
        0 => message::<capture::FromCapture>(script.rest(), frame),
        1 => message::<capture::ToCapture>(script.rest(), |_| ()),
        2 => message::<encoded::FromEncode>(script.rest(), |_| ()),
        3 => message::<encoded::ToEncode>(script.rest(), |_| ()),
        4 => message::<input::ToInput>(script.rest(), held),
        5 => message::<input::FromInput>(script.rest(), |_| ()),
        6 => message::<sound::FromSink>(script.rest(), |_| ()),
        7 => message::<sound::ToSink>(script.rest(), |_| ()),
        8 => message::<sound::FromOpus>(script.rest(), |_| ()),
        _ => message::<sound::ToOpus>(script.rest(), |_| ()),
    }
}

/// What is read is written as the same bytes, and asks for no more descriptors than a message can carry.
fn message<T: LinkMessage>(bytes: &[u8], check: impl Fn(&T)) {
    let Ok(message) = decode::<T>(bytes) else {
        return;
    };
    assert!(bytes.len() <= MAX_MESSAGE, "{message:?} is longer than a message may be");
    let mut buffer = [0; MAX_MESSAGE];
    let len = encode(&message, &mut buffer).expect("what was read fits");
    assert_eq!(buffer.get(..len), Some(bytes), "{message:?} is written otherwise than it was read");
    assert!(message.fds().count <= MAX_BUFFERS, "{message:?} wants {:?}", message.fds());
    let _ = message.delivery();
    check(&message);
}

/// What a reader computes of a message before it believes it.
fn frame(message: &capture::FromCapture) {
    match message {
        capture::FromCapture::Frame(frame) => {
            for rect in frame.damage.rects() {
                let inside = rect.clip(1280, 720);
                assert!(inside.is_none_or(|rect| rect.x + rect.width <= 1280 && rect.y + rect.height <= 720));
            }
            let mut all = lumen_ipc::Damage::full(1280, 720);
            (0..=lumen_ipc::Damage::MAX_RECTS).for_each(|_| all.unite(&frame.damage));
            assert!(all.rects().len() <= lumen_ipc::Damage::MAX_RECTS);
        }
        capture::FromCapture::Ready { mode } => {
            let _ = mode.check();
            assert!(mode.frame_ns() > 0, "{mode:?}");
        }
        capture::FromCapture::Pool(pool) => {
            let bytes = pool.layout.bytes();
            assert!(bytes.is_ok_and(|bytes| bytes > 0) || pool.layout.bytes().is_err());
        }
        _ => {}
    }
}

fn held(message: &input::ToInput) {
    match message {
        input::ToInput::Held(held) => assert!(held.len() <= input::MAX_HELD),
        input::ToInput::Fingers { down, .. } => assert!(down.len() <= input::MAX_FINGERS),
        _ => {}
    }
}

/// A greeting is accepted only from the stage that is expected, in this schema.
pub(super) fn handshake(bytes: &[u8]) {
    let Ok(hello) = decode::<Hello>(bytes) else {
        return;
    };
    for expected in Stage::ALL {
        let fits = hello.magic == MAGIC && hello.schema == SCHEMA && hello.stage == expected;
        assert_eq!(hello.check(expected).is_ok(), fits, "{hello:?} as {expected}");
    }
    message::<Hello>(bytes, |_| ());
}
