//! One session between its launch and its PLAY.

use super::message::{Method, Parsed, Request, RtspError, answer};
use super::offer::Offer;
use super::sdp::{Sdp, SdpError, StreamConfig};
use super::seal;
use crate::hex;
use crate::keys::{SessionKey, Side};
use lumen_core::Timestamp;
use std::collections::VecDeque;
use std::time::Duration;

/// Within which a client that launched must play; clients try to connect for 10 s.
pub const NEGOTIATION_DEADLINE: Duration = Duration::from_secs(15);
/// Any number: clients repeat it, and nothing depends on it.
const SESSION: &str = "1;timeout = 90";

/// Where the session's datagrams arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Of audio.
    pub audio: u16,
    /// Of video.
    pub video: u16,
    /// Of control.
    pub control: u16,
}

/// Random values that a client repeats on its ports, so that its session is found before anything can be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// In each ping to the audio port, as 16 hexadecimal digits.
    pub audio: [u8; 8],
    /// In each ping to the video port, likewise.
    pub video: [u8; 8],
    /// In ENet's connect.
    pub control: u32,
}

impl Tokens {
    /// What pings carry: exactly 16 characters.
    pub fn ping_payload(token: [u8; 8]) -> [u8; 16] {
        let mut payload = [0; 16];
        payload.iter_mut().zip(hex::encode(&token).bytes()).for_each(|(to, from)| *to = from);
        payload
    }
}

/// What the session became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The client chose; open the pipeline.
    Configured(StreamConfig),
    /// The client wants pictures.
    Play,
    /// It did not play in time: end the session.
    TimedOut,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Write this to the connection of the message that was handled, then close it.
    Answer(Vec<u8>),
    /// Something the caller should know.
    Event(Event),
}

/// Why a message was not answered: close its connection. The session goes on, since anyone can connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The key does not open it.
    #[error("the message is not of this session")]
    NotMine,
    /// Its number is not higher than all before.
    #[error("message {number} came again")]
    Replayed {
        /// Its number.
        number: u32,
    },
    /// It is no request.
    #[error(transparent)]
    Malformed(#[from] RtspError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Which of audio, video and control were set up.
    Offering {
        set_up: [bool; 3],
        deadline: Timestamp,
    },
    Announced {
        deadline: Timestamp,
    },
    Playing,
    Over,
}

/// RTSP of one session.
#[derive(Debug)]
pub struct Negotiation {
    state: State,
    offer: Offer,
    ports: Ports,
    tokens: Tokens,
    /// With which messages are sealed.
    key: Option<SessionKey>,
    /// The highest number of a client's message.
    received: u32,
    /// The number of the last answer.
    sent: u32,
    outputs: VecDeque<Output>,
}

impl Negotiation {
    /// A session that was launched just now. `key` is the session's, if its client seals RTSP.
    pub fn new(offer: Offer, ports: Ports, tokens: Tokens, key: Option<SessionKey>, now: Timestamp) -> Self {
        let deadline = now + NEGOTIATION_DEADLINE;
        Self {
            state: State::Offering { set_up: [false; 3], deadline },
            offer,
            ports,
            tokens,
            key,
            received: 0,
            sent: 0,
            outputs: VecDeque::new(),
        }
    }

    /// A whole message of a connection ([`seal::Framing`], [`Request::parse`]).
    ///
    /// # Errors
    /// [`Refused`]; with [`Refused::NotMine`] try the next session.
    pub fn handle_message(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let (number, text) = match &self.key {
            Some(key) => seal::open(key, Side::Client, bytes).map_err(|_| Refused::NotMine)?,
            None if seal::Framing::of(bytes)? == seal::Framing::Plain => (0, bytes.to_vec()),
            None => return Err(Refused::NotMine),
        };
        if self.key.is_some() && number <= self.received {
            return Err(Refused::Replayed { number });
        }
        self.received = number;
        let Parsed::Whole(request) = Request::parse(&text)? else {
            return Err(RtspError::RequestLine.into());
        };
        let text = self.handle(&request);
        self.answer(&text);
        Ok(())
    }

    /// Call it at [`poll_timeout`](Self::poll_timeout).
    pub fn handle_timeout(&mut self, now: Timestamp) {
        if self.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.state = State::Over;
            self.outputs.push_back(Output::Event(Event::TimedOut));
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        match self.state {
            State::Offering { deadline, .. } | State::Announced { deadline } => Some(deadline),
            State::Playing | State::Over => None,
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn answer(&mut self, text: &[u8]) {
        let bytes = match &self.key {
            Some(key) => {
                // One answer a message, and a message's number is never taken twice: it cannot run over before the client's.
                self.sent += 1;
                seal::seal(key, Side::Host, self.sent, text)
            }
            None => text.to_vec(),
        };
        self.outputs.push_back(Output::Answer(bytes));
    }

    fn handle(&mut self, request: &Request) -> Vec<u8> {
        let cseq = request.cseq;
        let ok = |headers: &[(&str, String)], payload: &str| answer(200, "OK", cseq, headers, payload);
        let not_now = || answer(455, "Method Not Valid in This State", cseq, &[], "");
        match (self.state, request.method) {
            (State::Over, _) => answer(454, "Session Not Found", cseq, &[], ""),
            (_, Method::Options) => {
                ok(&[("Public", "OPTIONS, DESCRIBE, SETUP, ANNOUNCE, PLAY".to_owned())], "")
            }
            (_, Method::Describe) => ok(&[], &self.offer.sdp()),
            (State::Offering { set_up, deadline }, Method::Setup) => match self.set_up(&request.target) {
                Some((stream, headers)) => {
                    let set_up =
                        std::array::from_fn(|index| set_up.get(index) == Some(&true) || index == stream);
                    self.state = State::Offering { set_up, deadline };
                    ok(&headers, "")
                }
                None => answer(404, "Stream Not Found", cseq, &[], ""),
            },
            (State::Offering { set_up: [true, true, true], deadline }, Method::Announce) => {
                match self.choose(request) {
                    Ok(config) => {
                        self.state = State::Announced { deadline };
                        self.outputs.push_back(Output::Event(Event::Configured(config)));
                        ok(&[], "")
                    }
                    Err(error) => answer(400, &error.to_string(), cseq, &[], ""),
                }
            }
            (State::Announced { .. }, Method::Play) => {
                self.state = State::Playing;
                self.outputs.push_back(Output::Event(Event::Play));
                ok(&[("Session", SESSION.to_owned())], "")
            }
            (State::Playing, Method::Play) => ok(&[("Session", SESSION.to_owned())], ""),
            _ => not_now(),
        }
    }

    /// The index of the stream that `target` names, and what its SETUP is answered.
    fn set_up(&self, target: &str) -> Option<(usize, Vec<(&'static str, String)>)> {
        let payload = |token| String::from_utf8_lossy(&Tokens::ping_payload(token)).into_owned();
        let stream = target.strip_prefix("streamid=")?;
        let (index, port, own) = match stream.split('/').next()? {
            "audio" => (0, self.ports.audio, ("X-SS-Ping-Payload", payload(self.tokens.audio))),
            "video" => (1, self.ports.video, ("X-SS-Ping-Payload", payload(self.tokens.video))),
            "control" => (2, self.ports.control, ("X-SS-Connect-Data", self.tokens.control.to_string())),
            _ => return None,
        };
        let transport = ("Transport", format!("server_port={port}"));
        Some((index, vec![("Session", SESSION.to_owned()), transport, own]))
    }

    fn choose(&self, request: &Request) -> Result<StreamConfig, SdpError> {
        let sdp = Sdp::parse(&request.body)?;
        // Clients ask for less audio by pretending to speak to this host.
        let low_audio = request.host.contains("0.0.0.0");
        StreamConfig::choose(&sdp, &self.offer, low_audio)
    }
}
