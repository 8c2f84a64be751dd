//! Who waits to be paired: attempts by number, their limits, and the answers that are held back until a person acts.

use super::phases::{Fresh, Phase, Proven, Step, Waiting};
use super::{MAX_GUESSES, MAX_PENDING, PairRequest, PairingError, Pin, WINDOW};
use crate::identity::{Certificate, HostIdentity};
use lumen_core::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

/// One attempt, as `lumenctl pair` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId(pub u32);

/// The caller's name for an HTTP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// What a person is shown of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its number.
    pub id: AttemptId,
    /// Where it comes from.
    pub from: IpAddr,
    /// The SHA-256 of the certificate that would be paired.
    pub fingerprint: [u8; 32],
    /// When it began.
    pub began: Timestamp,
    /// Whether it waits for its PIN.
    pub wants_pin: bool,
}

/// What one `/pair` request is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Phase 1: the host's certificate as PEM.
    PlainCert(String),
    /// Phase 2.
    ChallengeResponse(Vec<u8>),
    /// Phase 3.
    PairingSecret(Vec<u8>),
    /// Phase 4: the client is stored.
    Paired,
    /// It is over.
    Failed(PairingError),
}

/// Why an attempt is no longer in the lobby.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its client is stored.
    Paired,
    /// It failed.
    Failed(PairingError),
    /// The client hung up while its PIN was awaited.
    HungUp,
}

/// What to do.
#[derive(Debug)]
pub enum Output {
    /// Answer a connection and close it.
    Answer(ConnectionId, Answer),
    /// Store this client durably, then call [`Lobby::stored`]. The client is told nothing before.
    Store(AttemptId, Proven),
    /// A new attempt waits for its PIN.
    Began(AttemptId),
    /// An attempt is over.
    Ended(AttemptId, Ended),
}

#[derive(Debug)]
enum State {
    /// The connection of phase 1 is held open until its PIN comes.
    Waiting(Waiting, ConnectionId),
    /// A PIN was typed that has not proven right.
    Guessed(Phase),
    /// The client is proven and being stored; the connection of phase 4 is held open.
    Storing(ConnectionId),
}

#[derive(Debug)]
struct Entry {
    from: IpAddr,
    began: Timestamp,
    fingerprint: [u8; 32],
    state: State,
}

impl Entry {
    /// One whose client is being stored is decided, and so never late.
    fn deadline(&self) -> Option<Timestamp> {
        (!matches!(self.state, State::Storing(_))).then_some(self.began + WINDOW)
    }
}

/// All attempts of this host.
#[derive(Debug)]
pub struct Lobby {
    host: Arc<HostIdentity>,
    entries: BTreeMap<AttemptId, Entry>,
    next: u32,
    /// When wrong guesses were made, oldest first, at most [`MAX_GUESSES`].
    wrong: VecDeque<Timestamp>,
    outputs: VecDeque<Output>,
}

impl Lobby {
    /// An empty lobby. Attempts are lost with the process, which costs a client one more try.
    pub fn new(host: Arc<HostIdentity>) -> Self {
        Self { host, entries: BTreeMap::new(), next: 1, wrong: VecDeque::new(), outputs: VecDeque::new() }
    }

    /// A request of phases 1 to 4 over plain HTTP. `fresh` must be random and unused.
    pub fn handle_request(
        &mut self,
        request: PairRequest,
        from: IpAddr,
        connection: ConnectionId,
        fresh: Fresh,
        now: Timestamp,
    ) {
        self.handle_timeout(now);
        let done = match request {
            PairRequest::GetServerCert { salt, certificate } => {
                self.begin(salt, &certificate, from, connection, now)
            }
            request => self.advance(&request, from, connection, fresh, now),
        };
        if let Err(error) = done {
            self.outputs.push_back(Output::Answer(connection, Answer::Failed(error)));
        }
    }

    /// A person typed the PIN of an attempt.
    ///
    /// # Errors
    /// [`PairingError::Unknown`] if there is no such attempt or it has its PIN, [`PairingError::Guesses`].
    pub fn handle_pin(&mut self, id: AttemptId, pin: Pin, now: Timestamp) -> Result<(), PairingError> {
        self.handle_timeout(now);
        self.check_guesses(now)?;
        let entry = self.entries.remove(&id).ok_or(PairingError::Unknown)?;
        match entry.state {
            State::Waiting(waiting, connection) => {
                let state = State::Guessed(Phase::Greeted(waiting.pin(pin)));
                self.entries.insert(id, Entry { state, ..entry });
                self.answer(connection, Answer::PlainCert(self.host.pem().to_owned()));
                Ok(())
            }
            state => {
                self.entries.insert(id, Entry { state, ..entry });
                Err(PairingError::Unknown)
            }
        }
    }

    /// A person said no.
    ///
    /// # Errors
    /// [`PairingError::Unknown`] also if the client is being stored.
    pub fn refuse(&mut self, id: AttemptId, now: Timestamp) -> Result<(), PairingError> {
        match self.entries.get(&id).map(|entry| &entry.state) {
            None | Some(State::Storing(_)) => Err(PairingError::Unknown),
            Some(_) => {
                self.fail(id, PairingError::Refused, now);
                Ok(())
            }
        }
    }

    /// Somebody at this address asked for `/unpair`, as clients do that saw a wrong PIN. It proves nothing, but then the
    /// next phase would not need to either: an attempt whose PIN was typed is over and counts as a guess.
    pub fn handle_unpair(&mut self, from: IpAddr, now: Timestamp) {
        self.handle_timeout(now);
        self.abandon(from, PairingError::GaveUp, now);
    }

    /// The client of [`Output::Store`] is stored, or why not.
    pub fn stored(&mut self, id: AttemptId, result: Result<(), String>) {
        let Some(Entry { state: State::Storing(connection), .. }) = self.entries.get(&id) else {
            return;
        };
        let connection = *connection;
        self.entries.remove(&id);
        let error = result.err().map(|reason| PairingError::NotStored { reason });
        self.answer(connection, error.clone().map_or(Answer::Paired, Answer::Failed));
        self.outputs.push_back(Output::Ended(id, error.map_or(Ended::Paired, Ended::Failed)));
    }

    /// A connection was closed by its client: an attempt whose PIN it awaited is over.
    pub fn handle_hangup(&mut self, closed: ConnectionId) {
        let awaited = |entry: &Entry| matches!(entry.state, State::Waiting(_, held) if held == closed);
        if let Some(id) = self.entries.iter().find(|(_, entry)| awaited(entry)).map(|(&id, _)| id) {
            self.entries.remove(&id);
            self.outputs.push_back(Output::Ended(id, Ended::HungUp));
        }
    }

    /// Ends what took too long. Call it at [`poll_timeout`](Self::poll_timeout).
    pub fn handle_timeout(&mut self, now: Timestamp) {
        while self.wrong.front().is_some_and(|&at| at + WINDOW <= now) {
            self.wrong.pop_front();
        }
        let late = |entry: &Entry| entry.deadline().is_some_and(|deadline| deadline <= now);
        while let Some(id) = self.entries.iter().find(|(_, entry)| late(entry)).map(|(&id, _)| id) {
            self.fail(id, PairingError::TimedOut, now);
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.entries.values().filter_map(Entry::deadline).min()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What is under way, oldest first.
    pub fn attempts(&self) -> impl Iterator<Item = Attempt> {
        self.entries.iter().map(|(&id, entry)| Attempt {
            id,
            from: entry.from,
            fingerprint: entry.fingerprint,
            began: entry.began,
            wants_pin: matches!(entry.state, State::Waiting(..)),
        })
    }

    fn begin(
        &mut self,
        salt: [u8; 16],
        certificate: &[u8],
        from: IpAddr,
        connection: ConnectionId,
        now: Timestamp,
    ) -> Result<(), PairingError> {
        self.abandon(from, PairingError::Abandoned, now);
        self.check_guesses(now)?;
        if let Some(entry) = self.entries.values().find(|entry| entry.from == from) {
            return Err(PairingError::Busy { left: (entry.began + WINDOW).since(now) });
        }
        if self.entries.len() >= MAX_PENDING {
            return Err(PairingError::Full);
        }
        let client = Certificate::from_pem(certificate)?;
        let fingerprint = client.fingerprint();
        let id = AttemptId(self.next);
        self.next = self.next.wrapping_add(1);
        let state = State::Waiting(Waiting::new(salt, client), connection);
        self.entries.insert(id, Entry { from, began: now, fingerprint, state });
        self.outputs.push_back(Output::Began(id));
        Ok(())
    }

    /// A client sees a wrong PIN after phase 3 and says nothing more, so that what it left must not stand in its own way.
    fn abandon(&mut self, from: IpAddr, why: PairingError, now: Timestamp) {
        let left = |entry: &Entry| entry.from == from && matches!(entry.state, State::Guessed(_));
        if let Some(id) = self.entries.iter().find(|(_, entry)| left(entry)).map(|(&id, _)| id) {
            self.fail(id, why, now);
        }
    }

    /// Phases 2 to 4, found by the address they come from.
    fn advance(
        &mut self,
        request: &PairRequest,
        from: IpAddr,
        connection: ConnectionId,
        fresh: Fresh,
        now: Timestamp,
    ) -> Result<(), PairingError> {
        let found = self.entries.iter().find(|(_, entry)| entry.from == from).map(|(&id, _)| id);
        let id = found.ok_or(PairingError::Unknown)?;
        let entry = self.entries.remove(&id).ok_or(PairingError::Unknown)?;
        let phase = match entry.state {
            State::Guessed(phase) => phase,
            State::Waiting(waiting, held) => {
                let error = PairingError::OutOfOrder { got: request.name(), due: "the PIN" };
                self.answer(held, Answer::Failed(error.clone()));
                drop(waiting);
                self.outputs.push_back(Output::Ended(id, Ended::Failed(error.clone())));
                return Err(error);
            }
            state @ State::Storing(_) => {
                self.entries.insert(id, Entry { state, ..entry });
                return Err(PairingError::Unknown);
            }
        };
        match phase.advance(request, &self.host, fresh) {
            Ok(Step::Next(phase, bytes)) => {
                let answer = match phase {
                    Phase::Answered(_) => Answer::PairingSecret(bytes),
                    _ => Answer::ChallengeResponse(bytes),
                };
                self.answer(connection, answer);
                self.entries.insert(id, Entry { state: State::Guessed(phase), ..entry });
                Ok(())
            }
            Ok(Step::Proven(proven)) => {
                self.entries.insert(id, Entry { state: State::Storing(connection), ..entry });
                self.outputs.push_back(Output::Store(id, proven));
                Ok(())
            }
            Err(error) => {
                self.count_guess(now);
                self.outputs.push_back(Output::Ended(id, Ended::Failed(error.clone())));
                Err(error)
            }
        }
    }

    /// Ends an attempt that is not being stored.
    fn fail(&mut self, id: AttemptId, error: PairingError, now: Timestamp) {
        let Some(entry) = self.entries.remove(&id) else {
            return;
        };
        match entry.state {
            State::Waiting(_, connection) => self.answer(connection, Answer::Failed(error.clone())),
            State::Guessed(_) => self.count_guess(now),
            State::Storing(_) => {}
        }
        self.outputs.push_back(Output::Ended(id, Ended::Failed(error)));
    }

    /// A PIN did not lead to a paired client: it counts as wrong, whatever the client says of it.
    fn count_guess(&mut self, now: Timestamp) {
        self.wrong.push_back(now);
        if self.wrong.len() > MAX_GUESSES {
            self.wrong.pop_front();
        }
    }

    /// # Errors
    /// [`PairingError::Guesses`] when wrong PINs and those not yet proven together are as many as may be.
    fn check_guesses(&self, now: Timestamp) -> Result<(), PairingError> {
        let open: Vec<_> =
            self.entries.values().filter(|entry| matches!(entry.state, State::Guessed(_))).collect();
        if self.wrong.len() + open.len() < MAX_GUESSES {
            return Ok(());
        }
        let first = self.wrong.iter().copied().chain(open.iter().map(|entry| entry.began)).min();
        Err(PairingError::Guesses { left: first.map_or(WINDOW, |at| (at + WINDOW).since(now)) })
    }

    fn answer(&mut self, connection: ConnectionId, answer: Answer) {
        self.outputs.push_back(Output::Answer(connection, answer));
    }
}

#[cfg(test)]
mod street;
#[cfg(test)]
mod tests;
