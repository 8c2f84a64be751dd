//! What the administrator is shown: each session's state of this moment.

use std::collections::HashMap;

use lumen_ipc::Mode;
use lumen_stage::board;
use zbus::Variant;

use crate::{ratecontrol, stage::Counters};

/// One session's state.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Line {
    /// Mode of the pictures, once known.
    pub mode: Option<Mode>,
    /// Name and version of the encoder, and what converts for it; empty before the first picture.
    pub backend: (String, &'static str),
    /// Whether a reader is attached.
    pub read: bool,
    /// Why no pictures come, if so.
    pub failure: Option<String>,
    /// Asked bits a second.
    pub bitrate_bps: u32,
    /// Grain of the newest picture: 0 to 51 are H.264's quantisers, beyond it is softened.
    pub grain: u8,
    /// Bytes of all AccessUnits.
    pub bytes: u64,
    /// Bytes of pixels that were converted.
    pub converted_bytes: u64,
    /// What happened to Frames.
    pub counters: Counters,
    /// What the rate control decided.
    pub rate: ratecontrol::Counters,
    /// Pointers whose look is not known, and looks that could not be read.
    pub bad_pointers: u64,
    /// Pictures that could not be encoded.
    pub errors: u64,
    /// Whether there is sound, in words.
    pub sound: String,
    /// What comes of the client's microphone; empty before it spoke.
    pub microphone: String,
}

/// All sessions' lines.
pub type Board = board::Board<Line>;

impl board::Line for Line {
    fn entries(&self) -> HashMap<&'static str, Variant<'static>> {
        let mut entries: HashMap<&'static str, Variant<'static>> = HashMap::new();
        let (backend, kernel) = &self.backend;
        entries.insert("backend", backend.clone().into());
        entries.insert("kernel", (*kernel).into());
        entries.insert("read", self.read.into());
        entries.insert("bitrate_bps", self.bitrate_bps.into());
        entries.insert("sound", self.sound.clone().into());
        entries.insert("qp", self.grain.into());
        if !self.microphone.is_empty() {
            entries.insert("microphone", self.microphone.clone().into());
        }
        if let Some(mode) = self.mode {
            entries.insert("mode", mode.to_string().into());
        }
        if let Some(failure) = &self.failure {
            entries.insert("failure", failure.clone().into());
        }
        let (frames, rate) = (self.counters, self.rate);
        let counts = [
            ("encoded", frames.encoded),
            ("idrs", frames.idrs),
            ("recovered", frames.recovered),
            ("repeats", frames.repeats),
            ("superseded", frames.superseded),
            ("unchanged", frames.unchanged),
            ("pointers", frames.pointers),
            ("bad_pointers", self.bad_pointers),
            ("upstream_links", frames.upstream_links),
            ("idrs_again", rate.idrs_again),
            ("predicted_again", rate.predicted_again),
            ("over_limit", rate.over_limit),
            ("bytes", self.bytes),
            ("converted_bytes", self.converted_bytes),
            ("errors", self.errors),
        ];
        entries.extend(counts.map(|(name, count)| (name, count.into())));
        entries
    }
}
