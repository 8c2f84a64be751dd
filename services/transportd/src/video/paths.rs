//! Where each client's video goes: its newest hello or ping decides, and nothing is ever answered to one.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use lumen_core::seal::OpenCounters;
use lumen_stage::clock::now_ns;
use rustix::event::{EventfdFlags, eventfd};

use super::{
    early::Early,
    inlet,
    outlet::{Destination, Outlet},
    proof::{Claim, Proof, Reader},
};
use crate::record::{Record, Road};

/// A client says hello each second, or pings twice; two of three hellos may be lost.
const SILENCE_NS: u64 = 3_000_000_000;

/// Wakes a session's thread out of its poll.
#[derive(Debug)]
pub struct Bell(OwnedFd);

impl Bell {
    /// A silent one.
    pub fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Rings.
    pub fn ring(&self) {
        // EAGAIN means 2⁶⁴ − 1 unread rings: it rings already.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Silences it, before what it rang for is looked at.
    pub fn silence(&self) {
        // EAGAIN: it was silent.
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The way to one client.
#[derive(Debug)]
pub struct Path {
    claim: Claim,
    proof: Mutex<Proof>,
    way: Mutex<Way>,
    bell: Arc<Bell>,
    record: Arc<Record>,
    road: Road,
    /// When the last good hello came, or the path was made; CLOCK_MONOTONIC ns.
    heard_ns: AtomicU64,
}

/// Where video goes, if a hello said so, and the lowest number that another one must have to change it.
#[derive(Debug, Default)]
struct Way {
    destination: Option<Destination>,
    next_hello: u64,
}

impl Path {
    /// As `record` says; unknown until the first datagram that `proof` believes, which rings `bell`.
    pub fn new(proof: Proof, bell: Arc<Bell>, record: Arc<Record>) -> Self {
        Self::on(Road::Video, proof, bell, record)
    }

    /// As [`Self::new`], for what takes `road`.
    pub fn on(road: Road, proof: Proof, bell: Arc<Bell>, record: Arc<Record>) -> Self {
        let way = record.way(road).map(|(destination, hello)| Way {
            destination: Some(destination),
            next_hello: hello.saturating_add(1),
        });
        let (claim, proof) = (proof.claim(), Mutex::new(proof));
        let way = Mutex::new(way.unwrap_or_default());
        Self { claim, proof, way, bell, record, road, heard_ns: AtomicU64::new(now_ns()) }
    }

    /// Where video goes now.
    pub fn destination(&self) -> Option<Destination> {
        lock(&self.way).destination
    }

    /// Whether no hello has come for longer than a client that lives is ever silent.
    pub fn is_silent(&self) -> bool {
        now_ns().saturating_sub(self.heard_ns.load(Relaxed)) > SILENCE_NS
    }

    /// Nobody is there any more: frames are held back until another hello comes.
    pub fn lose(&self) {
        lock(&self.way).destination = None;
    }

    /// What became of the datagrams that claimed to be this client's.
    pub fn counters(&self) -> OpenCounters {
        lock(&self.proof).counters()
    }

    /// The proof knows the hellos of this incarnation; what earlier ones saw, `next_hello` does.
    fn handle(&self, datagram: &mut [u8], place: Destination) {
        let Some(number) = lock(&self.proof).check(datagram) else {
            return;
        };
        let mut way = lock(&self.way);
        if number < way.next_hello {
            return;
        }
        self.heard_ns.store(now_ns(), Relaxed);
        self.record.set_way(self.road, place, number);
        way.next_hello = number.saturating_add(1);
        if way.destination.replace(place).is_none() {
            self.bell.ring();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All paths of one socket.
#[derive(Debug)]
pub struct Paths {
    reader: Reader,
    paths: RwLock<HashMap<Claim, Arc<Path>>>,
    /// Locked inside `paths`, so that no session comes between a look for it and its ping's place here.
    early: Mutex<Early>,
    strangers: AtomicU64,
}

/// A path's place among the others; dropping it takes the path out.
#[derive(Debug)]
pub struct Listed {
    paths: Arc<Paths>,
    claim: Claim,
}

impl Paths {
    /// None yet; `reader` is the protocol's.
    pub fn new(reader: Reader) -> Self {
        Self { reader, paths: RwLock::default(), early: Mutex::default(), strangers: AtomicU64::new(0) }
    }

    /// Lists `path`, which then knows what came before it; `None` if its claim is in use already.
    pub fn list(self: &Arc<Self>, path: Arc<Path>) -> Option<Listed> {
        let claim = path.claim;
        let mut paths = self.paths.write().unwrap_or_else(PoisonError::into_inner);
        if paths.contains_key(&claim) {
            return None;
        }
        let early = lock(&self.early).take(claim, now_ns());
        if let Some((mut datagram, place)) = early {
            path.handle(&mut datagram, place);
        }
        paths.insert(claim, path);
        Some(Listed { paths: self.clone(), claim })
    }

    /// Whether no session claims this.
    pub fn is_free(&self, claim: Claim) -> bool {
        let paths = self.paths.read().unwrap_or_else(PoisonError::into_inner);
        !paths.contains_key(&claim)
    }

    /// Datagrams that belonged to no session when they came.
    pub fn strangers(&self) -> u64 {
        self.strangers.load(Relaxed)
    }

    fn handle(&self, datagram: &mut [u8], place: Destination) {
        let path = (self.reader)(datagram).and_then(|claim| {
            let paths = self.paths.read().unwrap_or_else(PoisonError::into_inner);
            let path = paths.get(&claim).cloned();
            if path.is_none() {
                lock(&self.early).keep(claim, datagram, place, now_ns());
            }
            path
        });
        match path {
            Some(path) => path.handle(datagram, place),
            None => drop(self.strangers.fetch_add(1, Relaxed)),
        }
    }

    /// Starts the thread that takes in all hellos or pings, until the paths are dropped.
    pub fn listen(self: &Arc<Self>, outlet: Arc<Outlet>) -> io::Result<()> {
        let paths = Arc::downgrade(self);
        let listen =
            move || inlet::take_in(&outlet, &paths, |paths, bytes, place| paths.handle(bytes, place));
        thread::Builder::new().name("hellos".into()).spawn(listen).map(drop)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut paths = self.paths.paths.write().unwrap_or_else(PoisonError::into_inner);
        paths.remove(&self.claim);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::fixed;
    use lumen_core::{
        Timestamp,
        seal::{ChannelSecret, Direction, LocalCounter, Opener, Sealer},
        wire::ChannelId,
    };

    const CHANNEL: ChannelId = ChannelId(7);
    const SECRET: [u8; 32] = [9; 32];

    fn place(port: u16) -> Destination {
        Destination { to: ([127, 0, 0, 1], port).into(), from: None }
    }

    fn proof() -> Proof {
        let opener = Opener::new(&ChannelSecret::from_bytes(SECRET), CHANNEL, Direction::ClientToHost);
        Proof::Hello(CHANNEL, Box::new(opener))
    }

    fn setup() -> (Arc<Paths>, Arc<Path>, Sealer) {
        let secret = ChannelSecret::from_bytes(SECRET);
        let record = Arc::new(Record::make(&fixed(1), 1).unwrap());
        let path = Arc::new(Path::new(proof(), Arc::new(Bell::new().unwrap()), record));
        let sealer = Sealer::new(&secret, CHANNEL, Direction::ClientToHost);
        (Arc::new(Paths::new(Claim::of_hello)), path, sealer)
    }

    /// Sabotage: move the path on each hello, newest or not.
    #[test]
    fn the_newest_hello_decides_and_a_delayed_one_does_not() {
        let (paths, path, mut sealer) = setup();
        let _listed = paths.list(path.clone()).unwrap();
        let mut counter = LocalCounter::default();
        let mut hello = || sealer.seal_hello(Timestamp::from_ns(1), &mut counter).unwrap();
        let (mut first, mut second) = (hello(), hello());
        paths.handle(&mut second, place(2));
        assert_eq!(path.destination(), Some(place(2)));
        paths.handle(&mut first, place(1));
        assert_eq!(path.destination(), Some(place(2)));
    }

    /// Sabotage: forget the number of the hello that the incarnation before took.
    #[test]
    fn a_hello_of_before_the_restart_moves_nothing() {
        let (paths, path, mut sealer) = setup();
        let listed = paths.list(path.clone()).unwrap();
        let mut counter = LocalCounter::default();
        let mut hello = || sealer.seal_hello(Timestamp::from_ns(1), &mut counter).unwrap();
        let (mut first, mut second, mut third) = (hello(), hello(), hello());
        let copy = first;
        paths.handle(&mut first, place(1));
        paths.handle(&mut second, place(2));
        drop(listed);
        let next = Path::new(proof(), path.bell.clone(), path.record.clone());
        assert_eq!(next.destination(), Some(place(2)));
        next.handle(&mut copy.clone(), place(9));
        assert_eq!(next.destination(), Some(place(2)));
        next.handle(&mut third, place(3));
        assert_eq!(next.destination(), Some(place(3)));
    }

    /// Sabotage: take the address before the datagram is opened.
    #[test]
    fn a_forged_hello_moves_nothing_and_is_counted() {
        let (paths, path, mut sealer) = setup();
        let _listed = paths.list(path.clone()).unwrap();
        let mut hello = sealer.seal_hello(Timestamp::from_ns(1), &mut LocalCounter::default()).unwrap();
        hello[20] ^= 1;
        paths.handle(&mut hello, place(1));
        assert_eq!(path.destination(), None);
        assert_eq!(path.counters().forged, 1);
        paths.handle(&mut [0; 30], place(1));
        paths.handle(&mut [], place(1));
        assert_eq!(paths.strangers(), 2);
    }

    #[test]
    fn a_path_is_gone_with_its_session() {
        let (paths, path, _) = setup();
        let listed = paths.list(path.clone()).unwrap();
        assert!(paths.list(path.clone()).is_none());
        drop(listed);
        assert!(paths.list(path).is_some());
    }

    /// Sabotage: forget pings of sessions that are not listed yet, or take one for another session's.
    #[test]
    fn a_ping_that_comes_before_its_session_opens_its_path() {
        let (paths, _, _) = setup();
        let paths = Arc::new(Paths { reader: Claim::of_ping, ..Arc::into_inner(paths).unwrap() });
        let ping = |token: &[u8]| [token, &1u32.to_be_bytes()].concat();
        paths.handle(&mut ping(b"0123456789abcdef"), place(1));
        paths.handle(&mut ping(b"0123456789abcdeX"), place(2));
        let record = Arc::new(Record::make(&fixed(1), 1).unwrap());
        let bell = Arc::new(Bell::new().unwrap());
        let path = Arc::new(Path::new(Proof::Token(*b"0123456789abcdef"), bell, record));
        let _listed = paths.list(path.clone()).unwrap();
        assert_eq!(path.destination(), Some(place(1)));
    }

    /// Sabotage: believe a ping with another session's token, or the four bytes of clients without sessions.
    #[test]
    fn only_a_ping_with_the_sessions_token_opens_a_path_and_the_newest_counts() {
        let record = Arc::new(Record::make(&fixed(1), 1).unwrap());
        let path =
            Arc::new(Path::new(Proof::Token(*b"0123456789abcdef"), Arc::new(Bell::new().unwrap()), record));
        let paths = Arc::new(Paths::new(Claim::of_ping));
        let _listed = paths.list(path.clone()).unwrap();
        let ping = |token: &[u8], number: u32| [token, &number.to_be_bytes()].concat();
        for stranger in [b"PING".to_vec(), ping(b"0123456789abcdeX", 9), Vec::new()] {
            paths.handle(&mut stranger.clone(), place(1));
        }
        assert_eq!((path.destination(), paths.strangers()), (None, 3));
        paths.handle(&mut ping(b"0123456789abcdef", 2), place(2));
        paths.handle(&mut ping(b"0123456789abcdef", 1), place(1));
        assert_eq!(path.destination(), Some(place(2)));
        path.lose();
        assert_eq!(path.destination(), None);
        paths.handle(&mut ping(b"0123456789abcdef", 3), place(3));
        assert_eq!(path.destination(), Some(place(3)));
    }
}
