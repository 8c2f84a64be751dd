//! A peer that says what it likes to the ENet state machine, over a network that does what it likes, across restarts.

use std::collections::BTreeMap;

use lumen_core::Timestamp;
use lumen_gamestream::enet::{
    Connect, Event, MAX_CHANNELS, MAX_MESSAGE, MAX_RECORD_BYTES, Output, Peer, PeerId, Record,
};
use lumen_ipc::codec::{decode_state, encode_state};

use crate::Script;

/// As a client begins: peer 0xfff, its time, CONNECT on 0xff, 48 channels.
const CONNECT: [u8; 52] = *b"\x8f\xff\x12\x34\x82\xff\x00\x01\x00\x02\xff\xff\x00\x00\x03\x84\x00\x01\x00\x00\x00\x00\x00\x30\
    \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x13\x88\x00\x00\x00\x02\x00\x00\x00\x02\xde\xad\xbe\xef\x01\x02\x03\x04";
const ID: u16 = 7;

/// The peer, and what its client is due.
struct Witness {
    peer: Peer,
    now: Timestamp,
    connected: bool,
    closed: bool,
    /// Of each channel, the number of the message that is to be delivered next; `None` once bytes were sent that are no
    /// messages of [`Witness::message`].
    due: Option<BTreeMap<u8, u16>>,
}

/// Steps of a client, of its network, and of the host's owner.
pub(super) fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let connect = Connect::parse(&CONNECT).expect("it is one");
    let now = Timestamp::from_ns(0);
    let peer = Peer::accept(&connect, PeerId::new(ID).expect("7 is one"), now);
    let mut witness = Witness { peer, now, connected: false, closed: false, due: Some(BTreeMap::new()) };
    witness.drain();
    while let Some(step) = script.step() {
        match step % 8 {
            0 => witness.pass(&mut script),
            1 => witness.raw(script.piece()),
            2 => witness.commands(script.piece()),
            3 | 4 => witness.message(script.u8() % 64, script.u8().into()),
            5 => witness.acknowledge(&mut script),
            6 => drop(witness.peer.send(script.u8() % 64, script.piece(), witness.now)),
            _ => match script.u8() {
                0 => witness.peer.disconnect(3, witness.now),
                _ => witness.restart(),
            },
        }
        witness.drain();
    }
    witness.restart();
    witness.drain();
}

impl Witness {
    /// A datagram as it is: without this peer's number it is not answered.
    fn raw(&mut self, datagram: &[u8]) {
        let foreign = self.peer.counters().foreign;
        self.due = None;
        self.peer.handle_datagram(datagram, self.now);
        if self.peer.counters().foreign > foreign {
            assert_eq!(self.peer.poll_output(), None, "a stranger is answered");
        }
    }

    /// Commands behind the right head.
    fn commands(&mut self, commands: &[u8]) {
        self.due = None;
        self.receive(commands);
    }

    fn receive(&mut self, commands: &[u8]) {
        let head = (0x8000 | ID).to_be_bytes();
        let sent_ms = (self.now.as_ns() / 1_000_000) as u16;
        self.peer.handle_datagram(&[&head[..], &sent_ms.to_be_bytes(), commands].concat(), self.now);
    }

    /// Message `number` of a channel, as a client sends it; its bytes say which it is.
    fn message(&mut self, channel: u8, number: u16) {
        let [high, low] = number.to_be_bytes();
        self.receive(&[0x86, channel, high, low, 0, 3, channel, high, low]);
    }

    fn acknowledge(&mut self, script: &mut Script<'_>) {
        let channel = script.u8().wrapping_sub(1);
        let ([high, low], back) = (u16::from(script.u8()).to_be_bytes(), script.u8());
        let [late, ms] = ((self.now.as_ns() / 1_000_000) as u16).wrapping_sub(back.into()).to_be_bytes();
        self.receive(&[1, channel, high, low, high, low, late, ms]);
    }

    fn pass(&mut self, script: &mut Script<'_>) {
        let end = self.now + script.span();
        while let Some(due) = self.peer.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.peer.handle_timeout(self.now);
            self.drain();
            let still = self.peer.poll_timeout();
            assert!(still.is_none_or(|still| still > self.now), "it would be called again and again");
        }
        self.now = end;
    }

    /// The next process reads what this one wrote, which fits its place.
    fn restart(&mut self) {
        let mut place = vec![0; MAX_RECORD_BYTES];
        let len =
            encode_state(self.peer.record(), &mut place).expect("a record fits the place that it is given");
        let record: Record = decode_state(place.get(..len).unwrap_or_default()).expect("it was just written");
        assert_eq!(&record, self.peer.record());
        self.peer = Peer::restore(record, self.now);
    }

    fn drain(&mut self) {
        while let Some(output) = self.peer.poll_output() {
            match output {
                Output::Send(datagram) => assert!(datagram.len() > 4 && datagram.len() <= 900),
                Output::Event(_) if self.closed => assert!(!self.closed, "{output:?} after the end"),
                Output::Event(Event::Connected) => {
                    assert!(!self.connected, "connected twice");
                    self.connected = true;
                }
                Output::Event(Event::Message { channel, bytes }) => self.delivered(channel, &bytes),
                Output::Event(Event::Closed(_)) => self.closed = true,
            }
        }
        assert_eq!(self.peer.record().is_closed(), self.closed);
        assert!(!self.peer.record().is_connected() || self.connected && !self.closed);
    }

    /// Once, whole, and in the order of the channel.
    fn delivered(&mut self, channel: u8, bytes: &[u8]) {
        assert!(self.connected, "a message before the connection");
        assert!(bytes.len() <= MAX_MESSAGE);
        if let Some(due) = &mut self.due {
            assert!(usize::from(channel) < MAX_CHANNELS);
            let next = due.entry(channel).or_insert(1);
            let [high, low] = next.to_be_bytes();
            assert_eq!(bytes, [channel, high, low], "message {next} was due");
            *next = next.wrapping_add(1);
        }
    }
}
