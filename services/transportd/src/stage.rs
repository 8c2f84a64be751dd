//! The brain of one session, sans-IO: what a client's launch, encoded's answers and the clock lead to.
//!
//! ```text
//!     launch──► Opening ──Ready──► Streaming ◄─┐         a link that hangs up is opened again in both, at once the
//!                 │ failure, deadline   │  │    │ Ready   first time, later and later while none lives long
//!                 ▼              failure▼  └────┘ of another mode: ModeChanged
//!              Refuse, Ended         Bye, Ended
//! ```
//! A failure that can pass (the desktop is locked, the compositor is away) ends no stream: the client is told what is
//! missing, once, and told again when pictures come. A change of mode that can never be is taken back.

use std::{collections::VecDeque, time::Duration};

use lumen_core::{
    Timestamp,
    control::{Notice, NoticeKind, Refused},
};
use lumen_ipc::{Failure, FailureClass, Mode, encode::Codec};

use crate::{
    launch::{Request, refusal},
    video::Report,
};

/// How long a launch may take; below the 30 s after which clients give up, so that they hear why.
const LAUNCH_PATIENCE: Duration = Duration::from_secs(25);

/// Pauses before a link is opened again, by the number of links that hung up since the last good one: a stage
/// that is killed again and again is soon back each time, and one that hangs up at once costs five tries a second.
const PAUSES_MS: [u64; 4] = [0, 50, 100, 200];

/// What a client is told when the machine goes to sleep.
const ASLEEP: &str = "The host goes to sleep.";

/// A link that served for so long was a good one: what comes next is tried at once again.
const GOOD: Duration = Duration::from_secs(1);

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Open a link to encoded; answer with [`Brain::handle_open_failed`] if that fails.
    Open,
    /// The client can be told that it streams.
    Launched(Mode),
    /// The pictures have this mode from this frame on.
    ModeChanged {
        /// Of the pictures.
        mode: Mode,
        /// Number of the first one.
        next_frame: u64,
    },
    /// The mode that was asked for last can never be: ask for the one before, and tell the client why.
    Revert(Failure),
    /// A person at the client is to know.
    Tell(Notice),
    /// The client cannot be served.
    Refuse(Refused),
    /// The session ends; a reason for the client.
    Bye(String),
}

#[derive(Debug)]
enum State {
    Opening {
        deadline: Timestamp,
        /// What encoded said last.
        failure: Option<Failure>,
    },
    Streaming {
        /// What the client knows of its pictures.
        shown: Mode,
    },
    Ended,
}

/// One session's brain.
#[derive(Debug)]
pub struct Brain {
    state: State,
    /// Links that hung up since the last good one.
    hang_ups: usize,
    /// When the link of now became ready.
    ready_at: Option<Timestamp>,
    open_at: Option<Timestamp>,
    /// Since when there is no link that serves.
    lost_at: Option<Timestamp>,
    /// Another mode was asked for and has not come yet.
    is_changing: bool,
    /// Why no pictures come, as the client was told.
    trouble: Option<Notice>,
    /// What was missing as the machine fell asleep.
    slept_over: Option<Notice>,
    outputs: VecDeque<Output>,
}

impl Brain {
    /// A client launches something that [`crate::launch::check`] found good.
    pub fn launching(now: Timestamp) -> Self {
        let deadline = now + LAUNCH_PATIENCE;
        Self::opening(State::Opening { deadline, failure: None })
    }

    /// A session that streamed in an earlier incarnation: its client is not told again.
    pub fn streaming(shown: Mode) -> Self {
        Self::opening(State::Streaming { shown })
    }

    fn opening(state: State) -> Self {
        Self {
            state,
            hang_ups: 0,
            ready_at: None,
            open_at: None,
            lost_at: None,
            is_changing: false,
            trouble: None,
            slept_over: None,
            outputs: VecDeque::from([Output::Open]),
        }
    }

    /// The session's thread reports.
    pub fn handle_report(&mut self, report: Report, request: &Request, now: Timestamp) {
        match report {
            Report::Ready { mode, codec, next_frame } => {
                self.handle_ready(mode, codec, next_frame, request, now);
            }
            Report::Failed(failure) => self.handle_failed(failure, request),
            Report::Pictures => self.handle_pictures(),
            Report::HungUp { is_closing, .. } => self.handle_hung_up(is_closing, now),
            // The session's own.
            Report::PointerShape(_) | Report::PointerMoved(_) => {}
            Report::Exhausted => {
                self.end("The session used up its datagram numbers; start a new one.".into())
            }
        }
    }

    /// `request` is another one from now on. Only a session that streams has that.
    pub fn handle_change(&mut self) {
        self.is_changing = true;
        self.open_at = None;
        self.outputs.push_back(Output::Open);
    }

    /// The machine goes to sleep, or it woke. Until then no picture can come, and none is missed.
    pub fn handle_sleep(&mut self, sleeps: bool) {
        match (&self.state, sleeps) {
            (State::Streaming { .. }, true) => {
                if !self.is_told_asleep() {
                    self.slept_over = self.trouble.take();
                }
                let advice = "Wake it; the stream then goes on by itself, or launch again.";
                self.tell_of(Failure::new(FailureClass::Temporary, ASLEEP, advice));
            }
            (State::Streaming { .. }, false) if self.is_told_asleep() => match self.slept_over.take() {
                None => self.handle_pictures(),
                // Whoever said it says it once: it is still so.
                Some(before) => {
                    self.trouble = Some(before.clone());
                    self.outputs.push_back(Output::Tell(before));
                }
            },
            // Something else is missing by now.
            (State::Streaming { .. }, false) => {}
            (State::Opening { .. } | State::Ended, _) => {}
        }
    }

    fn is_told_asleep(&self) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| trouble.text == ASLEEP)
    }

    /// Why no pictures come, if so and it may pass.
    pub fn trouble(&self) -> Option<&Notice> {
        self.trouble.as_ref()
    }

    /// A link to encoded could not be opened.
    pub fn handle_open_failed(&mut self, failure: Failure, request: &Request, now: Timestamp) {
        match self.state {
            // The bus has waited for encoded already: a client that launches should hear of it, one that streams
            // waits on.
            State::Streaming { .. } if passes(failure.class) => {
                // A stage that restarts says so for a moment, of which a person need not hear.
                let lost_at = *self.lost_at.get_or_insert(now);
                if failure.class != FailureClass::Temporary || now.since(lost_at) >= GOOD {
                    self.tell_of(failure);
                }
                self.handle_hung_up(true, now);
            }
            State::Opening { .. } if passes(failure.class) => self.refuse(failure, request),
            _ => self.handle_failed(failure, request),
        }
    }

    /// To be called at [`poll_timeout`](Self::poll_timeout).
    pub fn handle_timeout(&mut self, request: &Request, now: Timestamp) {
        if self.open_at.is_some_and(|at| at <= now) {
            self.open_at = None;
            self.outputs.push_back(Output::Open);
        }
        if let State::Opening { deadline, failure } = &mut self.state
            && *deadline <= now
        {
            let silent = || {
                let text = format!("No picture could be made within {} s.", LAUNCH_PATIENCE.as_secs());
                Failure::new(
                    FailureClass::Temporary,
                    text,
                    "See `lumenctl status` on the host, then try again.",
                )
            };
            let failure = failure.take().unwrap_or_else(silent);
            self.refuse(failure, request);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let deadline = match self.state {
            State::Opening { deadline, .. } => Some(deadline),
            State::Streaming { .. } | State::Ended => None,
        };
        [deadline, self.open_at].into_iter().flatten().min()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn handle_ready(&mut self, mode: Mode, codec: Codec, next_frame: u64, request: &Request, now: Timestamp) {
        let Codec::H264 = codec;
        (self.ready_at, self.lost_at) = (Some(now), None);
        let asked = (request.stream.width, request.stream.height);
        match &mut self.state {
            State::Opening { .. } => {
                self.state = State::Streaming { shown: mode };
                self.outputs.push_back(Output::Launched(mode));
            }
            State::Streaming { shown } => {
                let size = (mode.width, mode.height);
                // On a new link encoded begins with the picture that it has: that is no answer yet.
                if self.is_changing && size != asked && size == (shown.width, shown.height) {
                    return;
                }
                if *shown != mode || self.is_changing {
                    self.outputs.push_back(Output::ModeChanged { mode, next_frame });
                }
                *shown = mode;
                self.is_changing &= size != asked;
            }
            State::Ended => {}
        }
    }

    /// Pictures come again.
    fn handle_pictures(&mut self) {
        self.slept_over = None;
        if self.trouble.take().is_some() {
            let text = "The pictures are back.".to_owned();
            let notice = Notice { kind: NoticeKind::Running, text, advice: String::new() };
            self.outputs.push_back(Output::Tell(notice));
        }
    }

    /// What may pass by itself is waited for; anything else ends the session with its reason.
    fn handle_failed(&mut self, failure: Failure, request: &Request) {
        match (&mut self.state, failure.class) {
            (State::Ended, _) => {}
            (State::Opening { failure: last, .. }, FailureClass::Temporary | FailureClass::Locked) => {
                *last = Some(failure.clone());
                self.tell_of(failure);
            }
            (State::Opening { .. }, _) => self.refuse(failure, request),
            // Whatever stands in the way of the new mode, the one before was good.
            (State::Streaming { .. }, class) if self.is_changing && !passes(class) => {
                self.is_changing = false;
                self.outputs.push_back(Output::Revert(failure));
            }
            (State::Streaming { .. }, class) if passes(class) => self.tell_of(failure),
            (State::Streaming { .. }, _) => self.end(failure.to_string()),
        }
    }

    /// Tells the client what keeps the pictures away, unless it knows.
    fn tell_of(&mut self, failure: Failure) {
        let kind = match failure.class {
            FailureClass::Locked => NoticeKind::Locked,
            _ => NoticeKind::Waiting,
        };
        let notice = Notice { kind, text: failure.text, advice: failure.advice };
        if self.trouble.as_ref() != Some(&notice) {
            self.trouble = Some(notice.clone());
            self.outputs.push_back(Output::Tell(notice));
        }
    }

    fn handle_hung_up(&mut self, is_closing: bool, now: Timestamp) {
        if matches!(self.state, State::Ended) {
            return;
        }
        self.lost_at.get_or_insert(now);
        if self.ready_at.take().is_some_and(|at| now.since(at) >= GOOD) {
            self.hang_ups = 0;
        }
        // A stage that says it ends still owns its name for a moment: the link it would give dies at once.
        let place = self.hang_ups.max(is_closing.into());
        let pause = PAUSES_MS.get(place).or(PAUSES_MS.last()).copied().unwrap_or_default();
        self.hang_ups += 1;
        match pause {
            0 => self.outputs.push_back(Output::Open),
            pause => self.open_at = Some(now + Duration::from_millis(pause)),
        }
    }

    fn refuse(&mut self, failure: Failure, request: &Request) {
        self.state = State::Ended;
        self.open_at = None;
        let refused = refusal(failure, request.stream.app.is_some());
        self.outputs.push_back(Output::Refuse(refused));
    }

    fn end(&mut self, reason: String) {
        self.state = State::Ended;
        self.open_at = None;
        self.outputs.push_back(Output::Bye(reason));
    }
}

/// Whether a stream can outlast a failure: a compositor that is killed, or a user who logs out, comes back.
fn passes(class: FailureClass) -> bool {
    matches!(class, FailureClass::Temporary | FailureClass::Locked | FailureClass::Environment)
}

#[cfg(test)]
mod tests;
