//! The loop of the thread that sends a session's sound.

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, mpsc},
    time::Duration,
};

use arrayvec::ArrayVec;
use lumen_ipc::{
    Generation, Stage,
    sound::{FromOpus, MAX_PACKET, Spoken, ToOpus},
};
use lumen_stage::{Link, failpoint, pulse, pulse::Pulse};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::mpsc::UnboundedSender;

use super::{Letter, tally::Tally, voice::Voice};
use crate::{peers::Live, recover, video::paths::Bell};

/// Longest wait, for the watchdog's sake.
const BEAT: Duration = pulse::SILENCE;

/// What the thread is made of.
pub(super) struct SpeakerParts {
    /// Which incarnation we are.
    pub generation: Generation,
    /// Whose it is.
    pub live: Arc<Live>,
    /// How it gets there.
    pub voice: Voice,
    /// What the path and the owner ring.
    pub bell: Arc<Bell>,
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
                Letter::Spoken(spoken) => self.pass_on(*spoken),
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

    /// What the client's microphone heard.
    fn pass_on(&mut self, spoken: Spoken) {
        let mouth = &self.parts.live.mouth;
        let sent = self.link.as_ref().map(|link| link.send(&ToOpus::Spoken(spoken), &[]));
        // A link that broke is seen when it is read.
        Tally::count(if let Some(Ok(())) = sent { &mouth.spoken } else { &mouth.unheard });
    }

    fn take(&mut self, message: FromOpus) {
        match message {
            FromOpus::Ready { channels, silence } => {
                self.silence = silence;
                self.parts.live.sound.say(format!("{channels} channels"));
            }
            FromOpus::Failed(failure) => self.parts.live.sound.say(failure.to_string()),
            FromOpus::Packet(packet) => {
                let SpeakerParts { live, voice, .. } = &mut self.parts;
                voice.send(live, &packet, &self.silence);
            }
            // The hang-up follows.
            FromOpus::Closing => {}
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
