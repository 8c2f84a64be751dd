//! What the administrator is shown: each session's state of this moment.

use crate::{backends::Counts, newest::Counters};
use lumen_ipc::{
    Mode,
    pool::{Layout, Memory},
};
use lumen_stage::board;
use std::collections::HashMap;
use zbus::Variant;

/// One session's state.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Line {
    /// The way in which pictures are taken; empty while there is no source.
    pub backend: &'static str,
    /// Why in this way.
    pub why: &'static str,
    /// The mode that the source showed last.
    pub mode: Option<Mode>,
    /// Layout and number of the pool.
    pub pool: Option<(Layout, u32)>,
    /// What the pool's buffers are, and whether they are the compositor's own.
    pub memory: Option<(Memory, bool)>,
    /// Whether a reader is attached.
    pub read: bool,
    /// Why there is no source, if there is none.
    pub failure: Option<String>,
    /// What happened to pictures.
    pub counters: Counters,
    /// Pictures whose rows had to be turned.
    pub turned: u64,
    /// What the source counted.
    pub source: Counts,
    /// Whether there is sound, in words.
    pub sound: String,
    /// What becomes of the client's microphone, in words; empty where it has none.
    pub microphone: String,
}

/// All sessions' lines.
pub type Board = board::Board<Line>;

impl board::Line for Line {
    fn entries(&self) -> HashMap<&'static str, Variant<'static>> {
        let mut entries: HashMap<&'static str, Variant<'static>> = HashMap::new();
        entries.insert("backend", self.backend.into());
        entries.insert("why", self.why.into());
        entries.insert("read", self.read.into());
        entries.insert("sound", self.sound.clone().into());
        if !self.microphone.is_empty() {
            entries.insert("microphone", self.microphone.clone().into());
        }
        if let Some(mode) = self.mode {
            entries.insert("mode", mode.to_string().into());
        }
        if let Some((layout, number)) = self.pool {
            entries.insert("format", format!("{:?}, {} bytes a row", layout.format, layout.stride).into());
            entries.insert("pool", number.into());
        }
        if let Some((memory, is_foreign)) = self.memory {
            entries.insert("memory", described(memory, is_foreign).into());
        }
        if let Some(failure) = &self.failure {
            entries.insert("failure", failure.clone().into());
        }
        let Counters { taken, sent, skipped, united, missed } = self.counters;
        let counts = [
            ("taken", taken),
            ("sent", sent),
            ("skipped", skipped),
            ("damage_united", united),
            ("missed", missed),
        ];
        entries.extend(counts.map(|(name, count)| (name, count.into())));
        entries.insert("turned", self.turned.into());
        entries.extend(self.source.named().map(|(name, count)| (name, count.into())));
        entries
    }
}

/// What the buffers are, in words.
fn described(memory: Memory, is_foreign: bool) -> String {
    let kind = match memory {
        Memory::Memfd => "memfds".to_owned(),
        Memory::Dmabuf { modifier } => format!("dmabufs of modifier {modifier:#x}"),
    };
    let whose = if is_foreign { "the compositor's own, handed on" } else { "captured's own, copied into" };
    format!("{kind}, {whose}")
}

#[cfg(test)]
mod tests {
    use super::*;

    // Sabotage: call every pool captured's own.
    #[test]
    fn memory_is_told_with_its_modifier_and_its_owner() {
        assert_eq!(described(Memory::Memfd, false), "memfds, captured's own, copied into");
        let linear = described(Memory::Dmabuf { modifier: 0 }, true);
        assert_eq!(linear, "dmabufs of modifier 0x0, the compositor's own, handed on");
    }
}
