//! The control stream as two state machines, bytes and `now` in, [`Output`] out.
//!
//! ```text
//! client                                             host
//! Opening ── Hello, Launch ───────────────────────►  Greeting ─► Requesting ─► Opening (event Launch)
//!         ◄───────────────────────────── Hello ────
//! Streaming ◄──────── Launched, by `launched()` ───  Streaming          or Refused, by `refuse()`, and closed
//!     │  ▲      ◄── RequestIdr, SetBitrate, SetMode, Ping, Stats, Input ──►   ◄── Notice, ModeChanged, Pointer… ──
//!     ▼  │ connected(): Hello, Resume ────────────►  (a new HostSession, event Resume; Launch where there was no Launched)
//!   Lost ┘ connection_lost()
//!     └─ 10 s ─► Closed            Stop, Bye, a malformed or unexpected message, a missed deadline ─► Closed
//! ```

mod client;
mod host;

pub use client::{ClientConfig, ClientEvent, ClientSession};
pub use host::{HostEvent, HostSession};

use crate::control::{Bye, Decoder, MalformedMessage, Message, Refused};
use crate::time::Timestamp;
use std::collections::VecDeque;
use std::time::Duration;

/// Within which a peer must have said hello and what it wants.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// Within which a host answers a launch: a headless compositor and an app may have to start.
pub const LAUNCH_DEADLINE: Duration = Duration::from_secs(30);
/// How long a client goes on dialling a host whose connection was lost.
pub const RESUME_DEADLINE: Duration = Duration::from_secs(10);

/// What to do for a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<E> {
    /// Write these bytes to the control stream.
    Send(Vec<u8>),
    /// Something the caller should know.
    Event(E),
    /// Flush the stream, then close the connection. The last output.
    Close(CloseReason),
}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The client stopped it.
    #[error("the client stopped the session")]
    Stopped,
    /// The peer said goodbye.
    #[error("the peer ended the session: {reason}")]
    PeerLeft {
        /// Its reason.
        reason: String,
    },
    /// This side said goodbye.
    #[error("this side ended the session: {reason}")]
    Left {
        /// Its reason.
        reason: String,
    },
    /// The host does not stream.
    #[error("the host refused: {} {}", .0.text, .0.advice)]
    Refused(Refused),
    /// The peer did not say in time what it must say.
    #[error("the peer was silent for {} s while {waiting_for} was due", .after.as_secs())]
    Deadline {
        /// What was awaited.
        waiting_for: &'static str,
        /// For how long.
        after: Duration,
    },
    /// A message that cannot be.
    #[error("the peer sent nonsense: {0}")]
    Malformed(#[from] MalformedMessage),
    /// A message at the wrong time, or of the wrong side.
    #[error("the peer sent {message} while {state}")]
    Unexpected {
        /// Its name.
        message: &'static str,
        /// What this side was doing.
        state: &'static str,
    },
    /// The host streams another session than the one resumed.
    #[error("the host answered a resume with another session")]
    WrongSession,
}

/// What both machines have: the stream's decoder and the outputs waiting to be polled.
#[derive(Debug)]
struct Exchange<E> {
    decoder: Decoder,
    outputs: VecDeque<Output<E>>,
    closed: bool,
}

impl<E> Exchange<E> {
    fn new() -> Self {
        Self { decoder: Decoder::new(), outputs: VecDeque::new(), closed: false }
    }

    fn send(&mut self, message: &Message) {
        if !self.closed {
            self.outputs.push_back(Output::Send(message.to_bytes()));
        }
    }

    fn event(&mut self, event: E) {
        if !self.closed {
            self.outputs.push_back(Output::Event(event));
        }
    }

    /// Ends the session, telling the peer unless it knows.
    fn close(&mut self, reason: CloseReason) {
        if self.closed {
            return;
        }
        if !matches!(reason, CloseReason::PeerLeft { .. } | CloseReason::Refused(_) | CloseReason::Stopped) {
            let reason = match &reason {
                CloseReason::Left { reason } => reason.clone(),
                other => other.to_string(),
            };
            self.send(&Message::Bye(Bye { reason }));
        }
        self.closed = true;
        self.outputs.push_back(Output::Close(reason));
    }

    fn answer_ping(&mut self, sent: Timestamp, now: Timestamp) {
        self.send(&Message::Pong { sent, received: now, answered: now });
    }

    /// The next message, or `None` when all were read or the session is closed.
    fn next_message(&mut self) -> Option<Message> {
        if self.closed {
            return None;
        }
        match self.decoder.next_message() {
            Ok(message) => message,
            Err(malformed) => {
                self.close(malformed.into());
                None
            }
        }
    }
}
