//! How a packet of sound reaches its client: one way for each protocol.

use std::sync::{Arc, Mutex, PoisonError};

use lumen_core::{SequenceCounter, Timestamp, sound};
use lumen_gamestream::audio::AudioPacketiser;
use lumen_ipc::sound::Packet;
use quinn::Connection;

use super::tally::Tally;
use crate::{
    peers::Live,
    video::{Outlet, datagrams::TrafficClass, outlet::Destination, paths::Path},
};

/// A session's way.
pub(super) enum Voice {
    /// RTP over a socket of its own.
    GameStream(Box<Rtp>),
    /// Datagrams of the connection that serves the session, [`Live::ear`].
    Lumen1,
}

impl Voice {
    /// Sends a packet, before the first one what clients throw away, made of `silence`.
    pub fn send(&mut self, live: &Live, packet: &Packet, silence: &[u8]) {
        match self {
            Self::GameStream(rtp) => rtp.send(live, packet, silence),
            Self::Lumen1 => live.ear.send(live, packet),
        }
    }
}

/// The way of a GameStream session.
pub(super) struct Rtp {
    /// Where it goes.
    pub path: Arc<Path>,
    /// Through which socket.
    pub outlet: Arc<Outlet>,
    /// Marked how.
    pub class: TrafficClass,
    /// How.
    pub packetiser: AudioPacketiser,
}

impl Rtp {
    fn send(&mut self, live: &Live, packet: &Packet, silence: &[u8]) {
        // A client listens to its sound as soon as it does to its video; what comes before waits there and is late for ever.
        let listens = live.path.destination().is_some();
        let Some(destination) = self.path.destination().filter(|_| listens && !self.path.is_silent()) else {
            return Tally::count(&live.sound.homeless);
        };
        if live.record.packet_numbers().taken() == 0 && !silence.is_empty() {
            let unheard = self.packetiser.unheard();
            (0..unheard).for_each(|_| self.post(live, silence, destination, 1));
        }
        self.post(live, &packet.bytes, destination, usize::MAX);
    }

    /// Sends a packet: at most so many of its datagrams, of which the first is the packet, and parity follows.
    fn post(&mut self, live: &Live, opus: &[u8], destination: Destination, most: usize) {
        let datagrams = match live.record.packet_numbers().reserve(1) {
            Some(number) => self.packetiser.packetise(number, opus).ok(),
            // After five thousand million years at 10 ms.
            None => None,
        };
        let Some(datagrams) = datagrams else { return Tally::count(&live.sound.unusable) };
        Tally::count(&live.sound.packets);
        for datagram in datagrams.iter().take(most) {
            if self.outlet.post(datagram, destination, self.class).is_err() {
                Tally::count(&live.sound.unsent);
            }
        }
    }
}

/// Where the sound of a lumen/1 session goes: its client's newest connection.
#[derive(Debug, Default)]
pub struct Ear(Mutex<Option<Connection>>);

impl Ear {
    /// The client is heard on `connection` now.
    pub fn lend(&self, connection: Connection) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
    }

    fn send(&self, live: &Live, packet: &Packet) {
        let ear = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(connection) = ear.as_ref().filter(|connection| connection.close_reason().is_none()) else {
            return Tally::count(&live.sound.homeless);
        };
        let Some(number) = live.record.packet_numbers().reserve(1) else { return };
        let played = Timestamp::from_ns(packet.pts_ns);
        // Numbers go round after eight months.
        let datagram = sound::Packet { number: number as u32, played, opus: &packet.bytes }.to_bytes();
        Tally::count(&live.sound.packets);
        // Too large for the path, or the connection closed this moment.
        if connection.send_datagram(datagram.into()).is_err() {
            Tally::count(&live.sound.unsent);
        }
    }
}
