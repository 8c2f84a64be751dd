//! What a host tells while it streams: what has become of the stream, and of its mode.

use super::MalformedMessage;
use super::fields::{Reader, Writer};
use super::messages::{MAX_TEXT_LEN, Mode};

/// What a [`Notice`] is about. The first three are one State: the latest of them holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum NoticeKind {
    /// Pictures come.
    Running = 0,
    /// No pictures can come now; they will when what the text names is there again.
    Waiting = 1,
    /// The desktop is locked; pictures come when a person has unlocked it.
    Locked = 2,
    /// The app of the session has ended; the desktop it ran on is streamed on.
    AppEnded = 3,
}

impl NoticeKind {
    fn from_code(code: u8) -> Option<Self> {
        [Self::Running, Self::Waiting, Self::Locked, Self::AppEnded]
            .into_iter()
            .find(|kind| *kind as u8 == code)
    }
}

/// What has become of the stream, for a person. Nothing ends by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// For programs.
    pub kind: NoticeKind,
    /// What happened and why.
    pub text: String,
    /// What to do next; may be empty.
    pub advice: String,
}

impl Notice {
    /// kind u8 ‖ text ‖ advice
    pub(super) fn write(&self, to: &mut Writer<'_>) {
        to.u8(self.kind as u8).text(&self.text, MAX_TEXT_LEN).text(&self.advice, MAX_TEXT_LEN);
    }

    /// `None` if the kind is a later version's.
    pub(super) fn read(from: &mut Reader<'_>) -> Result<Option<Self>, MalformedMessage> {
        let Some(kind) = NoticeKind::from_code(from.u8()?) else {
            return Ok(None);
        };
        Ok(Some(Self { kind, text: from.text(MAX_TEXT_LEN)?, advice: from.text(MAX_TEXT_LEN)? }))
    }
}

/// The pictures have another mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModeChanged {
    /// What they measure now.
    pub mode: Mode,
    /// Number of the first frame that does.
    pub next_frame: u64,
}

impl ModeChanged {
    /// mode ‖ next_frame u64
    pub(super) fn write(&self, to: &mut Writer<'_>) {
        self.mode.write(to);
        to.u64(self.next_frame);
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, MalformedMessage> {
        Ok(Self { mode: Mode::read(from)?, next_frame: from.u64()? })
    }
}
