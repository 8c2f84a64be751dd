//! What the administrator may set: `encoded.toml`.

use lumen_stage::config::{Bitrate, Span};
use serde::Deserialize;

/// Which backend encodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// The best that this machine has.
    #[default]
    Auto,
    /// Software H.264, and what it falls to.
    Openh264,
    /// Software H.264 without instructions of newer machines.
    Openh264Plain,
}

/// What kind of memory pictures are asked for in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Memory {
    /// Memfds. Because software reads every pixel, and a GPU's own memory is read by a CPU at a crawl.
    #[default]
    Memfd,
    /// Dmabufs where the compositor has them, else memfds.
    Dmabuf,
}

/// The whole configuration; every key has a default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What encodes.
    pub backend: Backend,
    /// Threads, and so slices, for one picture: 1 to 4. One, because on two cores that also draw and decode two were
    /// slower (a picture 33 ms against 19 at 1920×1080, 4.7 against 3.8 at 1280×720); idle cores may change that.
    pub threads: u16,
    /// What no client gets more than.
    pub max_bitrate: Bitrate,
    /// What kind of memory pictures are asked for in.
    pub memory: Memory,
    /// How long a session's encoder is kept after its reader hung up.
    pub lease: Span,
    /// How long a backend that failed three times in a row is set aside, counted from its newest failure.
    pub set_aside: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            backend: Backend::default(),
            threads: 1,
            max_bitrate: Bitrate(150_000_000),
            memory: Memory::default(),
            lease: Span(lumen_stage::lease::DEFAULT),
            set_aside: Span(lumen_stage::ladder::QUIET),
        }
    }
}
