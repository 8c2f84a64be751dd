//! Connections that have not yet said what they want: few, and the oldest of those who have most makes room.
//!
//! A silent connection therefore costs one place for at most the handshake's deadline, and holds nobody else up: a
//! newcomer who is in earnest needs its place for some milliseconds only.

use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::task::AbortHandle;

/// Places; a connection in its handshake costs some 100 kB.
pub const PLACES: usize = 64;

/// Places of one address, so that one machine never takes them all: many clients may stand behind one router, but they do
/// not all knock in the same second.
pub const PLACES_EACH: usize = 16;

/// From this many on, newcomers must first show that they receive at their address (a QUIC retry, which costs them one
/// round trip and us no memory).
pub const CROWD: usize = 8;

#[derive(Debug)]
struct Waiting {
    birth: u64,
    origin: IpAddr,
    task: AbortHandle,
}

#[derive(Debug, Default)]
struct Table {
    births: u64,
    waiting: VecDeque<Waiting>,
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

    /// A place for the next connection.
    pub fn enter(self: &Arc<Self>) -> Place {
        let mut table = self.lock();
        let birth = table.births;
        table.births += 1;
        Place { lobby: self.clone(), birth }
    }

    /// Connections that have not yet said what they want.
    pub fn waiting(&self) -> usize {
        self.lock().waiting.len()
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
    /// Seats the task of place `birth`, which comes from `from`. If there is no room, the one goes that waits longest of its
    /// own address, or else of the address that has most places.
    pub fn seat(&self, birth: u64, from: IpAddr, task: AbortHandle) {
        let mut table = self.lock();
        // A task that is done already has left before it was seated.
        if task.is_finished() {
            return;
        }
        let origin = network(from);
        if let Some(oldest) = table.crowding(origin).and_then(|place| table.waiting.remove(place)) {
            table.expelled += 1;
            oldest.task.abort();
        }
        table.waiting.push_back(Waiting { birth, origin, task });
    }
}

impl Table {
    /// Who makes room for a newcomer of `origin`, if somebody must.
    fn crowding(&self, origin: IpAddr) -> Option<usize> {
        let count = |of: IpAddr| self.waiting.iter().filter(|other| other.origin == of).count();
        let crowd = match self.waiting.len() {
            _ if count(origin) >= PLACES_EACH => origin,
            0..PLACES => return None,
            // The last of equals counts, and that is to be the oldest.
            _ => self.waiting.iter().rev().map(|other| other.origin).max_by_key(|other| count(*other))?,
        };
        self.waiting.iter().position(|other| other.origin == crowd)
    }
}

/// What one owner has: an IPv4 address, or 2⁶⁴ of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            [a, b, c, d, 0, 0, 0, 0].into()
        }
        ipv4 => ipv4,
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lobby.lock().waiting.retain(|other| other.birth != self.birth);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from(n).into()
    }

    /// A connection that says nothing.
    async fn knock(lobby: &Arc<Lobby>, from: IpAddr) -> tokio::task::JoinHandle<()> {
        let place = lobby.enter();
        let birth = place.birth();
        let task = tokio::spawn(async move {
            let _place = place;
            std::future::pending::<()>().await;
        });
        lobby.seat(birth, from, task.abort_handle());
        tokio::task::yield_now().await;
        task
    }

    /// Sabotage: refuse the newcomer instead of the oldest.
    #[tokio::test]
    async fn the_oldest_makes_room_and_an_earnest_one_does_not_wait() {
        let lobby = Arc::new(Lobby::default());
        let mut tasks = Vec::new();
        for n in 0..200 {
            tasks.push(knock(&lobby, ip(n)).await);
        }
        assert!(lobby.is_crowded());
        assert_eq!(lobby.expelled(), 200 - PLACES as u64);
        assert!(tasks[0].is_finished() && !tasks[199].is_finished());
        assert_eq!(lobby.waiting(), PLACES);
        tasks[199].abort();
        let _ = (&mut tasks[199]).await;
        assert_eq!(lobby.waiting(), PLACES - 1);
    }

    /// Sabotage: let the oldest go, whoever it is.
    #[tokio::test]
    async fn a_machine_that_knocks_two_hundred_times_drives_out_itself_alone() {
        let lobby = Arc::new(Lobby::default());
        let mut others = Vec::new();
        for n in 0..PLACES as u32 - 20 {
            others.push(knock(&lobby, ip(n)).await);
        }
        let mut loud = Vec::new();
        for n in 0..200u16 {
            let address = [0xfd00, 0, 0, 1, 0, 0, 0, n];
            loud.push(knock(&lobby, address.into()).await);
        }
        assert!(others.iter().all(|task| !task.is_finished()));
        assert_eq!(loud.iter().filter(|task| !task.is_finished()).count(), PLACES_EACH);
        for n in 1000..1010 {
            others.push(knock(&lobby, ip(n)).await);
        }
        assert_eq!(lobby.waiting(), PLACES);
        assert!(others.iter().all(|task| !task.is_finished()), "who has most places makes room");
    }
}
