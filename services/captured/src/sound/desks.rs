//! What a session's pictures and its sound know of each other.

use lumen_ipc::SessionId;
use lumen_stage::clock::now_ns;
use std::{
    collections::HashMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How long an Output waits for the session's sink, so that the program on it finds that.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long after its start an heir is asked to go on with the sessions of the incarnation before.
const INHERITANCE_NS: u64 = 1_000_000_000;

#[derive(Debug, Default, Clone, Copy)]
struct Desk {
    /// The sink is there, or cannot be.
    is_settled: bool,
    /// The Output is in the user's own desktop; `None` before there is one.
    is_users: Option<bool>,
}

#[derive(Debug, Default)]
struct Shared {
    desks: Mutex<HashMap<SessionId, Desk>>,
    settled: Condvar,
    /// Until then, on CLOCK_MONOTONIC, sessions are those of the incarnation before.
    heir_until_ns: u64,
}

/// All sessions' desktops, as far as sound is concerned. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct Desks(Arc<Shared>);

impl Desks {
    /// None yet. With `is_heir` those that come soon are of the incarnation before.
    pub fn new(is_heir: bool) -> Self {
        let heir_until_ns = if is_heir { now_ns() + INHERITANCE_NS } else { 0 };
        Self(Arc::new(Shared { heir_until_ns, ..Shared::default() }))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Desk>> {
        self.0.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sink of `session` is there, or it is known that there will be none for now.
    pub fn settle(&self, session: SessionId) {
        self.lock().entry(session).or_default().is_settled = true;
        self.0.settled.notify_all();
    }

    /// Waits until the sink of `session` is settled, for a while. After a crash it is where it was, and so is the program.
    pub fn await_sink(&self, session: SessionId) {
        if now_ns() >= self.0.heir_until_ns {
            self.await_settled(session, PATIENCE);
        }
    }

    /// Waits until the sink of `session` is settled, at most `limit`.
    fn await_settled(&self, session: SessionId, limit: Duration) {
        let is_open =
            |desks: &mut HashMap<SessionId, Desk>| !desks.get(&session).is_some_and(|desk| desk.is_settled);
        // Past the limit a program may find its sink only after it began to play.
        drop(self.0.settled.wait_timeout_while(self.lock(), limit, is_open));
    }

    /// The Output of `session` is in the user's own desktop, or in one of its own.
    pub fn place(&self, session: SessionId, is_users: bool) {
        self.lock().entry(session).or_default().is_users = Some(is_users);
    }

    /// Whether the Output of `session` is in the user's own desktop.
    pub fn is_users(&self, session: SessionId) -> bool {
        self.lock().get(&session).and_then(|desk| desk.is_users).unwrap_or_default()
    }

    /// `session` is over.
    pub fn forget(&self, session: SessionId) {
        self.lock().remove(&session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    const ID: SessionId = SessionId([1; 16]);

    /// Sabotage: wait for any session's sink.
    #[test]
    fn pictures_wait_for_their_own_sink_and_not_for_ever() {
        let desks = Desks::default();
        desks.settle(SessionId([2; 16]));
        let begun = Instant::now();
        desks.await_settled(ID, Duration::from_millis(30));
        assert!(begun.elapsed() >= Duration::from_millis(30));
        let other = desks.clone();
        let thread = std::thread::spawn(move || other.settle(ID));
        desks.await_settled(ID, Duration::from_secs(60));
        assert!(begun.elapsed() < Duration::from_secs(30));
        thread.join().unwrap();
    }

    #[test]
    fn a_desktop_is_the_sessions_own_until_it_is_told_otherwise() {
        let desks = Desks::default();
        assert!(!desks.is_users(ID));
        desks.place(ID, true);
        assert!(desks.is_users(ID));
        desks.forget(ID);
        assert!(!desks.is_users(ID));
    }
}
