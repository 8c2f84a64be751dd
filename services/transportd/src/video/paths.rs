//! Where each client's video goes: its newest sealed hello decides, and nothing is ever answered to one.

use std::{
    collections::HashMap,
    io::{self, IoSliceMut},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use lumen_core::{
    seal::{OpenCounters, Opened, Opener},
    wire::{ChannelId, channel_of},
};
use lumen_stage::clock::now_ns;
use quinn_udp::RecvMeta;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::outlet::{Destination, Outlet};
use crate::record::Record;

/// Because the kernel merges equal datagrams of one sender into at most 64 KiB (GRO).
const RECEIVE_BYTES: usize = 1 << 16;

/// A client says hello each second, and two of three may be lost.
const SILENCE_NS: u64 = 3_000_000_000;

/// Pause after an error that the socket did not explain.
const ERROR_PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

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
    channel: ChannelId,
    opener: Mutex<Opener>,
    way: Mutex<Way>,
    bell: Arc<Bell>,
    record: Arc<Record>,
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
    /// As `record` says; unknown until the client's first hello, which rings `bell`.
    pub fn new(channel: ChannelId, opener: Opener, bell: Arc<Bell>, record: Arc<Record>) -> Self {
        let way = record.way().map(|(destination, hello)| Way {
            destination: Some(destination),
            next_hello: hello.saturating_add(1),
        });
        let (opener, way) = (Mutex::new(opener), Mutex::new(way.unwrap_or_default()));
        Self { channel, opener, way, bell, record, heard_ns: AtomicU64::new(now_ns()) }
    }

    /// Its number.
    pub fn channel(&self) -> ChannelId {
        self.channel
    }

    /// Where video goes now.
    pub fn destination(&self) -> Option<Destination> {
        lock(&self.way).destination
    }

    /// Whether no hello has come for longer than a client that lives is ever silent.
    pub fn is_silent(&self) -> bool {
        now_ns().saturating_sub(self.heard_ns.load(Relaxed)) > SILENCE_NS
    }

    /// What became of the datagrams that claimed this channel.
    pub fn counters(&self) -> OpenCounters {
        lock(&self.opener).counters()
    }

    /// The opener knows the hellos of this incarnation; what earlier ones saw, `next_hello` does.
    fn handle(&self, datagram: &mut [u8], place: Destination) {
        let hello = match lock(&self.opener).open(datagram) {
            Ok(Opened::Hello(hello)) if hello.is_newest => hello,
            _ => return,
        };
        self.heard_ns.store(now_ns(), Relaxed);
        let mut way = lock(&self.way);
        if hello.sequence < way.next_hello {
            return;
        }
        self.record.set_way(place, hello.sequence);
        way.next_hello = hello.sequence.saturating_add(1);
        if way.destination.replace(place).is_none() {
            self.bell.ring();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All paths of the stage.
#[derive(Debug, Default)]
pub struct Paths {
    paths: RwLock<HashMap<ChannelId, Arc<Path>>>,
    strangers: AtomicU64,
}

/// A path's place among the others; dropping it takes the path out.
#[derive(Debug)]
pub struct Listed {
    paths: Arc<Paths>,
    channel: ChannelId,
}

impl Paths {
    /// Lists `path`; `None` if its channel is in use already.
    pub fn list(self: &Arc<Self>, path: Arc<Path>) -> Option<Listed> {
        let channel = path.channel;
        let mut paths = self.paths.write().unwrap_or_else(PoisonError::into_inner);
        if paths.contains_key(&channel) {
            return None;
        }
        paths.insert(channel, path);
        Some(Listed { paths: self.clone(), channel })
    }

    /// Whether no session has this channel.
    pub fn is_free(&self, channel: ChannelId) -> bool {
        let paths = self.paths.read().unwrap_or_else(PoisonError::into_inner);
        !paths.contains_key(&channel)
    }

    /// Datagrams that belong to no session.
    pub fn strangers(&self) -> u64 {
        self.strangers.load(Relaxed)
    }

    fn handle(&self, datagram: &mut [u8], place: Destination) {
        let path = channel_of(datagram).ok().and_then(|channel| {
            let paths = self.paths.read().unwrap_or_else(PoisonError::into_inner);
            paths.get(&channel).cloned()
        });
        match path {
            Some(path) => path.handle(datagram, place),
            None => drop(self.strangers.fetch_add(1, Relaxed)),
        }
    }

    /// Starts the thread that takes in all hellos, for as long as the stage lives.
    pub fn listen(self: &Arc<Self>, outlet: Arc<Outlet>) -> io::Result<()> {
        let paths = self.clone();
        thread::Builder::new().name("hellos".into()).spawn(move || paths.take_in(&outlet)).map(drop)
    }

    fn take_in(&self, outlet: &Outlet) -> ! {
        let mut buffer = vec![0; RECEIVE_BYTES];
        loop {
            let mut meta = [RecvMeta::default()];
            let mut slices = [IoSliceMut::new(&mut buffer)];
            match outlet.state().recv(outlet.socket().into(), &mut slices, &mut meta) {
                Ok(_) => self.split(&mut buffer, &meta),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait(outlet, None),
                Err(_) => wait(outlet, Some(&ERROR_PAUSE)),
            }
        }
    }

    fn split(&self, buffer: &mut [u8], meta: &[RecvMeta; 1]) {
        let [meta] = meta;
        let place = Destination { to: meta.addr, from: meta.dst_ip };
        let received = buffer.get_mut(..meta.len).unwrap_or_default();
        for datagram in received.chunks_mut(meta.stride.max(1)) {
            self.handle(datagram, place);
        }
    }
}

fn wait(outlet: &Outlet, limit: Option<&Timespec>) {
    let mut fds = [PollFd::from_borrowed_fd(outlet.socket().as_fd(), PollFlags::IN)];
    // An interrupted wait ends in another look at the socket.
    let _ = poll(&mut fds, limit);
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut paths = self.paths.paths.write().unwrap_or_else(PoisonError::into_inner);
        paths.remove(&self.channel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::fixed;
    use lumen_core::{
        Timestamp,
        seal::{ChannelSecret, Direction, LocalCounter, Sealer},
    };

    const CHANNEL: ChannelId = ChannelId(7);
    const SECRET: [u8; 32] = [9; 32];

    fn place(port: u16) -> Destination {
        Destination { to: ([127, 0, 0, 1], port).into(), from: None }
    }

    fn setup() -> (Arc<Paths>, Arc<Path>, Sealer) {
        let secret = ChannelSecret::from_bytes(SECRET);
        let opener = Opener::new(&secret, CHANNEL, Direction::ClientToHost);
        let record = Arc::new(Record::make(&fixed(1), 1).unwrap());
        let path = Arc::new(Path::new(CHANNEL, opener, Arc::new(Bell::new().unwrap()), record));
        let sealer = Sealer::new(&secret, CHANNEL, Direction::ClientToHost);
        (Arc::default(), path, sealer)
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
        let secret = ChannelSecret::from_bytes(SECRET);
        let opener = Opener::new(&secret, CHANNEL, Direction::ClientToHost);
        let next = Path::new(CHANNEL, opener, path.bell.clone(), path.record.clone());
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
}
