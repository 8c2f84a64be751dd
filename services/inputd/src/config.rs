//! `inputd.toml`.

use std::fmt;

use lumen_stage::{config::Span, lease};
use serde::Deserialize;

/// What plays the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// What the session's Output takes.
    Auto,
    /// Nothing: counts them.
    Log,
}

/// A keyboard layout as XKB names it, like `de` or `us(dvorak)`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Layout {
    /// Like `us`.
    pub name: String,
    /// Like `dvorak`; empty for the layout's own.
    pub variant: String,
}

/// Not a layout's name.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is no keyboard layout: write one like \"de\" or \"us(dvorak)\" (`localectl list-x11-keymap-layouts`)"
)]
pub struct LayoutSyntax(String);

impl TryFrom<String> for Layout {
    type Error = LayoutSyntax;

    fn try_from(text: String) -> Result<Self, LayoutSyntax> {
        let (name, rest) =
            text.split_once('(').map_or((text.as_str(), None), |(name, rest)| (name, Some(rest)));
        let variant = rest.map_or(Some(""), |rest| rest.strip_suffix(')'));
        let is_word =
            |word: &str| word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        match variant {
            Some(variant) if is_word(name) && is_word(variant) && !name.is_empty() => {
                Ok(Self { name: name.to_owned(), variant: variant.to_owned() })
            }
            _ => Err(LayoutSyntax(text)),
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.variant.as_str() {
            "" => f.write_str(&self.name),
            variant => write!(f, "{}({variant})", self.name),
        }
    }
}

/// All settings; each has a default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What plays the events.
    pub backend: Choice,
    /// The keyboard layout of desktops that have no keyboard of their own.
    pub layout: Layout,
    /// Whether fingers are taken where the desktop takes them. Off, because GNOME leaves fingers down for ever that are so while
    /// its monitors change, and what a touch screen changes in its own behaviour (its on-screen keyboard, its pointer)
    /// was not looked at.
    pub touch: bool,
    /// How long held keys stay down after transportd hung up.
    pub lease: Span,
}

impl Default for Config {
    fn default() -> Self {
        let layout = Layout { name: "us".to_owned(), variant: String::new() };
        Self { backend: Choice::Auto, layout, touch: false, lease: Span(lease::DEFAULT) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sabotage: take any text for a layout; XKB would then read files by it.
    #[test]
    fn layouts_are_read_and_paths_are_none() {
        let read = |text: &str| Layout::try_from(text.to_owned());
        assert_eq!(read("de").unwrap(), Layout { name: "de".into(), variant: String::new() });
        assert_eq!(read("us(dvorak)").unwrap(), Layout { name: "us".into(), variant: "dvorak".into() });
        for wrong in ["", "(x)", "us(", "us(x", "../etc/passwd", "de,us", "us(a)b", "us\n"] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
