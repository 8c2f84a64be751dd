//! How far a stream is, and why it does not get further.

use super::format::Offered;
use crate::backends::SourceError;
use rustix::{
    io::Errno,
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How long a stream may take until pictures can come, seconds. Because that is milliseconds, and Mutter makes its monitor
/// meanwhile.
const PATIENCE: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };
/// How long the first picture of a running stream may take. Because a compositor shows one at its next refresh, and
/// PipeWire was seen to lose the very first one of a producer that started a moment before us: of a still screen there
/// would never be another.
const FIRST: Timespec = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };
const NEVER: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
/// Pictures in a row that may be unusable.
const MOST_UNUSABLE: u32 = 16;
/// Formats in a row that may be set without a picture in between. Because KWin has been seen to set the same one for ever.
const MOST_FORMATS: u32 = 4;

/// How far a stream is.
pub(super) struct Progress {
    node: u32,
    /// Runs while pictures cannot come although somebody looks.
    timer: OwnedFd,
    streaming: bool,
    resting: bool,
    /// Something came since the stream began to run.
    heard: bool,
    /// The producer was asked for its first picture once more.
    asked: bool,
    found: bool,
    offered: Vec<Offered>,
    /// Formats set since the last picture.
    formats: u32,
    /// Unusable pictures since the last usable one.
    unusable: u32,
}

impl Progress {
    /// Nothing is known yet of the node with this id.
    ///
    /// # Errors
    /// The kernel gives no timer.
    pub fn new(node: u32) -> Result<Self, SourceError> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).map_err(no_timer)?;
        let offered = Vec::new();
        let this = Self {
            node,
            timer,
            streaming: false,
            resting: false,
            heard: false,
            asked: false,
            found: false,
            offered,
            formats: 0,
            unusable: 0,
        };
        this.set_timer()?;
        Ok(this)
    }

    /// Readable when [`Self::check`] has something to say.
    pub fn timer(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }

    fn set_timer(&self) -> Result<(), SourceError> {
        let it_value = match (self.resting, self.streaming) {
            (true, _) => NEVER,
            (false, false) => PATIENCE,
            (false, true) if self.heard => NEVER,
            (false, true) if self.asked => PATIENCE,
            (false, true) => FIRST,
        };
        let once = Itimerspec { it_interval: NEVER, it_value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once).map(drop).map_err(no_timer)
    }

    /// Pictures can come, or not.
    pub fn streams(&mut self, streaming: bool) -> Result<(), SourceError> {
        if std::mem::replace(&mut self.streaming, streaming) == streaming {
            return Ok(());
        }
        self.set_timer()
    }

    /// Another stream takes this one's place.
    pub fn restarts(&mut self) -> Result<(), SourceError> {
        (self.streaming, self.heard, self.asked) = (false, false, false);
        self.set_timer()
    }

    /// Something came from the producer.
    pub fn heard(&mut self) {
        self.heard = true;
    }

    /// We asked the producer to rest, or to go on.
    pub fn rests(&mut self, resting: bool) -> Result<(), SourceError> {
        self.resting = resting;
        self.set_timer()
    }

    /// Whether the producer was asked to rest.
    pub fn is_resting(&self) -> bool {
        self.resting
    }

    /// The node is there.
    pub fn found(&mut self) {
        self.found = true;
    }

    /// The node offers this.
    pub fn offers(&mut self, offered: Option<Offered>) {
        self.offered.extend(offered);
    }

    /// All that was asked for has been told: is there a node, and one that can be read?
    ///
    /// # Errors
    /// There is not.
    pub fn listed(&self) -> Result<(), SourceError> {
        if !self.found {
            return Err(SourceError::NoNode { node: self.node });
        }
        match !self.offered.is_empty() && !self.offered.iter().any(|offered| offered.readable) {
            true => Err(self.no_format(String::new())),
            false => Ok(()),
        }
    }

    /// The failure to agree on a format, with what the node offers, or with PipeWire's words.
    pub fn no_format(&self, words: String) -> SourceError {
        let texts: Vec<&str> = self.offered.iter().map(|offered| offered.text.as_str()).collect();
        SourceError::Format { offered: if texts.is_empty() { words } else { texts.join(", ") } }
    }

    /// A format was set. Whether that was once too often without a picture.
    pub fn too_many_formats(&mut self) -> bool {
        self.formats += 1;
        self.formats > MOST_FORMATS
    }

    /// A usable picture came, or other memory was asked for.
    pub fn begins_anew(&mut self) {
        (self.formats, self.unusable) = (0, 0);
    }

    /// A picture came that is shorter than its format.
    ///
    /// # Errors
    /// It was one too many.
    pub fn unusable(&mut self, need: u64, got: u64) -> Result<(), SourceError> {
        self.unusable += 1;
        if self.unusable < MOST_UNUSABLE { Ok(()) } else { Err(SourceError::Short { need, got }) }
    }

    /// What the time that passed means.
    ///
    /// # Errors
    /// It takes too long until pictures can come at all.
    pub fn check(&mut self) -> Result<Due, SourceError> {
        if rustix::io::read(&self.timer, &mut [0; 8]).is_err() || self.resting || self.heard && self.streaming
        {
            return Ok(Due::Nothing);
        }
        match self.streaming {
            true if std::mem::replace(&mut self.asked, true) => Ok(Due::Silent),
            true => self.set_timer().map(|()| Due::Ask),
            false => {
                Err(SourceError::NotLinked { node: self.node, seconds: PATIENCE.tv_sec.cast_unsigned() })
            }
        }
    }
}

/// What is to be done because time passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing.
    Nothing,
    /// The producer is to be asked for its first picture once more.
    Ask,
    /// It was asked and showed nothing.
    Silent,
}

fn no_timer(errno: Errno) -> SourceError {
    SourceError::System { what: "making a timer", errno }
}
