//! The control socket: one for all clients, and which datagram is whose.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use lumen_gamestream::enet::{Connect, PeerId};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::video::{Outlet, datagrams::TrafficClass, inlet, outlet::Destination};

/// Datagrams that may wait for a session: two seconds of a fast mouse. What is dropped comes again.
const WAITING: usize = 2048;

/// Longest datagram that is looked at. Because clients send at most 900 bytes in one.
const LONGEST: usize = 1500;

/// A datagram and where it came from.
#[derive(Debug)]
pub struct Arrival {
    /// All of it.
    pub bytes: Vec<u8>,
    /// Where an answer goes.
    pub place: Destination,
}

#[derive(Debug, Default)]
struct Table {
    /// By the number that a connect carries.
    connects: HashMap<u32, Sender<Arrival>>,
    peers: HashMap<PeerId, Sender<Arrival>>,
}

/// The socket.
#[derive(Debug)]
pub struct Switchboard {
    socket: Arc<Outlet>,
    table: Mutex<Table>,
    strangers: AtomicU64,
}

/// A session's line; dropping it hangs up.
#[derive(Debug)]
pub struct Line {
    board: Arc<Switchboard>,
    number: u32,
    id: PeerId,
    arrivals: Receiver<Arrival>,
}

impl Switchboard {
    /// Over a non-blocking UDP socket.
    ///
    /// # Errors
    /// What the kernel says to its options.
    pub fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        Ok(Self {
            socket: Arc::new(Outlet::new(socket)?),
            table: Mutex::default(),
            strangers: AtomicU64::new(0),
        })
    }

    /// Starts the thread that takes datagrams in, until the switchboard is dropped.
    ///
    /// # Errors
    /// The kernel gives no thread.
    pub fn listen(self: &Arc<Self>) -> io::Result<()> {
        let (board, socket) = (Arc::downgrade(self), self.socket.clone());
        let listen =
            move || inlet::take_in(&socket, &board, |board, bytes, place| board.handle(bytes, place));
        thread::Builder::new().name("control".into()).spawn(listen).map(drop)
    }

    /// A peer's id that no session has.
    pub fn free_id(&self) -> Option<PeerId> {
        let table = self.lock();
        (0..).map_while(PeerId::new).find(|id| !table.peers.contains_key(id))
    }

    /// A line for the session whose client's connect carries `number`, and whose peer is `id`; `None` if one of them is taken.
    pub fn connect(self: &Arc<Self>, number: u32, id: PeerId) -> Option<Line> {
        let (to, arrivals) = channel(WAITING);
        let mut table = self.lock();
        if table.connects.contains_key(&number) || table.peers.contains_key(&id) {
            return None;
        }
        table.connects.insert(number, to.clone());
        table.peers.insert(id, to);
        Some(Line { board: self.clone(), number, id, arrivals })
    }

    /// Datagrams that belong to nobody.
    pub fn strangers(&self) -> u64 {
        self.strangers.load(Relaxed)
    }

    fn handle(&self, datagram: &[u8], place: Destination) {
        let to = {
            let table = self.lock();
            match Connect::parse(datagram) {
                Some(connect) => table.connects.get(&connect.data).cloned(),
                None => PeerId::of(datagram).and_then(|id| table.peers.get(&id).cloned()),
            }
        };
        match to.filter(|_| datagram.len() <= LONGEST) {
            // A session that does not keep up hears it again.
            Some(to) => drop(to.try_send(Arrival { bytes: datagram.to_vec(), place })),
            None => drop(self.strangers.fetch_add(1, Relaxed)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// The next datagram.
    pub async fn arrival(&mut self) -> Option<Arrival> {
        self.arrivals.recv().await
    }

    /// Sends a datagram; one that the kernel does not take is lost, and ENet says it again.
    pub fn send(&self, bytes: &[u8], to: Destination) {
        let _ = self.board.socket.post(bytes, to, TrafficClass::BEST_EFFORT);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut table = self.board.lock();
        table.connects.remove(&self.number);
        table.peers.remove(&self.id);
    }
}
