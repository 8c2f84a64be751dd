//! A session's thread: takes AccessUnits off the link and sends them.
//!
//! The thread owns the link. It never waits for anything but its poll; opening links is its owner's work, to whom it
//! reports. Everything it needs reaches it by mail.

use std::{
    io,
    os::fd::OwnedFd,
    sync::{Arc, mpsc},
    thread,
};

use lumen_core::control::{PointerMoved, PointerShape};
use lumen_ipc::{Failure, Generation, Mode, SessionId, encode::Codec};
use lumen_stage::{LinkError, pulse::Pulse};
use tokio::sync::mpsc::UnboundedSender;

use crate::record::Record;

use super::{
    figures::Figures,
    flight::Flight,
    outlet::Outlet,
    paths::{Bell, Path},
    sender::Sender,
    sequence::Loss,
};

/// What the thread tells its owner.
#[derive(Debug)]
pub enum Report {
    /// The encoder runs.
    Ready {
        /// What it encodes.
        mode: Mode,
        /// How.
        codec: Codec,
        /// Number of the first frame that is encoded so.
        next_frame: u64,
    },
    /// No pictures can come now.
    Failed(Failure),
    /// They come again.
    Pictures,
    /// What a pointer looks like that is not in the picture.
    PointerShape(Arc<PointerShape>),
    /// Where that pointer is; the next one comes after [`Stream::take_pointer`].
    PointerMoved(PointerMoved),
    /// The link is gone; another one is needed.
    HungUp {
        /// Why.
        error: LinkError,
        /// encoded said that it ends.
        is_closing: bool,
    },
    /// The channel's numbers are used up: the session must end.
    Exhausted,
}

/// What the owner tells the thread.
#[derive(Debug)]
pub(super) enum Letter {
    Link(OwnedFd),
    Loss(Loss),
    Bitrate(u32),
    Parity(u8),
    Pause(bool),
    PointerTaken { link: u64 },
    Stop,
    Leave,
}

/// What a session's thread is made of.
#[derive(Debug)]
pub struct StreamParts {
    /// Whose it is.
    pub session: SessionId,
    /// Which incarnation we are.
    pub generation: Generation,
    /// Cuts, seals, paces.
    pub flight: Flight,
    /// What survives this incarnation.
    pub record: Arc<Record>,
    /// Where it goes.
    pub path: Arc<Path>,
    /// What [`Path`] rings.
    pub bell: Arc<Bell>,
    /// Through which socket.
    pub outlet: Arc<Outlet>,
    /// What is counted.
    pub figures: Arc<Figures>,
    /// Beaten by the thread's loop.
    pub pulse: Pulse,
    /// Who is told: number of the link that it is about, counted from 1, and what.
    pub reports: UnboundedSender<(u64, Report)>,
}

/// The owner's handle; dropping it ends the thread and tells encoded that the session is over.
#[derive(Debug)]
pub struct Stream {
    letters: mpsc::Sender<Letter>,
    bell: Arc<Bell>,
}

impl Stream {
    /// Starts the thread.
    pub fn start(parts: StreamParts) -> io::Result<Self> {
        let (letters, mail) = mpsc::channel();
        let bell = parts.bell.clone();
        let id = parts.session.to_string();
        let sender = Sender::new(parts, mail);
        thread::Builder::new()
            .name(format!("video-{}", id.get(..7).unwrap_or_default()))
            .spawn(move || sender.run())?;
        Ok(Self { letters, bell })
    }

    /// A new link to encoded, which replaces the older one.
    pub fn attach(&self, link: OwnedFd) {
        self.post(Letter::Link(link));
    }

    /// The client lost frames.
    pub fn handle_loss(&self, loss: Loss) {
        self.post(Letter::Loss(loss));
    }

    /// The client wants another bitrate.
    pub fn set_bitrate(&self, bps: u32) {
        self.post(Letter::Bitrate(bps));
    }

    /// Frames have so much parity in percent from the next one on.
    pub fn set_parity(&self, percent: u8) {
        self.post(Letter::Parity(percent));
    }

    /// The [`Report::PointerMoved`] that came over this link is with the client.
    pub fn take_pointer(&self, link: u64) {
        self.post(Letter::PointerTaken { link });
    }

    /// Holds all frames back: encoded then starts no other, and keeps what it has.
    pub fn pause(&self, pause: bool) {
        self.post(Letter::Pause(pause));
    }

    /// Ends the thread as a crash does: encoded keeps what it has for the next link of this session.
    pub fn leave(&self) {
        self.post(Letter::Leave);
    }

    fn post(&self, letter: Letter) {
        // A thread that has ended needs no letters: its last report says why.
        let _ = self.letters.send(letter);
        self.bell.ring();
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.post(Letter::Stop);
    }
}
