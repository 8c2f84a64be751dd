//! The control connection of a Moonlight client: ENet's own code, and what is sealed in it.

use std::{
    convert::Infallible,
    io,
    net::{SocketAddr, UdpSocket as StdSocket},
    sync::{
        Arc, Mutex,
        mpsc::{self, TryRecvError},
    },
    thread,
    time::Duration,
};

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rusty_enet::{EventNoRef, Host as Enet, HostSettings, Packet, PeerID, ReadWrite};

const TAG: usize = 16;

pub fn cipher(key: [u8; 16]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).unwrap())
}

fn nonce(number: u32, side: u8) -> Nonce {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    (bytes[10], bytes[11]) = (side, b'C');
    Nonce::assume_unique_for_key(bytes)
}

/// The control connection, on a thread with ENet's own code.
pub struct Control {
    says: mpsc::Sender<(u8, Vec<u8>)>,
    pub heard: Arc<Mutex<Heard>>,
    key: [u8; 16],
    number: u32,
}

/// What came.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Heard {
    pub connects: usize,
    pub disconnects: usize,
    /// Type and payload.
    pub messages: Vec<(u16, Vec<u8>)>,
}

impl Control {
    pub fn start(host: SocketAddr, token: u32, key: [u8; 16]) -> Self {
        let (says, said) = mpsc::channel();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let hears = heard.clone();
        thread::spawn(move || speak(host, token, key, &said, &hears));
        Self { says, heard, key, number: 0 }
    }

    /// A sealed message on a channel.
    pub fn say(&mut self, channel: u8, kind: u16, payload: &[u8]) {
        let number = self.number;
        self.number += 1;
        let length = u16::try_from(payload.len()).unwrap();
        let mut body = [&kind.to_le_bytes()[..], &length.to_le_bytes(), payload].concat();
        let sealed =
            cipher(self.key).seal_in_place_separate_tag(nonce(number, b'C'), Aad::empty(), &mut body);
        let length = u16::try_from(4 + TAG + body.len()).unwrap().to_le_bytes();
        let tag = sealed.unwrap();
        let message = [&[1, 0][..], &length, &number.to_le_bytes(), tag.as_ref(), &body].concat();
        self.says.send((channel, message)).unwrap();
    }

    /// One of section 4.10's packets.
    pub fn input(&mut self, magic: u32, body: &[u8]) {
        let size = u32::try_from(body.len() + 4).unwrap();
        self.say(2, 0x0206, &[&size.to_be_bytes()[..], &magic.to_le_bytes(), body].concat());
    }

    /// A key by Windows' code.
    pub fn key(&mut self, code: u8, pressed: bool) {
        self.input(if pressed { 3 } else { 4 }, &[0, code, 0x80, 0, 0, 0]);
    }

    pub fn heard(&self) -> Heard {
        self.heard.lock().unwrap().clone()
    }
}

fn speak(
    host: SocketAddr,
    token: u32,
    key: [u8; 16],
    said: &mpsc::Receiver<(u8, Vec<u8>)>,
    heard: &Mutex<Heard>,
) {
    let socket = StdSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(host).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
    let settings = HostSettings { peer_limit: 1, ..HostSettings::default() };
    let mut enet = Enet::<ReadWrite<(), Infallible>>::new(ReadWrite::new(), settings).unwrap();
    enet.connect((), 48, token).unwrap().set_timeout(2, 10_000, 10_000);
    let mut buffer = [0; 2048];
    let mut is_leaving = false;
    loop {
        // A host that died for a moment refuses for a moment.
        if let Ok(len) = socket.recv(&mut buffer) {
            enet.socket_mut().write((), buffer[..len].to_vec());
        }
        while let Some(event) = enet.service().unwrap() {
            let mut heard = heard.lock().unwrap();
            match event.no_ref() {
                EventNoRef::Connect { .. } => heard.connects += 1,
                EventNoRef::Disconnect { .. } => {
                    heard.disconnects += 1;
                    return;
                }
                EventNoRef::Receive { packet, .. } => heard.messages.push(open(key, packet.data())),
            }
        }
        while !is_leaving && heard.lock().unwrap().connects > 0 {
            match said.try_recv() {
                Ok((channel, message)) => {
                    enet.peer_mut(PeerID(0)).send(channel, &Packet::reliable(message)).unwrap();
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    enet.peer_mut(PeerID(0)).disconnect(0);
                    is_leaving = true;
                }
            }
        }
        while let Some(((), datagram)) = enet.socket_mut().read() {
            let _: io::Result<usize> = socket.send(&datagram);
        }
    }
}

fn open(key: [u8; 16], message: &[u8]) -> (u16, Vec<u8>) {
    let number = u32::from_le_bytes(message[4..8].try_into().unwrap());
    let mut body = [&message[8 + TAG..], &message[8..8 + TAG]].concat();
    let plain = cipher(key).open_in_place(nonce(number, b'H'), Aad::empty(), &mut body).unwrap();
    (u16::from_le_bytes([plain[0], plain[1]]), plain[4..].to_vec())
}
