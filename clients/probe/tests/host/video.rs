//! The host's video thread: one stamp each 16 ms once a hello came.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use lumen_core::{
    ChannelId, ChannelSecret, DEFAULT_DATAGRAM_LEN, DatagramBatch, Direction, FrameMeta, Opened, Opener,
    Packetiser, PacketiserConfig, Sealer, Timeline, seal::LocalCounter,
};

use super::{Script, camera::Camera, control::FIRST_FRAME, now};

pub struct Channel {
    pub id: ChannelId,
    pub secret: ChannelSecret,
    pub parity_percent: u16,
}

/// What the control side wants.
#[derive(Default)]
pub struct Wishes {
    pub stop: AtomicBool,
    /// An IDR above this frame; 0 for none.
    pub idr_after: AtomicU64,
}

/// Starts the thread; the port for hellos, and where wishes go.
pub fn start(channel: Channel, script: Script, lost: Arc<AtomicBool>) -> (u16, Arc<Wishes>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (port, wishes) = (socket.local_addr().unwrap().port(), Arc::new(Wishes::default()));
    if !script.sends_nothing {
        let wishes = Arc::clone(&wishes);
        thread::spawn(move || {
            let client = wait_for_hello(&socket, &channel);
            Sender::new(socket, client, &channel, script).run(&wishes, &lost);
        });
    }
    (port, wishes)
}

fn wait_for_hello(socket: &UdpSocket, channel: &Channel) -> SocketAddr {
    let mut opener = Opener::new(&channel.secret, channel.id, Direction::ClientToHost);
    loop {
        let mut datagram = [0; 2048];
        let (len, from) = socket.recv_from(&mut datagram).unwrap();
        if matches!(opener.open(&mut datagram[..len]), Ok(Opened::Hello(_))) {
            return from;
        }
    }
}

struct Sender {
    socket: UdpSocket,
    client: SocketAddr,
    script: Script,
    packetiser: Packetiser,
    sealer: Sealer,
    counter: LocalCounter,
    batch: DatagramBatch,
    sent: u64,
}

impl Sender {
    fn new(socket: UdpSocket, client: SocketAddr, channel: &Channel, script: Script) -> Self {
        let config =
            PacketiserConfig { datagram_len: DEFAULT_DATAGRAM_LEN, parity_percent: channel.parity_percent };
        Self {
            socket,
            client,
            script,
            packetiser: Packetiser::new(config).unwrap(),
            sealer: Sealer::new(&channel.secret, channel.id, Direction::HostToClient),
            counter: LocalCounter::default(),
            batch: DatagramBatch::new(),
            sent: 0,
        }
    }

    fn run(mut self, wishes: &Wishes, lost: &AtomicBool) {
        let mut camera = Camera::new();
        let mut last_idr = 0;
        for number in FIRST_FRAME.. {
            if wishes.stop.load(Ordering::Relaxed) || self.script.stops_after == Some(number) {
                return;
            }
            let idr = last_idr == 0 || wishes.idr_after.load(Ordering::Relaxed) > last_idr;
            if idr {
                last_idr = number;
            }
            let dequeued = now();
            let encode_begin = now();
            let unit = camera.shoot(number as u32, idr);
            let timeline = Timeline { dequeued, encode_begin, encode_end: now(), packetised: now() };
            let meta = FrameMeta { number, idr, repeat: false, timeline };
            self.packetiser.packetise(&unit, &meta, &mut self.batch).unwrap();
            self.send(number);
            lost.store(self.script.closes_after == Some(number), Ordering::Relaxed);
            thread::sleep(Duration::from_millis(16));
        }
    }

    fn send(&mut self, number: u64) {
        while !self.batch.is_empty() {
            let Some(burst) = self.batch.seal_next(64, now(), &mut self.sealer, &mut self.counter).unwrap()
            else {
                return;
            };
            if self.script.loses_frame == Some(number) {
                continue;
            }
            for datagram in burst.datagrams() {
                self.sent += 1;
                if self.script.forges_one_in.is_some_and(|n| self.sent.is_multiple_of(n)) {
                    let mut forged = datagram.to_vec();
                    let bit = self.sent as usize * 7919 % (forged.len() * 8);
                    forged[bit / 8] ^= 1 << (bit % 8);
                    self.socket.send_to(&forged, self.client).unwrap();
                }
                if self.script.loses_one_in.is_none_or(|n| !self.sent.is_multiple_of(n)) {
                    self.socket.send_to(datagram, self.client).unwrap();
                }
            }
        }
    }
}
