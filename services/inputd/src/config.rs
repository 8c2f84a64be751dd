//! `inputd.toml`.

use lumen_stage::{config::Span, lease};
use serde::Deserialize;

/// What plays the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// Counts them.
    Log,
}

/// All settings; each has a default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What plays the events.
    pub backend: Choice,
    /// How long held keys stay down after transportd hung up.
    pub lease: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self { backend: Choice::Log, lease: Span(lease::DEFAULT) }
    }
}
