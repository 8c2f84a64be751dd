//! Who waits to be paired, and the person who types their PINs: [`Lobby`] with its clock, its connections and its store.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lumen_core::{Timestamp, trust::Fingerprint};
use lumen_gamestream::pairing::{
    Answer, Attempt, AttemptId, ConnectionId, Ended, Fresh, Lobby, Output, PairRequest, PairingError, Pin,
    Proven,
};
use lumen_stage::clock::now_ns;
use tokio::{
    sync::{Notify, oneshot},
    time::sleep,
};

use super::identity::Identity;
use crate::{
    clients::{Clients, clean_name},
    identity::random,
};

/// What Moonlight calls every device.
const NO_NAME: &str = "roth";

/// For what the log is told of newcomers: a stranger who comes and goes is one line in this time.
const QUIET_NS: u64 = 10_000_000_000;

/// The door of pairing.
#[derive(Debug)]
pub struct Reception {
    desk: Mutex<Desk>,
    clients: Arc<Clients>,
    /// Something changed that may be due earlier.
    bell: Notify,
}

#[derive(Debug)]
struct Desk {
    lobby: Lobby,
    connections: u64,
    /// Who waits for an answer.
    held: BTreeMap<ConnectionId, oneshot::Sender<Answer>>,
    /// What each attempt's client is called.
    names: BTreeMap<AttemptId, String>,
    /// Who typed a PIN and wants to know what came of it.
    typists: BTreeMap<AttemptId, oneshot::Sender<Ended>>,
    told_ns: u64,
}

/// An attempt as a person is shown it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// What the protocol knows.
    pub attempt: Attempt,
    /// What its client calls itself; empty for most.
    pub name: String,
    /// How long ago it began.
    pub age: Duration,
}

/// A connection that waits; dropping it says that its client hung up.
struct Held<'a> {
    reception: &'a Arc<Reception>,
    id: ConnectionId,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut desk = self.reception.lock();
        if desk.held.remove(&self.id).is_some() {
            desk.lobby.handle_hangup(self.id);
            self.reception.settle(&mut desk, "");
        }
    }
}

fn now() -> Timestamp {
    Timestamp::from_ns(now_ns())
}

impl Reception {
    /// An empty one.
    pub fn new(identity: &Identity, clients: Arc<Clients>) -> Self {
        let desk = Desk {
            lobby: Lobby::new(identity.host.clone()),
            connections: 0,
            held: BTreeMap::new(),
            names: BTreeMap::new(),
            typists: BTreeMap::new(),
            told_ns: 0,
        };
        Self { desk: Mutex::new(desk), clients, bell: Notify::new() }
    }

    /// Phases 1 to 4. The answer to phase 1 waits for a person; a caller that drops this has hung up.
    pub async fn handle(self: &Arc<Self>, request: PairRequest, from: IpAddr, name: &str) -> Answer {
        let (Ok(secret), Ok(challenge)) = (random(), random()) else {
            let reason = "the kernel gives no random bytes".to_owned();
            return Answer::Failed(PairingError::NotStored { reason });
        };
        let (sender, answer) = oneshot::channel();
        let id = {
            let mut desk = self.lock();
            desk.connections += 1;
            let id = ConnectionId(desk.connections);
            desk.held.insert(id, sender);
            desk.lobby.handle_request(request, from, id, Fresh { secret, challenge }, now());
            self.settle(&mut desk, name);
            id
        };
        let _held = Held { reception: self, id };
        answer.await.unwrap_or(Answer::Failed(PairingError::Unknown))
    }

    /// A client says that it forgets this host.
    pub fn unpair(self: &Arc<Self>, from: IpAddr) {
        let mut desk = self.lock();
        desk.lobby.handle_unpair(from, now());
        self.settle(&mut desk, "");
    }

    /// A person typed the PIN of an attempt, and may call the client something. What came of it follows.
    ///
    /// # Errors
    /// [`PairingError`] if the PIN is not taken.
    pub fn pin(
        self: &Arc<Self>,
        id: AttemptId,
        pin: Pin,
        name: &str,
    ) -> Result<oneshot::Receiver<Ended>, PairingError> {
        let mut desk = self.lock();
        let taken = desk.lobby.handle_pin(id, pin, now());
        let (sender, ended) = oneshot::channel();
        if taken.is_ok() {
            desk.typists.insert(id, sender);
            if !name.is_empty() {
                desk.names.insert(id, clean_name(name));
            }
        }
        self.settle(&mut desk, "");
        taken.map(|()| ended)
    }

    /// A person said no.
    ///
    /// # Errors
    /// [`PairingError::Unknown`].
    pub fn refuse(self: &Arc<Self>, id: AttemptId) -> Result<(), PairingError> {
        let mut desk = self.lock();
        let refused = desk.lobby.refuse(id, now());
        self.settle(&mut desk, "");
        refused
    }

    /// All attempts, the oldest first.
    pub fn waiting(self: &Arc<Self>) -> Vec<Waiting> {
        let mut desk = self.lock();
        let now = now();
        desk.lobby.handle_timeout(now);
        self.settle(&mut desk, "");
        let name = |id| desk.names.get(&id).cloned().unwrap_or_default();
        let waiting = desk.lobby.attempts().map(|attempt| Waiting {
            name: name(attempt.id),
            age: now.since(attempt.began),
            attempt,
        });
        waiting.collect()
    }

    /// Ends what takes too long. Never returns.
    pub async fn keep_time(self: Arc<Self>) {
        loop {
            let due = self.lock().lobby.poll_timeout();
            let wait = async {
                match due {
                    Some(due) => sleep(due.since(now())).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = wait => {}
                () = self.bell.notified() => {}
            }
            let mut desk = self.lock();
            desk.lobby.handle_timeout(now());
            self.settle(&mut desk, "");
        }
    }

    /// Does all that the lobby wants done. `newcomer`: what the client of this request calls itself.
    fn settle(self: &Arc<Self>, desk: &mut Desk, newcomer: &str) {
        while let Some(output) = desk.lobby.poll_output() {
            match output {
                Output::Answer(connection, answer) => {
                    if let Some(sender) = desk.held.remove(&connection) {
                        // Who hung up this very moment is told nothing.
                        let _ = sender.send(answer);
                    }
                }
                Output::Began(id) => {
                    let name = if newcomer == NO_NAME { String::new() } else { clean_name(newcomer) };
                    desk.names.insert(id, name);
                    desk.tell(id);
                    self.bell.notify_one();
                }
                Output::Store(id, proven) => {
                    let name = desk.names.get(&id).cloned().unwrap_or_default();
                    tokio::spawn(self.clone().store(id, proven, name));
                }
                Output::Ended(id, ended) => {
                    desk.names.remove(&id);
                    if let Some(typist) = desk.typists.remove(&id) {
                        // Whoever typed it waits no more.
                        let _ = typist.send(ended);
                    }
                }
            }
        }
    }

    /// Writes a client down, then lets it be told.
    async fn store(self: Arc<Self>, id: AttemptId, proven: Proven, name: String) {
        let client = Fingerprint::from_bytes(proven.certificate().fingerprint());
        let clients = self.clients.clone();
        let written = tokio::task::spawn_blocking(move || clients.pair(client, &name)).await;
        let result = match written {
            Ok(stored) => stored.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match &result {
            Ok(()) => tracing::info!(STAGE = "transportd", "paired the Moonlight client {client}"),
            Err(error) => tracing::error!(STAGE = "transportd", "cannot pair {client}: {error}"),
        }
        let mut desk = self.lock();
        desk.lobby.stored(id, result);
        self.settle(&mut desk, "");
    }

    fn lock(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    /// A line for whoever watches the log.
    fn tell(&mut self, id: AttemptId) {
        let now_ns = now_ns();
        let Some(attempt) = self.lobby.attempts().find(|attempt| attempt.id == id) else { return };
        if self.told_ns == 0 || now_ns.saturating_sub(self.told_ns) >= QUIET_NS {
            self.told_ns = now_ns;
            tracing::info!(
                STAGE = "transportd",
                "a Moonlight client at {} wants to pair; if it is yours, run `lumenctl pair {} PIN` with the PIN it shows",
                attempt.from,
                id.0
            );
        }
    }
}
