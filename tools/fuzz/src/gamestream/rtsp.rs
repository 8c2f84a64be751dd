//! RTSP of one session, from whoever connects to its port.

use lumen_core::Timestamp;
use lumen_gamestream::http::answers::Codecs;
use lumen_gamestream::keys::{SessionKey, Side};
use lumen_gamestream::rtsp::{Event, Negotiation, Offer, Output, Parsed, Ports, Request, Tokens, seal};

use super::sdp;
use crate::Script;

const KEY: SessionKey = SessionKey::from_bytes([7; 16]);
const PORTS: Ports = Ports { audio: 48000, video: 47998, control: 47999 };
const TOKENS: Tokens = Tokens { audio: [1; 8], video: [0xab; 8], control: 4_000_000_000 };
/// What is really there.
pub(super) const OFFER: Offer = Offer {
    codecs: Codecs::H264,
    invalidates_references: true,
    touch: true,
    pad_sensors: false,
    seal_video: false,
};

/// A session that speaks in the clear.
pub(super) fn plain(bytes: &[u8]) {
    Witness::new(None).run(bytes);
}

/// One that seals.
pub(super) fn sealed(bytes: &[u8]) {
    Witness::new(Some(KEY)).run(bytes);
}

struct Witness {
    negotiation: Negotiation,
    key: Option<SessionKey>,
    now: Timestamp,
    /// The highest number of a message that was taken.
    number: u32,
    answers: u32,
    events: Vec<&'static str>,
}

impl Witness {
    fn new(key: Option<SessionKey>) -> Self {
        let now = Timestamp::from_ns(0);
        let negotiation = Negotiation::new(OFFER, PORTS, TOKENS, key, now);
        Self { negotiation, key, now, number: 0, answers: 0, events: Vec::new() }
    }

    /// Steps: time; raw bytes; the requests of a session in any order, with any announcement.
    fn run(mut self, bytes: &[u8]) {
        let mut script = Script::new(bytes);
        while let Some(step) = script.step() {
            match step % 8 {
                0 => self.pass(&mut script),
                1 => {
                    let count = usize::from(script.u16());
                    self.raw(script.take(count));
                }
                2 => {
                    let count = usize::from(script.u16());
                    self.say(script.take(count), step >> 3);
                }
                3 => self.say(b"SETUP streamid=audio/0/0 RTSP/1.0\r\nCSeq: 1\r\n\r\n", step >> 3),
                4 => self.say(b"SETUP streamid=video/0/0 RTSP/1.0\r\nCSeq: 1\r\n\r\n", step >> 3),
                5 => self.say(b"SETUP streamid=control/13/0 RTSP/1.0\r\nCSeq: 1\r\n\r\n", step >> 3),
                6 => {
                    let count = usize::from(script.u16());
                    let body = script.take(count);
                    let head =
                        format!("ANNOUNCE x RTSP/1.0\r\nCSeq: 1\r\nContent-length: {}\r\n\r\n", body.len());
                    self.say(&[head.as_bytes(), body].concat(), step >> 3);
                }
                _ => self.say(b"PLAY / RTSP/1.0\r\nCSeq: 1\r\n\r\n", step >> 3),
            }
        }
    }

    fn pass(&mut self, script: &mut Script<'_>) {
        self.now = self.now + script.span();
        self.negotiation.handle_timeout(self.now);
        assert!(
            self.negotiation.poll_timeout().is_none_or(|due| due > self.now),
            "a deadline that was missed stays"
        );
        while let Some(output) = self.negotiation.poll_output() {
            assert_eq!(output, Output::Event(Event::TimedOut));
            assert!(
                !self.events.contains(&"play") && !self.events.contains(&"late"),
                "late after {:?}",
                self.events
            );
            self.events.push("late");
        }
    }

    /// Bytes of someone who has no key are not answered where there is one.
    fn raw(&mut self, bytes: &[u8]) {
        let whole = Request::parse(bytes);
        let (half, _) = bytes.split_at(bytes.len() / 2);
        match Request::parse(half) {
            Ok(Parsed::Partial) => {}
            decided => assert_eq!(decided, whole, "what came later changed what was decided"),
        }
        let _ = seal::Framing::of(bytes);
        let taken = self.negotiation.handle_message(bytes).is_ok();
        assert!(!taken || self.key.is_none(), "who has no key was heard");
        self.drain(taken);
    }

    /// A request of the client; `repeat` 1 says it again under the same number.
    fn say(&mut self, text: &[u8], repeat: u8) {
        let Some(key) = self.key else {
            return self.raw(text);
        };
        self.number += u32::from(repeat != 1);
        let number = self.number;
        let message = seal::seal(&key, Side::Client, number, text);
        let opened = seal::open(&key, Side::Client, &message);
        assert_eq!(opened, Ok((number, text.to_vec())));
        let taken = self.negotiation.handle_message(&message).is_ok();
        assert!(!taken || repeat != 1, "a number was taken twice");
        self.drain(taken);
        assert!(self.negotiation.handle_message(&message).is_err(), "it was taken again");
        assert_eq!(self.negotiation.poll_output(), None);
    }

    /// One answer to what was taken, none to what was not.
    fn drain(&mut self, taken: bool) {
        let mut answers = 0;
        while let Some(output) = self.negotiation.poll_output() {
            match output {
                Output::Event(event) => self.happened(event),
                Output::Answer(bytes) => {
                    answers += 1;
                    self.answers += 1;
                    let text = match &self.key {
                        None => bytes,
                        Some(key) => {
                            let (number, text) =
                                seal::open(key, Side::Host, &bytes).expect("the host sealed it");
                            assert_eq!(number, self.answers, "answers are numbered without gaps");
                            text
                        }
                    };
                    let text = String::from_utf8(text).expect("answers are text");
                    let (status, rest) = text.split_once("\r\n").expect("a line ends");
                    assert!(
                        status.starts_with("RTSP/1.0 ") && !status.contains(char::is_control),
                        "{status:?}"
                    );
                    assert!(rest.starts_with("CSeq: ") && rest.contains("\r\n\r\n"), "{rest:?}");
                }
            }
        }
        assert_eq!(answers, u32::from(taken));
    }

    fn happened(&mut self, event: Event) {
        match event {
            Event::Configured(config) => {
                sdp::check(&config);
                assert!(self.events.is_empty(), "configured after {:?}", self.events);
                self.events.push("configured");
            }
            Event::Play => {
                assert_eq!(self.events, ["configured"]);
                self.events.push("play");
            }
            Event::TimedOut => assert!(self.events.is_empty(), "time passes in pass"),
        }
    }
}
