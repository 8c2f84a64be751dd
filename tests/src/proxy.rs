//! A bad network on loopback: listens on another loopback address at the host's own ports and forwards.
//!
//! lumen/1 tells the client a port for video, not an address, so a client that dials 127.0.0.2 sends and receives
//! everything through here; RTSP tells a Moonlight client ports likewise. Only video towards the client is treated badly.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use crate::constellation::MOONLIGHT;

/// Where clients find the proxy; the host is at 127.0.0.1.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// What happens to a video datagram on its way to the client.
pub enum Fate {
    /// It arrives.
    Pass,
    /// It is lost.
    Drop,
    /// It arrives, and so does a copy with this bit flipped.
    PassWithForgery {
        /// Counted from the first bit of the datagram; taken modulo its length.
        bit: usize,
    },
}

type Judge = Box<dyn FnMut(&[u8]) -> Fate + Send>;

/// Counters of what was done.
#[derive(Debug, Default)]
pub struct Counters {
    /// Video datagrams that came from the host.
    pub seen: AtomicU64,
    /// Those of them that were lost.
    pub dropped: AtomicU64,
    /// Forged copies that were added.
    pub forged: AtomicU64,
}

/// A running proxy; ends when dropped.
pub struct Proxy {
    counters: Arc<Counters>,
    ended: Arc<AtomicBool>,
    ports: Vec<thread::JoinHandle<()>>,
}

impl Proxy {
    /// Forwards the host's `control` and `video` ports; `judge` decides over each video datagram to the client.
    pub fn start(
        control: u16,
        video: u16,
        judge: impl FnMut(&[u8]) -> Fate + Send + 'static,
    ) -> io::Result<Self> {
        let (counters, ended) = (Arc::new(Counters::default()), Arc::new(AtomicBool::new(false)));
        let judge: Arc<Mutex<Judge>> = Arc::new(Mutex::new(Box::new(judge)));
        let pass: Arc<Mutex<Judge>> = Arc::new(Mutex::new(Box::new(|_| Fate::Pass)));
        let ports = vec![
            Port::open(control, pass, Arc::new(Counters::default()), ended.clone())?,
            Port::open(video, judge, counters.clone(), ended.clone())?,
        ];
        Ok(Self { counters, ended, ports })
    }

    /// Forwards what the genuine Moonlight client speaks to the host under test, HTTP aside; `judge` decides over each video
    /// datagram to the client.
    pub fn to_moonlight(judge: impl FnMut(&[u8]) -> Fate + Send + 'static) -> io::Result<Self> {
        let mut proxy = Self::start(MOONLIGHT + 10, MOONLIGHT + 9, judge)?;
        let pass: Arc<Mutex<Judge>> = Arc::new(Mutex::new(Box::new(|_| Fate::Pass)));
        let sound = Port::open(MOONLIGHT + 11, pass, Arc::new(Counters::default()), proxy.ended.clone())?;
        proxy.ports.extend([sound, forward(MOONLIGHT + 21, proxy.ended.clone())?]);
        Ok(proxy)
    }

    /// What was done so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ended.store(true, Relaxed);
        // The next proxy wants the same ports.
        for port in self.ports.drain(..) {
            if port.join().is_err() {
                eprintln!("a proxy's thread panicked");
            }
        }
    }
}

#[derive(Clone)]
struct Port {
    clients: Arc<UdpSocket>,
    host: SocketAddr,
    judge: Arc<Mutex<Judge>>,
    counters: Arc<Counters>,
    ended: Arc<AtomicBool>,
}

impl Port {
    fn open(
        port: u16,
        judge: Arc<Mutex<Judge>>,
        counters: Arc<Counters>,
        ended: Arc<AtomicBool>,
    ) -> io::Result<thread::JoinHandle<()>> {
        let clients = Arc::new(bind(port)?);
        clients.set_read_timeout(Some(Duration::from_millis(100)))?;
        let port = Self { clients, host: (Ipv4Addr::LOCALHOST, port).into(), judge, counters, ended };
        Ok(thread::spawn(move || port.carry_to_host()))
    }

    /// Client to host: one socket towards the host per client, so that answers find their way.
    fn carry_to_host(self) {
        let mut routes: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
        let mut bytes = vec![0; 65_536];
        while !self.ended.load(Relaxed) {
            let Ok((len, client)) = self.clients.recv_from(&mut bytes) else {
                continue;
            };
            let route = match routes.entry(client) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => match self.route(client) {
                    Ok(route) => new.insert(route),
                    Err(_) => continue,
                },
            };
            // A host that is down answers with ECONNREFUSED; the client finds out by itself.
            let _ = route.send(bytes.get(..len).unwrap_or_default());
        }
    }

    fn route(&self, client: SocketAddr) -> io::Result<Arc<UdpSocket>> {
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?);
        socket.connect(self.host)?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let (port, reader) = (self.clone(), socket.clone());
        thread::spawn(move || port.carry_to_client(&reader, client));
        Ok(socket)
    }

    /// Host to client.
    fn carry_to_client(&self, route: &UdpSocket, client: SocketAddr) {
        let mut bytes = vec![0; 65_536];
        while !self.ended.load(Relaxed) {
            let Ok(len) = route.recv(&mut bytes) else { continue };
            let Some(datagram) = bytes.get_mut(..len) else {
                continue;
            };
            self.counters.seen.fetch_add(1, Relaxed);
            let fate = (self.judge.lock().unwrap_or_else(PoisonError::into_inner))(datagram);
            self.deliver(datagram, client, &fate);
        }
    }

    fn deliver(&self, datagram: &mut [u8], client: SocketAddr, fate: &Fate) {
        let send = |datagram: &[u8]| {
            // A client that is gone is the client's business.
            let _ = self.clients.send_to(datagram, client);
        };
        match *fate {
            Fate::Drop => drop(self.counters.dropped.fetch_add(1, Relaxed)),
            Fate::Pass => send(datagram),
            Fate::PassWithForgery { bit } => {
                send(datagram);
                let bit = bit % (datagram.len() * 8).max(1);
                if let Some(byte) = datagram.get_mut(bit / 8) {
                    *byte ^= 1 << (bit % 8);
                    self.counters.forged.fetch_add(1, Relaxed);
                    send(datagram);
                }
            }
        }
    }
}

/// Forwards a TCP port of which each connection is one question and its answer, as RTSP's are.
fn forward(port: u16, ended: Arc<AtomicBool>) -> io::Result<thread::JoinHandle<()>> {
    let listener = TcpListener::bind((ADDRESS, port))?;
    listener.set_nonblocking(true)?;
    Ok(thread::spawn(move || {
        while !ended.load(Relaxed) {
            match listener.accept() {
                // One whose host does not answer is closed.
                Ok((client, _)) => drop(thread::spawn(move || exchange(&client, port))),
                Err(_) => thread::sleep(Duration::from_millis(5)),
            }
        }
    }))
}

fn exchange(client: &TcpStream, port: u16) -> io::Result<()> {
    client.set_nonblocking(false)?;
    let host = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    let (mut asks, mut hears) = (client.try_clone()?, host.try_clone()?);
    thread::spawn(move || {
        let asked = io::copy(&mut asks, &mut hears);
        // It may be closed already, since the host closes it after its answer.
        let _ = hears.shutdown(Shutdown::Write);
        asked
    });
    io::copy(&mut &host, &mut &*client)?;
    client.shutdown(Shutdown::Both)
}

/// A small seeded generator (splitmix64), so that a failing run can be repeated.
#[derive(Debug, Clone)]
pub struct Seeded(pub u64);

impl Seeded {
    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.next_u64().is_multiple_of(n)
    }
}

/// The port, once a proxy of before has let go of it: its threads end after it.
fn bind(port: u16) -> io::Result<UdpSocket> {
    let end = Instant::now() + Duration::from_secs(3);
    loop {
        match UdpSocket::bind((ADDRESS, port)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < end => {
                thread::sleep(Duration::from_millis(20));
            }
            done => return done,
        }
    }
}
