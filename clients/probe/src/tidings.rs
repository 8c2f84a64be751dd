//! What the host told while it streamed, kept for the summary and shown to the person at once.

use std::{fmt::Write as _, time::Duration};

use lumen_core::control::{ModeChanged, Notice, NoticeKind};
use serde::Serialize;

use crate::{args::Mode, pointer::PointerSummary};

/// A notice of the host's.
#[derive(Clone, Debug, Serialize)]
pub struct NoticeLine {
    /// Seconds after the dial.
    pub at_s: f64,
    /// `running`, `waiting`, `locked` or `app-ended`.
    pub kind: &'static str,
    /// What happened and why.
    pub text: String,
    /// What to do next.
    pub advice: String,
}

/// A mode that the host said it has changed to.
#[derive(Clone, Debug, Serialize)]
pub struct ModeLine {
    /// Seconds after the dial.
    pub at_s: f64,
    /// As typed, like `1280x720@59.94`.
    pub mode: String,
    /// The first frame that has it.
    pub next_frame: u64,
}

/// All of it, in the order in which it came.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Tidings {
    /// What became of the stream.
    pub notices: Vec<NoticeLine>,
    /// Answers to changes of mode.
    pub mode_changes: Vec<ModeLine>,
    /// The pointer, of a client that draws it itself.
    pub pointer: PointerSummary,
}

impl Tidings {
    /// The host says something to a person, `since` the dial.
    pub fn notice(&mut self, notice: Notice, since: Duration) {
        let kind = match notice.kind {
            NoticeKind::Running => "running",
            NoticeKind::Waiting => "waiting",
            NoticeKind::Locked => "locked",
            NoticeKind::AppEnded => "app-ended",
        };
        let (text, advice) = (printable(&notice.text), printable(&notice.advice));
        eprintln!("lumen-probe: the host says ({kind}): {text} {advice}");
        self.notices.push(NoticeLine { at_s: since.as_secs_f64(), kind, text, advice });
    }

    /// The host has changed the mode, `since` the dial.
    pub fn mode_changed(&mut self, changed: ModeChanged, since: Duration) {
        let lumen_core::control::Mode { width, height, refresh_mhz } = changed.mode;
        let mode = Mode { width, height, refresh_mhz }.to_string();
        eprintln!("lumen-probe: the pictures are {mode} from frame {} on", changed.next_frame);
        let next_frame = changed.next_frame;
        self.mode_changes.push(ModeLine { at_s: since.as_secs_f64(), mode, next_frame });
    }
}

/// Without what could move a terminal's cursor.
fn printable(text: &str) -> String {
    text.chars().fold(String::new(), |mut clean, c| {
        let shown = if c.is_control() { ' ' } else { c };
        // A String takes everything.
        let _ = clean.write_char(shown);
        clean
    })
}
