//! The loop of the thread that sends a session's sound.

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, mpsc},
    time::Duration,
};

use arrayvec::ArrayVec;
use lumen_core::SequenceCounter;
use lumen_gamestream::audio::AudioPacketiser;
use lumen_ipc::{
    Generation, Stage,
    sound::{FromOpus, MAX_PACKET, Packet, ToOpus},
};
use lumen_stage::{Link, failpoint, pulse, pulse::Pulse};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::mpsc::UnboundedSender;

use super::{Letter, tally::Tally};
use crate::{
    peers::Live,
    recover,
    video::{
        Outlet,
        datagrams::TrafficClass,
        outlet::Destination,
        paths::{Bell, Path},
    },
};

/// Longest wait, for the watchdog's sake.
const BEAT: Duration = pulse::SILENCE;

/// What the thread is made of.
pub(super) struct SpeakerParts {
    /// Which incarnation we are.
    pub generation: Generation,
    /// Whose it is.
    pub live: Arc<Live>,
    /// Where it goes.
    pub path: Arc<Path>,
    /// What the path and the owner ring.
    pub bell: Arc<Bell>,
    /// Through which socket.
    pub outlet: Arc<Outlet>,
    /// Marked how.
    pub class: TrafficClass,
    /// How.
    pub packetiser: AudioPacketiser,
    /// Beaten by the thread's loop.
    pub pulse: Pulse,
    /// Who opens another link when one is lost.
    pub lost: UnboundedSender<()>,
}

/// The thread's state.
pub(super) struct Speaker {
    parts: SpeakerParts,
    mail: mpsc::Receiver<Letter>,
    link: Option<Link>,
    /// A packet of silence; empty before encoded gave one.
    silence: ArrayVec<u8, MAX_PACKET>,
}

/// Why the thread ends.
struct Stopped;

impl Speaker {
    /// Without a link yet.
    pub fn new(parts: SpeakerParts, mail: mpsc::Receiver<Letter>) -> Self {
        Self { parts, mail, link: None, silence: ArrayVec::new() }
    }

    /// Until the owner says so.
    pub fn run(mut self) {
        self.parts.live.sound.say("waits for encoded".to_owned());
        while self.turn().is_ok() {
            self.wait();
        }
    }

    fn turn(&mut self) -> Result<(), Stopped> {
        self.parts.pulse.beat();
        self.parts.bell.silence();
        while let Ok(letter) = self.mail.try_recv() {
            match letter {
                Letter::Link(fd) => self.start_link(fd),
                Letter::Leave => return Err(Stopped),
                Letter::Stop => {
                    if let Some(link) = &self.link {
                        // One that has hung up needs no goodbye.
                        let _ = link.send(&ToOpus::Close, &[]);
                    }
                    return Err(Stopped);
                }
            }
        }
        while let Some(link) = &mut self.link {
            match link.receive::<FromOpus>() {
                Ok(None) => break,
                Ok(Some(received)) => self.take(received.message),
                Err(_) => self.lose_link(),
            }
        }
        Ok(())
    }

    fn start_link(&mut self, fd: OwnedFd) {
        match Link::start(fd, Stage::Transportd, self.parts.generation, Stage::Encoded) {
            Ok(link) => {
                Tally::count(&self.parts.live.sound.links);
                self.link = Some(link);
                failpoint::at(recover::SOUND_LINKED);
            }
            Err(_) => self.lose_link(),
        }
    }

    fn lose_link(&mut self) {
        self.link = None;
        // An owner that is gone has posted Stop.
        let _ = self.parts.lost.send(());
    }

    fn take(&mut self, message: FromOpus) {
        match message {
            FromOpus::Ready { channels, silence } => {
                self.silence = silence;
                self.parts.live.sound.say(format!("{channels} channels"));
            }
            FromOpus::Failed(failure) => self.parts.live.sound.say(failure.to_string()),
            FromOpus::Packet(packet) => self.send(&packet),
            // The hang-up follows.
            FromOpus::Closing => {}
        }
    }

    fn send(&mut self, packet: &Packet) {
        let SpeakerParts { live, path, packetiser, .. } = &self.parts;
        // A client listens to its sound as soon as it does to its video; what comes before waits there and is late for ever.
        let listens = live.path.destination().is_some();
        let Some(destination) = path.destination().filter(|_| listens && !path.is_silent()) else {
            return Tally::count(&live.sound.homeless);
        };
        if live.record.packet_numbers().taken() == 0 && !self.silence.is_empty() {
            let unheard = packetiser.unheard();
            let silence = std::mem::take(&mut self.silence);
            (0..unheard).for_each(|_| self.post(&silence, destination, 1));
        }
        self.post(&packet.bytes, destination, usize::MAX);
    }

    /// Sends a packet: at most so many of its datagrams, of which the first is the packet, and parity follows.
    fn post(&mut self, opus: &[u8], destination: Destination, most: usize) {
        let SpeakerParts { live, outlet, class, packetiser, .. } = &mut self.parts;
        let datagrams = match live.record.packet_numbers().reserve(1) {
            Some(number) => packetiser.packetise(number, opus).ok(),
            // After five thousand million years at 10 ms.
            None => None,
        };
        let Some(datagrams) = datagrams else { return Tally::count(&live.sound.unusable) };
        Tally::count(&live.sound.packets);
        for datagram in datagrams.iter().take(most) {
            if outlet.post(datagram, destination, *class).is_err() {
                Tally::count(&live.sound.unsent);
            }
        }
    }

    fn wait(&self) {
        let pause = BEAT / 2;
        let pause = Timespec { tv_sec: pause.as_secs().cast_signed(), tv_nsec: pause.subsec_nanos().into() };
        // A place without a descriptor asks for the bell once more.
        let bell = self.parts.bell.as_fd();
        let link = self.link.as_ref().map_or(bell, AsFd::as_fd);
        let mut fds = [bell, link].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        // EINTR: nothing is ready then, and the loop looks anyway.
        let _ = poll(&mut fds, Some(&pause));
    }
}
