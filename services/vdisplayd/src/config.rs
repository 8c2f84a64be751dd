//! `vdisplayd.toml`.

use std::time::Duration;

use lumen_ipc::{Failure, FailureClass, Mode};
use lumen_stage::config::Span;
use serde::Deserialize;

use crate::{backends::mutter::layout::Topology, library::App};

/// Name of the app that runs when a session names none.
pub const DEFAULT: &str = "default";

/// Where Outputs are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// In the GNOME or sway that the user is running, else in a headless sway.
    Auto,
    /// Always in a headless sway of their own.
    SwayHeadless,
    /// Nowhere: captured draws a test picture.
    Pattern,
}

/// All settings; each has a default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where Outputs are made.
    pub backend: Choice,
    /// Where an Output in the user's GNOME lies among the user's own monitors.
    pub topology: Topology,
    /// Program and arguments that run on a headless Output when the session names no app; empty: nothing.
    pub app: Vec<String>,
    /// How long an Output stays when captured died and did not come back for it.
    pub lease: Span,
    /// Whether the desktop says who controls it.
    pub notify: bool,
    /// Largest picture in pixels.
    pub max_pixels: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            backend: Choice::Auto,
            // Because elsewhere there is a wallpaper to see, and GNOME opens windows on its primary monitor.
            topology: Topology::Primary,
            app: Vec::new(),
            lease: Span(Duration::from_secs(10)),
            notify: true,
            // Because one buffer of 8192×4320 takes 142 MB and a session needs several.
            max_pixels: 8192 * 4320,
        }
    }
}

impl Config {
    /// The mode, if it can be shown here.
    pub fn mode(&self, mode: Mode) -> Result<Mode, Failure> {
        let refused = |text: String, advice: &str| Failure::new(FailureClass::Request, text, advice);
        let mode =
            mode.check().map_err(|error| refused(error.to_string(), "ask for a mode like 1920x1080@60"))?;
        let pixels = u64::from(mode.width) * u64::from(mode.height);
        if pixels > u64::from(self.max_pixels) {
            let text = format!("{mode} has {pixels} pixels, this host shows at most {}", self.max_pixels);
            return Err(refused(text, "ask for a smaller picture, or raise max_pixels in vdisplayd.toml"));
        }
        Ok(mode)
    }

    /// What runs when a session names no app, or nothing; `headless`: on an Output of our own.
    pub fn default_app(&self, headless: bool) -> Option<App> {
        (headless && !self.app.is_empty()).then(|| App::new(DEFAULT, &self.app, ""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::PathBuf};

    fn load(text: &str) -> Result<Config, lumen_stage::config::ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path: PathBuf = folder.path().join("vdisplayd.toml");
        fs::write(&path, text).unwrap();
        lumen_stage::config::load(&[path], &[])
    }

    #[test]
    fn mistakes_name_the_line_and_what_is_accepted() {
        let message = load("app = []\nbackend = \"kwin\"\n").unwrap_err().to_string();
        assert!(message.contains(":2:") && message.contains("sway-headless"), "{message}");
        let message = load("aps = []\n").unwrap_err().to_string();
        assert!(message.contains("aps"), "{message}");
    }

    /// Sabotage: check only the sides and not the number of pixels.
    #[test]
    fn modes_beyond_this_host_are_refused_with_the_range() {
        let config = Config::default();
        let at = |text: &str| config.mode(text.parse().unwrap());
        assert_eq!(at("1920x1080@59.94").unwrap().refresh_mhz, 59_940);
        for (text, range) in [
            ("0x0@60", "at least 64"),
            ("1x1@60", "at least 64"),
            ("20000x20000@60", "at most 8192"),
            ("1281x721@60", "even"),
            ("1280x720@0", "between 1000 and 500000 mHz"),
            ("8192x8192@60", "at most 35389440"),
        ] {
            let failure = at(text).unwrap_err();
            assert_eq!(failure.class, FailureClass::Request);
            assert!(failure.text.contains(range), "{text}: {failure}");
        }
    }

    #[test]
    fn the_users_own_desktop_has_its_own_programs() {
        let config = load("app = [\"foot\"]\n").unwrap();
        assert_eq!(config.default_app(true).unwrap().argv, ["foot"]);
        assert_eq!(config.default_app(false), None);
    }
}
