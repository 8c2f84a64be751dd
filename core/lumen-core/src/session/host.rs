//! The host's side of the control stream. One machine per connection: a resumed session gets a new one.

use super::{CloseReason, Exchange, HANDSHAKE_DEADLINE, Output};
use crate::control::{
    Bye, Hello, Input, Launch, Launched, Message, Mode, ModeChanged, Notice, PROTOCOL_VERSION, PointerMoved,
    PointerShape, RefusalClass, Refused, SessionId, Stats,
};
use crate::time::Timestamp;

/// What a client did, for the host's owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostEvent {
    /// The client said hello: its name, not trusted.
    ClientNamed(String),
    /// It wants a stream: answer with [`HostSession::launched`] or [`HostSession::refuse`].
    Launch(Launch),
    /// It goes on with a session: answer likewise, after checking that the session is this client's.
    Resume(SessionId),
    /// It needs an IDR with a number above this.
    RequestIdr {
        /// The newest lost frame.
        after_frame: u64,
    },
    /// It wants another bitrate.
    SetBitrate {
        /// Bits per second of video.
        bps: u32,
    },
    /// It wants another mode: answer with [`HostSession::mode_changed`], or with a [`HostSession::notice`].
    SetMode(Mode),
    /// A person did something.
    Input(Input),
    /// What it received.
    Stats(Stats),
    /// The session is to end with all that was made for it.
    Stop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Greeting {
        deadline: Timestamp,
    },
    Requesting {
        deadline: Timestamp,
    },
    /// The owner opens the pipeline.
    Opening,
    Streaming,
    Closed,
}

/// One client's connection.
#[derive(Debug)]
pub struct HostSession {
    name: String,
    state: State,
    exchange: Exchange<HostEvent>,
}

impl HostSession {
    /// Waits for the client's hello on a connection that TLS has authenticated.
    pub fn new(name: impl Into<String>, now: Timestamp) -> Self {
        let state = State::Greeting { deadline: now + HANDSHAKE_DEADLINE };
        Self { name: name.into(), state, exchange: Exchange::new() }
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
        let (deadline, waiting_for) = match self.state {
            State::Greeting { deadline } => (deadline, "Hello"),
            State::Requesting { deadline } => (deadline, "Launch"),
            _ => return,
        };
        if deadline <= now {
            self.close(CloseReason::Deadline { waiting_for, after: HANDSHAKE_DEADLINE });
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        match self.state {
            State::Greeting { deadline } | State::Requesting { deadline } => Some(deadline),
            State::Opening | State::Streaming | State::Closed => None,
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output<HostEvent>> {
        self.exchange.outputs.pop_front()
    }

    /// The pipeline stands: tells the client. Ignored unless a request is open.
    pub fn launched(&mut self, launched: Launched) {
        if self.state == State::Opening {
            self.state = State::Streaming;
            self.exchange.send(&Message::Launched(launched));
        }
    }

    /// The request cannot be served: tells the client why and closes. Ignored unless a request is open.
    pub fn refuse(&mut self, refused: Refused) {
        if self.state == State::Opening {
            self.exchange.send(&Message::Refused(refused.clone()));
            self.close(CloseReason::Refused(refused));
        }
    }

    /// Tells a person at the client what has become of the stream, or of the request for it. Ignored before that.
    pub fn notice(&mut self, notice: Notice) {
        if matches!(self.state, State::Opening | State::Streaming) {
            self.exchange.send(&Message::Notice(notice));
        }
    }

    /// The pictures have another mode. Ignored unless a stream runs.
    pub fn mode_changed(&mut self, changed: ModeChanged) {
        if self.state == State::Streaming {
            self.exchange.send(&Message::ModeChanged(changed));
        }
    }

    /// What the pointer looks like, for a client that draws it itself. Ignored unless a stream runs.
    pub fn pointer_shape(&mut self, shape: &PointerShape) {
        if self.state == State::Streaming {
            shape.pieces().for_each(|piece| self.exchange.send(&Message::PointerRows(piece)));
        }
    }

    /// Where that pointer is. Ignored unless a stream runs.
    pub fn pointer_moved(&mut self, moved: PointerMoved) {
        if self.state == State::Streaming {
            self.exchange.send(&Message::PointerMoved(moved));
        }
    }

    /// Ends the session, whatever it does.
    pub fn bye(&mut self, reason: impl Into<String>) {
        self.close(CloseReason::Left { reason: reason.into() });
    }

    fn close(&mut self, reason: CloseReason) {
        self.state = State::Closed;
        self.exchange.close(reason);
    }

    fn handle(&mut self, message: Message, now: Timestamp) {
        match (self.state, message) {
            (State::Greeting { deadline }, Message::Hello(hello)) => self.handle_hello(hello, deadline),
            (State::Requesting { .. }, Message::Launch(launch)) => self.open(HostEvent::Launch(launch)),
            (State::Requesting { .. }, Message::Resume(session)) => self.open(HostEvent::Resume(session)),
            (State::Opening | State::Streaming, Message::Stop) => {
                self.exchange.event(HostEvent::Stop);
                self.close(CloseReason::Stopped);
            }
            (_, Message::Bye(Bye { reason })) => self.close(CloseReason::PeerLeft { reason }),
            (State::Streaming, message) => self.handle_streaming(message, now),
            (_, other) => self.unexpected(&other),
        }
    }

    fn handle_hello(&mut self, hello: Hello, deadline: Timestamp) {
        self.exchange.send(&Message::Hello(Hello::new(self.name.as_str())));
        self.exchange.event(HostEvent::ClientNamed(hello.name));
        if hello.version == 0 {
            let refused = Refused {
                class: RefusalClass::Version,
                text: format!("The client speaks version 0, this host versions 1 to {PROTOCOL_VERSION}."),
                advice: "Update the client.".into(),
            };
            self.state = State::Opening;
            return self.refuse(refused);
        }
        self.state = State::Requesting { deadline };
    }

    fn open(&mut self, request: HostEvent) {
        self.state = State::Opening;
        self.exchange.event(request);
    }

    fn handle_streaming(&mut self, message: Message, now: Timestamp) {
        match message {
            Message::RequestIdr { after_frame } => self.exchange.event(HostEvent::RequestIdr { after_frame }),
            Message::SetBitrate { bps } => self.exchange.event(HostEvent::SetBitrate { bps }),
            Message::SetMode(mode) => self.exchange.event(HostEvent::SetMode(mode)),
            Message::Input(input) => self.exchange.event(HostEvent::Input(input)),
            Message::Stats(stats) => self.exchange.event(HostEvent::Stats(stats)),
            Message::Ping { sent } => self.exchange.answer_ping(sent, now),
            Message::Pong { .. } => {}
            other => self.unexpected(&other),
        }
    }

    fn unexpected(&mut self, message: &Message) {
        let state = match self.state {
            State::Greeting { .. } => "waiting for its hello",
            State::Requesting { .. } => "waiting for its request",
            State::Opening => "opening its stream",
            State::Streaming => "streaming",
            State::Closed => "closed",
        };
        self.close(CloseReason::Unexpected { message: message.name(), state });
    }
}
