//! What the administrator may set: `captured.toml`.

use lumen_stage::config::Span;
use serde::Deserialize;

/// Which backend takes the pictures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// The one that fits the Output that vdisplayd gives.
    #[default]
    Auto,
    /// A moving test picture without any compositor.
    Pattern,
}

/// The whole configuration; every key has a default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where pictures come from.
    pub backend: Backend,
    /// How long a session's Output and buffers are kept after its reader hung up.
    pub lease: Span,
    /// How long a way of capturing that failed three times in a row is set aside, counted from its newest failure.
    pub set_aside: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            backend: Backend::default(),
            lease: Span(lumen_stage::lease::DEFAULT),
            set_aside: Span(lumen_stage::ladder::QUIET),
        }
    }
}
