//! What strangers can throw at a host that streams: datagrams that are random or like its client's own, and connections that
//! say nonsense.

use std::{
    collections::VecDeque,
    fs,
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{proxy::Seeded, tap::Seen};

/// Where strangers come from: another machine's address, and the client's own with another port.
const STRANGERS: [Ipv4Addr; 3] =
    [Ipv4Addr::new(127, 0, 0, 9), Ipv4Addr::new(127, 7, 7, 7), Ipv4Addr::LOCALHOST];
/// Datagrams a second, in bursts of so many.
const RATE: u32 = 50_000;
const BURST: u32 = 50;
/// Longest random datagram.
const LONGEST: u64 = 1500;
/// Bytes at the begin of a genuine ping that say whose it is. Whoever knows them is no stranger, so each datagram that is made of a
/// ping has others.
const TOKEN: usize = 16;
/// Connections a second, and how many stand open at once.
const CONNECTIONS: u32 = 1000;
const OPEN: usize = 200;

/// What is attacked.
#[derive(Debug, Clone)]
pub struct Target {
    /// UDP ports that somebody reads.
    pub udp: Vec<u16>,
    /// TCP ports.
    pub tcp: Vec<u16>,
    /// Datagrams of the client that streams, to be spoilt and sent by strangers.
    pub genuine: Vec<Seen>,
}

/// What was done, so far.
#[derive(Debug, Default)]
pub struct Toll {
    /// Datagrams that the kernel took.
    pub datagrams: AtomicU64,
    /// Of them, made out of genuine ones.
    pub mutated: AtomicU64,
    /// Bytes that came back to strangers over UDP.
    pub answered: AtomicU64,
    /// Connections that were made.
    pub connections: AtomicU64,
}

/// A running flood; ends when dropped.
pub struct Flood {
    toll: Arc<Toll>,
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Flood {
    /// Begins.
    ///
    /// # Errors
    /// There are no sockets.
    pub fn begin(target: &Target, seed: u64) -> io::Result<Self> {
        let (toll, ended) = (Arc::new(Toll::default()), Arc::new(AtomicBool::new(false)));
        let sockets = STRANGERS.map(|address| {
            let socket = UdpSocket::bind((address, 0))?;
            socket.set_nonblocking(true)?;
            io::Result::Ok(socket)
        });
        let sockets = sockets.into_iter().collect::<io::Result<Vec<_>>>()?;
        let mut rain = Rain { target: target.clone(), sockets, dice: Seeded(seed), toll: toll.clone() };
        let mut crowd = Crowd { ports: target.tcp.clone(), dice: Seeded(!seed), open: VecDeque::new() };
        let (rains, crowds, made) = (ended.clone(), ended.clone(), toll.clone());
        let threads = vec![
            thread::spawn(move || paced(RATE / BURST, &rains, || (0..BURST).for_each(|_| rain.drop_one()))),
            thread::spawn(move || {
                paced(CONNECTIONS, &crowds, || {
                    made.connections.fetch_add(crowd.push(), Relaxed);
                });
            }),
        ];
        Ok(Self { toll, ended, threads })
    }

    /// What it did.
    pub fn toll(&self) -> &Toll {
        &self.toll
    }

    /// Ends it.
    pub fn end(self) -> Arc<Toll> {
        self.toll.clone()
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.ended.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                eprintln!("a thread of the flood panicked");
            }
        }
    }
}

/// Does something so many times a second until the end; where that is too fast for the machine, as often as it can.
fn paced(rate: u32, ended: &AtomicBool, mut once: impl FnMut()) {
    let (step, mut next) = (Duration::from_secs(1) / rate, Instant::now());
    while !ended.load(Relaxed) {
        once();
        next = (next + step).max(Instant::now() - Duration::from_millis(100));
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

/// Datagrams.
struct Rain {
    target: Target,
    sockets: Vec<UdpSocket>,
    dice: Seeded,
    toll: Arc<Toll>,
}

impl Rain {
    fn drop_one(&mut self) {
        let (datagram, port) = if self.dice.one_in(2) { self.mutated() } else { self.random() };
        let Some(socket) = pick(&self.sockets, &mut self.dice) else { return };
        // A full queue of the host's is its kernel's to drop from, and counted there.
        if socket.send_to(&datagram, (Ipv4Addr::LOCALHOST, port)).is_ok() {
            self.toll.datagrams.fetch_add(1, Relaxed);
        }
        let mut answer = [0; 2048];
        while let Ok(len) = socket.recv(&mut answer) {
            self.toll.answered.fetch_add(len.max(1) as u64, Relaxed);
        }
    }

    fn random(&mut self) -> (Vec<u8>, u16) {
        let len =
            if self.dice.one_in(4) { self.dice.next_u64() % LONGEST } else { self.dice.next_u64() % 64 };
        (noise(len, &mut self.dice), pick(&self.target.udp, &mut self.dice).copied().unwrap_or_default())
    }

    fn mutated(&mut self) -> (Vec<u8>, u16) {
        let Some(genuine) = pick(&self.target.genuine, &mut self.dice) else {
            return self.random();
        };
        self.toll.mutated.fetch_add(1, Relaxed);
        (spoil(&genuine.payload, &mut self.dice), genuine.to)
    }
}

/// A datagram that differs from `genuine` in what says whose it is, and maybe in more.
fn spoil(genuine: &[u8], dice: &mut Seeded) -> Vec<u8> {
    let mut bytes = genuine.to_vec();
    match dice.next_u64() % 4 {
        0 => bytes.truncate((dice.next_u64() as usize) % (bytes.len() + 1)),
        1 => bytes.extend(noise(dice.next_u64() % 64, dice)),
        2 => {
            let at = (dice.next_u64() as usize) % (bytes.len() + 1);
            bytes.iter_mut().skip(at).take(4).for_each(|byte| *byte = 0xff);
        }
        _ => {}
    }
    for _ in 0..=dice.next_u64() % 4 {
        let at = (dice.next_u64() as usize) % bytes.len().max(1);
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << (dice.next_u64() % 8);
        }
    }
    if bytes.get(..TOKEN).is_some_and(|token| genuine.starts_with(token)) {
        bytes.iter_mut().take(TOKEN).for_each(|byte| *byte ^= 0x20);
    }
    bytes
}

/// Connections.
struct Crowd {
    ports: Vec<u16>,
    dice: Seeded,
    open: VecDeque<TcpStream>,
}

impl Crowd {
    /// One more, which says something and then nothing; how many were made.
    fn push(&mut self) -> u64 {
        let port = pick(&self.ports, &mut self.dice).copied().unwrap_or_default();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_millis(500)) else {
            return 0;
        };
        let nonsense = noise(self.dice.next_u64() % 512, &mut self.dice);
        let begin: &[u8] = match self.dice.next_u64() % 5 {
            0 => b"GET /",
            1 => &[22, 3, 1, 1, 0, 1, 0, 0, 0xfc, 3, 3],
            2 => &[0x80, 0, 1, 0, 0, 0, 0, 1],
            3 => b"OPTIONS rtsp://h RTSP/1.0\r\nCSeq: 1\r\n\r\n",
            _ => b"",
        };
        // What the host closes before all is said is closed.
        let _ = stream.write_all(&[begin, &nonsense].concat());
        self.open.push_back(stream);
        if self.open.len() > OPEN {
            self.open.pop_front();
        }
        1
    }
}

fn noise(len: u64, dice: &mut Seeded) -> Vec<u8> {
    (0..len).map(|_| dice.next_u64() as u8).collect()
}

fn pick<'a, T>(from: &'a [T], dice: &mut Seeded) -> Option<&'a T> {
    from.get((dice.next_u64() as usize).checked_rem(from.len())?)
}

/// Datagrams that the kernel threw away, since these UDP ports of this machine were opened, because their reader was behind.
///
/// # Errors
/// The kernel does not say.
pub fn dropped(ports: &[u16]) -> Result<u64> {
    let table = fs::read_to_string("/proc/net/udp")?;
    let drops = table.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let port = u16::from_str_radix(words.get(1)?.rsplit(':').next()?, 16).ok()?;
        ports.contains(&port).then(|| words.last()?.parse::<u64>().ok())?
    });
    let drops: Vec<u64> = drops.collect();
    (drops.len() == ports.len())
        .then(|| drops.iter().sum())
        .with_context(|| format!("no {ports:?} in {table}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_spoilt_datagram_carries_the_token_of_a_genuine_one() {
        let (genuine, mut dice) = ([7; 20], Seeded(1));
        for _ in 0..10_000 {
            let spoilt = spoil(&genuine, &mut dice);
            assert!(spoilt.len() < TOKEN || spoilt[..TOKEN] != genuine[..TOKEN], "{spoilt:?}");
        }
    }
}
