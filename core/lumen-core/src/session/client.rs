//! The client's side of the control stream.

use super::{CloseReason, Exchange, HANDSHAKE_DEADLINE, LAUNCH_DEADLINE, Output, RESUME_DEADLINE};
use crate::clock::Sample;
use crate::control::{
    Bye, Decoder, Finger, Hello, Input, Launch, Launched, Message, Mode, ModeChanged, Notice, PointerMoved,
    PointerShape, ShapeAssembler, Stats,
};
use crate::time::Timestamp;
use std::time::Duration;

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// What people call this client.
    pub name: String,
    /// The stream it asks for.
    pub launch: Launch,
}

/// What happened, for the client's owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// The host said hello: its name, not trusted.
    HostNamed(String),
    /// The host streams: send hello datagrams to its video port.
    Launched(Launched),
    /// The host goes on with the session; keys and counters go on, too.
    Resumed(Launched),
    /// The connection was lost: dial again and call [`ClientSession::connected`]. Begin with short deadlines: a host that
    /// dies while it shakes hands leaves an attempt that nobody will answer.
    Dial,
    /// The pictures have another mode.
    ModeChanged(ModeChanged),
    /// What has become of the stream, or of the request for it: to be shown to a person.
    Notice(Notice),
    /// What a pointer looks like that this client draws itself.
    PointerShape(PointerShape),
    /// Where that pointer is.
    PointerMoved(PointerMoved),
    /// A pong, for the [`ClockEstimator`](crate::clock::ClockEstimator).
    Pong(Sample),
}

/// What was asked for while streaming, to be said again on a new connection: the host may not have heard it on the old one.
#[derive(Debug, Default)]
struct Wishes {
    bitrate_bps: Option<u32>,
    mode: Option<Mode>,
    /// The codes of all keys and buttons that are down, in the order in which they went down.
    held: Vec<u16>,
    /// All fingers that are down, from the first one on that ever was.
    fingers: Option<Vec<Finger>>,
}

impl Wishes {
    /// Keeps account of what is down.
    fn hold(&mut self, input: &Input) {
        match input {
            Input::Key { code, pressed } | Input::Button { code, pressed } => {
                self.held.retain(|held| held != code);
                self.held.extend(pressed.then_some(*code));
            }
            Input::Held(codes) => self.held.clone_from(codes),
            Input::Fingers { down, .. } => self.fingers = Some(down.clone()),
            Input::Motion { .. } | Input::MotionTo { .. } | Input::Scroll { .. } | Input::Text(_) => {}
        }
    }
}

#[derive(Debug)]
enum State {
    /// Hello and a request were sent: to launch, or to go on with the session `resumes`.
    Opening {
        greeted: bool,
        resumes: Option<Launched>,
        deadline: Timestamp,
        patience: Duration,
    },
    Streaming(Launched),
    /// `resumes` as in Opening.
    Lost {
        resumes: Option<Launched>,
        deadline: Timestamp,
    },
    Closed,
}

/// One session of a client, which outlives its connections.
#[derive(Debug)]
pub struct ClientSession {
    config: ClientConfig,
    state: State,
    /// From the first hello on, over however many connections.
    launch_by: Option<Timestamp>,
    wishes: Wishes,
    shapes: ShapeAssembler,
    exchange: Exchange<ClientEvent>,
}

impl ClientSession {
    /// Says hello and asks for a stream on a new connection's control stream.
    pub fn new(config: ClientConfig, now: Timestamp) -> Self {
        let mut exchange = Exchange::new();
        exchange.send(&Message::Hello(Hello::new(config.name.as_str())));
        exchange.send(&Message::Launch(config.launch.clone()));
        let state = State::Opening {
            greeted: false,
            resumes: None,
            deadline: now + HANDSHAKE_DEADLINE,
            patience: HANDSHAKE_DEADLINE,
        };
        let (wishes, shapes) = (Wishes::default(), ShapeAssembler::default());
        Self { config, state, launch_by: None, wishes, shapes, exchange }
    }

    /// Takes bytes of the control stream.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Timestamp) {
        self.exchange.decoder.push(bytes);
        while let Some(message) = self.exchange.next_message() {
            self.handle(message, now);
        }
    }

    /// Call it at [`poll_timeout`](Self::poll_timeout).
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let missed = match self.state {
            State::Opening { deadline, greeted: false, patience, .. } => Some((deadline, "Hello", patience)),
            State::Opening { deadline, patience, .. } => Some((deadline, "Launched", patience)),
            State::Lost { deadline, .. } => Some((deadline, "a new connection", RESUME_DEADLINE)),
            _ => None,
        };
        if let Some((deadline, waiting_for, after)) = missed
            && deadline <= now
        {
            self.close(CloseReason::Deadline { waiting_for, after });
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        match self.state {
            State::Opening { deadline, .. } | State::Lost { deadline, .. } => Some(deadline),
            State::Streaming(_) | State::Closed => None,
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output<ClientEvent>> {
        self.exchange.outputs.pop_front()
    }

    /// The connection is gone, and nobody asked for that. The session waits for a new one, also where it was not launched yet:
    /// what a host that died made for it is taken over by the next launch.
    pub fn connection_lost(&mut self, now: Timestamp) {
        let soon = now + RESUME_DEADLINE;
        self.state = match std::mem::replace(&mut self.state, State::Closed) {
            State::Streaming(launched) => State::Lost { resumes: Some(launched), deadline: soon },
            State::Opening { resumes, deadline, .. } => State::Lost { resumes, deadline: deadline.min(soon) },
            lost @ State::Lost { .. } => lost,
            State::Closed => return,
        };
        self.exchange.event(ClientEvent::Dial);
    }

    /// There is a new connection: goes on with the session on its control stream.
    pub fn connected(&mut self, _now: Timestamp) {
        let State::Lost { resumes, deadline } = &self.state else {
            return;
        };
        self.exchange.decoder = Decoder::new();
        self.exchange.send(&Message::Hello(Hello::new(self.config.name.as_str())));
        self.exchange.send(&match resumes {
            Some(launched) => Message::Resume(launched.session),
            None => Message::Launch(self.config.launch.clone()),
        });
        self.state = State::Opening {
            greeted: false,
            deadline: *deadline,
            patience: RESUME_DEADLINE,
            resumes: resumes.clone(),
        };
    }

    /// Asks for an IDR above `after_frame`.
    pub fn request_idr(&mut self, after_frame: u64) {
        self.say(&Message::RequestIdr { after_frame });
    }

    /// Asks for another bitrate.
    pub fn set_bitrate(&mut self, bps: u32) {
        self.wishes.bitrate_bps = Some(bps);
        self.say(&Message::SetBitrate { bps });
    }

    /// Asks for another mode; [`ClientEvent::ModeChanged`] follows, or a [`ClientEvent::Notice`] that says why not.
    pub fn set_mode(&mut self, mode: Mode) {
        self.wishes.mode = Some(mode);
        self.say(&Message::SetMode(mode));
    }

    /// Measures the round trip; a [`ClientEvent::Pong`] follows.
    pub fn ping(&mut self, now: Timestamp) {
        self.say(&Message::Ping { sent: now });
    }

    /// Reports what was received.
    pub fn stats(&mut self, stats: Stats) {
        self.say(&Message::Stats(stats));
    }

    /// Passes on what a person did. What is held is said again on a new connection, because the host may have lost it, or let
    /// go of it when it lost the client.
    pub fn input(&mut self, input: Input) {
        self.wishes.hold(&input);
        self.say(&Message::Input(input));
    }

    /// Ends the session and what the host made for it.
    pub fn stop(&mut self) {
        self.exchange.send(&Message::Stop);
        self.close(CloseReason::Stopped);
    }

    /// Only while streaming, because a host that has not launched expects nothing else.
    fn say(&mut self, message: &Message) {
        if matches!(self.state, State::Streaming(_)) {
            self.exchange.send(message);
        }
    }

    fn close(&mut self, reason: CloseReason) {
        self.state = State::Closed;
        self.exchange.close(reason);
    }

    fn handle(&mut self, message: Message, now: Timestamp) {
        match (&mut self.state, message) {
            (
                State::Opening { greeted: greeted @ false, deadline, patience, resumes },
                Message::Hello(hello),
            ) => {
                *greeted = true;
                if resumes.is_none() {
                    let launch_by = *self.launch_by.get_or_insert(now + LAUNCH_DEADLINE);
                    (*deadline, *patience) = (launch_by, LAUNCH_DEADLINE);
                }
                self.exchange.event(ClientEvent::HostNamed(hello.name));
            }
            (State::Opening { greeted: true, .. }, Message::Launched(launched)) => {
                self.handle_launched(launched)
            }
            (State::Opening { .. }, Message::Refused(refused)) => self.close(CloseReason::Refused(refused)),
            (_, Message::Bye(Bye { reason })) => self.close(CloseReason::PeerLeft { reason }),
            (State::Opening { greeted: true, .. } | State::Streaming(_), Message::Notice(notice)) => {
                self.exchange.event(ClientEvent::Notice(notice));
            }
            (State::Streaming(launched), Message::ModeChanged(changed)) => {
                launched.mode = changed.mode;
                self.exchange.event(ClientEvent::ModeChanged(changed));
            }
            (State::Streaming(_), Message::PointerRows(rows)) => {
                if let Some(shape) = self.shapes.add(rows) {
                    self.exchange.event(ClientEvent::PointerShape(shape));
                }
            }
            (State::Streaming(_), Message::PointerMoved(moved)) => {
                self.exchange.event(ClientEvent::PointerMoved(moved));
            }
            (State::Streaming(_), Message::Ping { sent }) => self.exchange.answer_ping(sent, now),
            (State::Streaming(_), Message::Pong { sent, received, answered }) => {
                let sample = Sample { sent, remote_received: received, remote_sent: answered, received: now };
                self.exchange.event(ClientEvent::Pong(sample));
            }
            (_, other) => {
                let state = self.doing();
                self.close(CloseReason::Unexpected { message: other.name(), state });
            }
        }
    }

    fn handle_launched(&mut self, launched: Launched) {
        let State::Opening { resumes, .. } = std::mem::replace(&mut self.state, State::Closed) else {
            return;
        };
        match resumes {
            Some(before) if before.session != launched.session || before.channel != launched.channel => {
                self.close(CloseReason::WrongSession);
            }
            before => {
                self.state = State::Streaming(launched.clone());
                match before {
                    Some(_) => self.repeat_wishes(&launched),
                    None => self.exchange.event(ClientEvent::Launched(launched)),
                }
            }
        }
    }

    fn repeat_wishes(&mut self, launched: &Launched) {
        self.exchange.event(ClientEvent::Resumed(launched.clone()));
        if let Some(bps) = self.wishes.bitrate_bps {
            self.say(&Message::SetBitrate { bps });
        }
        if let Some(mode) = self.wishes.mode.filter(|mode| *mode != launched.mode) {
            self.say(&Message::SetMode(mode));
        }
        self.say(&Message::Input(Input::Held(self.wishes.held.clone())));
        if let Some(down) = self.wishes.fingers.clone() {
            self.say(&Message::Input(Input::Fingers { down, cancels: true }));
        }
    }

    fn doing(&self) -> &'static str {
        match self.state {
            State::Opening { greeted: false, .. } => "waiting for its hello",
            State::Opening { .. } => "waiting for its stream",
            State::Streaming(_) => "streaming",
            State::Lost { .. } => "waiting for a new connection",
            State::Closed => "closed",
        }
    }
}
