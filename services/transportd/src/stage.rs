//! The brain of one session, sans-IO: what a client's launch, encoded's answers and the clock lead to.
//!
//! ```text
//!     launch──► Opening ──Ready──► Streaming             a link that hangs up is opened again in both, at once the
//!                 │ failure, deadline   │ failure          first time, later and later while none lives long
//!                 ▼                     ▼
//!              Refuse, Ended         Bye, Ended
//! ```

use std::{collections::VecDeque, time::Duration};

use lumen_core::{Timestamp, control::Refused};
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

/// A link that served for so long was a good one: what comes next is tried at once again.
const GOOD: Duration = Duration::from_secs(1);

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Open a link to encoded; answer with [`Brain::handle_open_failed`] if that fails.
    Open,
    /// The client can be told that it streams.
    Launched(Mode),
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
    Streaming,
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
    outputs: VecDeque<Output>,
}

impl Brain {
    /// A client launches something that [`crate::launch::check`] found good.
    pub fn launching(now: Timestamp) -> Self {
        let deadline = now + LAUNCH_PATIENCE;
        Self::opening(State::Opening { deadline, failure: None })
    }

    /// A session that streamed in an earlier incarnation: its client is not told again.
    pub fn streaming() -> Self {
        Self::opening(State::Streaming)
    }

    fn opening(state: State) -> Self {
        Self { state, hang_ups: 0, ready_at: None, open_at: None, outputs: VecDeque::from([Output::Open]) }
    }

    /// The session's thread reports.
    pub fn handle_report(&mut self, report: Report, request: &Request, now: Timestamp) {
        match report {
            Report::Ready { mode, codec } => self.handle_ready(mode, codec, now),
            Report::Failed(failure) => self.handle_failed(failure, request),
            Report::HungUp { is_closing, .. } => self.handle_hung_up(is_closing, now),
            Report::Exhausted => {
                self.end("The session used up its datagram numbers; start a new one.".into())
            }
        }
    }

    /// A link to encoded could not be opened.
    pub fn handle_open_failed(&mut self, failure: Failure, request: &Request, now: Timestamp) {
        match failure.class {
            // The bus has waited for encoded already; a client that launches should hear of it, one that streams
            // waits on.
            FailureClass::Temporary if matches!(self.state, State::Streaming) => {
                self.handle_hung_up(true, now)
            }
            FailureClass::Temporary => self.refuse(failure, request),
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
            State::Streaming | State::Ended => None,
        };
        [deadline, self.open_at].into_iter().flatten().min()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn handle_ready(&mut self, mode: Mode, codec: Codec, now: Timestamp) {
        let Codec::H264 = codec;
        self.ready_at = Some(now);
        if matches!(self.state, State::Opening { .. }) {
            self.state = State::Streaming;
            self.outputs.push_back(Output::Launched(mode));
        }
    }

    /// What may pass by itself is waited for; anything else ends the session with its reason.
    fn handle_failed(&mut self, failure: Failure, request: &Request) {
        match (&mut self.state, failure.class) {
            (State::Opening { failure: last, .. }, FailureClass::Temporary) => *last = Some(failure),
            (State::Opening { .. }, _) => self.refuse(failure, request),
            (State::Streaming, FailureClass::Temporary) | (State::Ended, _) => {}
            (State::Streaming, _) => self.end(failure.to_string()),
        }
    }

    fn handle_hung_up(&mut self, is_closing: bool, now: Timestamp) {
        if matches!(self.state, State::Ended) {
            return;
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::{check, tests::launch};
    use lumen_core::control::RefusalClass;
    use lumen_stage::LinkError;

    const MODE: Mode = Mode { width: 1280, height: 720, refresh_mhz: 59_940 };

    fn request() -> Request {
        check(&launch((1280, 720, 59_940))).unwrap()
    }

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_ns(ms * 1_000_000)
    }

    fn failed(class: FailureClass) -> Report {
        Report::Failed(Failure::new(class, "No sway.", "Install sway."))
    }

    fn hung_up(is_closing: bool) -> Report {
        Report::HungUp { error: LinkError::Closed, is_closing }
    }

    fn opening() -> Brain {
        let mut brain = Brain::launching(at(0));
        assert_eq!(brain.poll_output(), Some(Output::Open));
        brain
    }

    fn streaming() -> Brain {
        let mut brain = opening();
        let ready = Report::Ready { mode: MODE, codec: Codec::H264 };
        brain.handle_report(ready, &request(), at(1));
        assert_eq!(brain.poll_output(), Some(Output::Launched(MODE)));
        brain
    }

    #[test]
    fn a_failure_of_the_machine_refuses_the_launch() {
        let mut brain = opening();
        brain.handle_report(failed(FailureClass::Environment), &request(), at(1));
        let Some(Output::Refuse(refused)) = brain.poll_output() else {
            panic!("{brain:?}");
        };
        assert_eq!(refused.class, RefusalClass::Backend);
        assert_eq!((refused.text.as_str(), refused.advice.as_str()), ("No sway.", "Install sway."));
    }

    /// Sabotage: refuse at the first temporary failure, or never.
    #[test]
    fn what_may_pass_is_waited_for_and_then_told() {
        let mut brain = opening();
        brain.handle_report(failed(FailureClass::Temporary), &request(), at(1));
        assert_eq!(brain.poll_output(), None);
        assert_eq!(brain.poll_timeout(), Some(at(25_000)));
        brain.handle_timeout(&request(), at(24_999));
        assert_eq!(brain.poll_output(), None);
        brain.handle_timeout(&request(), at(25_000));
        assert!(matches!(brain.poll_output(), Some(Output::Refuse(r)) if r.text == "No sway."));
    }

    /// Sabotage: tell the client of a link that hung up.
    #[test]
    fn the_death_of_encoded_asks_nothing_of_the_client() {
        let mut brain = streaming();
        brain.handle_report(hung_up(false), &request(), at(10));
        assert_eq!(brain.poll_output(), Some(Output::Open));
        let ready = Report::Ready { mode: MODE, codec: Codec::H264 };
        brain.handle_report(ready, &request(), at(20));
        assert_eq!(brain.poll_output(), None);
    }

    /// Sabotage: open again at once each time, or forget after each `Ready` that links die young.
    #[test]
    fn links_that_die_young_are_opened_later_and_later() {
        let mut brain = streaming();
        let mut pauses = Vec::new();
        let mut now = 0;
        for life in [1, 1, 1, 1, 1, 1000, 1] {
            now += life;
            brain.handle_report(hung_up(false), &request(), at(now));
            pauses.push(brain.poll_timeout().map_or(0, |due| due.as_ns() / 1_000_000 - now));
            now += 1000;
            brain.handle_timeout(&request(), at(now));
            assert_eq!(brain.poll_output(), Some(Output::Open));
            let ready = Report::Ready { mode: MODE, codec: Codec::H264 };
            brain.handle_report(ready, &request(), at(now));
            assert_eq!(brain.poll_output(), None);
        }
        assert_eq!(pauses, [0, 50, 100, 200, 200, 0, 50]);
    }

    #[test]
    fn a_stage_that_ends_in_an_orderly_way_is_given_a_moment() {
        let mut brain = streaming();
        brain.handle_report(hung_up(true), &request(), at(0));
        assert_eq!(brain.poll_timeout(), Some(at(50)));
    }

    #[test]
    fn a_lasting_failure_ends_a_stream_with_its_reason() {
        let mut brain = streaming();
        brain.handle_report(failed(FailureClass::Temporary), &request(), at(1));
        assert_eq!(brain.poll_output(), None);
        brain.handle_report(failed(FailureClass::Environment), &request(), at(2));
        assert!(matches!(brain.poll_output(), Some(Output::Bye(reason)) if reason.contains("No sway.")));
        brain.handle_report(hung_up(false), &request(), at(3));
        assert_eq!((brain.poll_output(), brain.poll_timeout()), (None, None));
    }
}
