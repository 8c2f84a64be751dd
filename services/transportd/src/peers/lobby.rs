//! Connections that have not yet said what they want: few, and the oldest makes room.
//!
//! A silent connection therefore costs one place for at most the handshake's deadline, and holds nobody else up: a
//! newcomer who is in earnest needs its place for some milliseconds only.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::task::AbortHandle;

/// Places; a connection in its handshake costs some 100 kB.
pub const PLACES: usize = 64;

/// From this many on, newcomers must first show that they receive at their address (a QUIC retry, which costs them one
/// round trip and us no memory).
pub const CROWD: usize = 8;

#[derive(Debug, Default)]
struct Table {
    births: u64,
    waiting: VecDeque<(u64, AbortHandle)>,
    expelled: u64,
}

/// Who waits.
#[derive(Debug, Default)]
pub struct Lobby(Mutex<Table>);

/// A place; dropping it frees it.
#[derive(Debug)]
pub struct Place {
    lobby: Arc<Lobby>,
    birth: u64,
}

impl Lobby {
    /// Whether newcomers have to prove their address.
    pub fn is_crowded(&self) -> bool {
        self.lock().waiting.len() >= CROWD
    }

    /// A place for the next connection; whoever waits longest goes if there is none left.
    pub fn enter(self: &Arc<Self>) -> Place {
        let mut table = self.lock();
        let birth = table.births;
        table.births += 1;
        Place { lobby: self.clone(), birth }
    }

    /// Connections that had to make room.
    pub fn expelled(&self) -> u64 {
        self.lock().expelled
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The number under which [`Lobby::seat`] knows it.
    pub fn birth(&self) -> u64 {
        self.birth
    }
}

impl Lobby {
    /// Seats the task of place `birth`.
    pub fn seat(&self, birth: u64, task: AbortHandle) {
        let mut table = self.lock();
        // A task that is done already has left before it was seated.
        if task.is_finished() {
            return;
        }
        if table.waiting.len() >= PLACES
            && let Some((_, oldest)) = table.waiting.pop_front()
        {
            table.expelled += 1;
            oldest.abort();
        }
        table.waiting.push_back((birth, task));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lobby.lock().waiting.retain(|(birth, _)| *birth != self.birth);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sabotage: refuse the newcomer instead of the oldest.
    #[tokio::test]
    async fn the_oldest_makes_room_and_an_earnest_one_does_not_wait() {
        let lobby = Arc::new(Lobby::default());
        let mut tasks = Vec::new();
        for _ in 0..200 {
            let place = lobby.enter();
            let birth = place.birth();
            let task = tokio::spawn(async move {
                let _place = place;
                std::future::pending::<()>().await;
            });
            lobby.seat(birth, task.abort_handle());
            tasks.push(task);
            tokio::task::yield_now().await;
        }
        assert!(lobby.is_crowded());
        assert_eq!(lobby.expelled(), 200 - PLACES as u64);
        assert!(tasks[0].is_finished() && !tasks[199].is_finished());
        assert_eq!(lobby.lock().waiting.len(), PLACES);
        tasks[199].abort();
        let _ = (&mut tasks[199]).await;
        assert_eq!(lobby.lock().waiting.len(), PLACES - 1);
    }
}
