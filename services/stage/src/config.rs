//! Configuration of a stage: `/etc/lumen/STAGE.toml`, then `$XDG_CONFIG_HOME/lumen/STAGE.toml`, then `--set`.
//!
//! Each later source overrides single keys of the earlier. Every key has a default, every mistake is told with
//! file, line and what would be accepted, and the process exits 78 (`EX_CONFIG`), which systemd does not restart.

use std::{
    env, fmt, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use lumen_ipc::Stage;
use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error as _};
use toml::{Table, Value};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file is there but cannot be read.
    #[error("{path}: cannot be read: {source}; mend its permissions or remove it", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file says something unknown or wrong.
    #[error("{path}:{line}: {message}", path = path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// What is wrong and what would be accepted.
        message: String,
    },
    /// An argument `--set` is wrong.
    #[error("--set {argument}: {message}")]
    Argument {
        /// The argument.
        argument: String,
        /// What is wrong and what would be accepted.
        message: String,
    },
}

/// The files that are read for `stage`, in this order; missing ones are skipped.
pub fn files(stage: Stage) -> Vec<PathBuf> {
    let file = format!("{stage}.toml");
    let home = env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".config")));
    let mut files = vec![Path::new("/etc/lumen").join(&file)];
    files.extend(home.map(|home| home.join("lumen").join(&file)));
    files
}

/// Reads `files` and then the `KEY=VALUE` of `settings`. Keys of tables are written `table.key`.
pub fn load<C: DeserializeOwned>(files: &[PathBuf], settings: &[String]) -> Result<C, ConfigError> {
    let mut merged = Table::new();
    for path in files {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => {
                return Err(ConfigError::Unreadable { path: path.clone(), source });
            }
        };
        merge(&mut merged, parse::<C>(path, &text)?);
    }
    for argument in settings {
        merge(&mut merged, setting::<C>(argument)?);
    }
    let nothing = PathBuf::from("the built-in defaults");
    merged.try_into().map_err(|error: toml::de::Error| ConfigError::Wrong {
        path: files.last().cloned().unwrap_or(nothing),
        line: 0,
        message: error.message().to_owned(),
    })
}

/// Parses one file on its own, so that a mistake has a line.
fn parse<C: DeserializeOwned>(path: &Path, text: &str) -> Result<Table, ConfigError> {
    let wrong = |error: toml::de::Error| {
        let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or_default();
        let line = before.bytes().filter(|&b| b == b'\n').count() + 1;
        ConfigError::Wrong { path: path.to_owned(), line, message: error.message().to_owned() }
    };
    toml::from_str::<C>(text).map_err(wrong)?;
    toml::from_str::<Table>(text).map_err(wrong)
}

/// One `KEY=VALUE`: VALUE is TOML, or else a plain string.
fn setting<C: DeserializeOwned>(argument: &str) -> Result<Table, ConfigError> {
    let wrong = |message: String| ConfigError::Argument { argument: argument.to_owned(), message };
    let (key, value) = argument.split_once('=').ok_or_else(|| wrong("write KEY=VALUE".into()))?;
    let quoted = format!("{key} = {}", Value::String(value.trim().to_owned()));
    let table = toml::from_str(argument)
        .or_else(|_| toml::from_str::<Table>(&quoted))
        .map_err(|error| wrong(error.message().to_owned()))?;
    table.clone().try_into::<C>().map_err(|error| wrong(error.message().to_owned()))?;
    Ok(table)
}

fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(value)) => merge(inner, value),
            (_, value) => drop(base.insert(key, value)),
        }
    }
}

/// A number with a unit, written as a string: the units are part of the type.
fn with_unit(text: &str, units: &[(&str, u64)], example: &str) -> Result<u64, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let accepted = || units.iter().map(|(unit, _)| *unit).collect::<Vec<_>>().join(", ");
    let error =
        || format!("{text:?} is not accepted: write a number and one of {}, like {example:?}", accepted());
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(error)?;
    let value = number.parse::<f64>().map_err(|_| error())? * *factor as f64;
    if value.is_finite() && value < 9e18 { Ok(value.round() as u64) } else { Err(error()) }
}

/// A string; anything else is told how to be written.
fn text_like<'de, D: Deserializer<'de>>(deserializer: D, example: &str) -> Result<String, D::Error> {
    let explain = |error| D::Error::custom(format!("{error} with a unit, like {example:?}"));
    String::deserialize(deserializer).map_err(explain)
}

/// A span of time: `"250 ms"`, `"10 s"`, `"5 min"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = text_like(deserializer, "10 s")?;
        let units = [("ms", 1_000_000), ("s", 1_000_000_000), ("min", 60_000_000_000)];
        let ns = with_unit(&text, &units, "10 s").map_err(D::Error::custom)?;
        Ok(Self(Duration::from_nanos(ns)))
    }
}

/// A bit rate: `"800 kbit/s"`, `"10 Mbit/s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bitrate(pub u64);

impl<'de> Deserialize<'de> for Bitrate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = text_like(deserializer, "10 Mbit/s")?;
        let units = [("kbit/s", 1_000), ("Mbit/s", 1_000_000), ("Gbit/s", 1_000_000_000)];
        with_unit(&text, &units, "10 Mbit/s").map(Self).map_err(D::Error::custom)
    }
}

impl fmt::Display for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Mbit/s", self.0 as f64 / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Sample {
        lease: Span,
        limit: u32,
    }

    impl Default for Sample {
        fn default() -> Self {
            Self { lease: Span(Duration::from_secs(10)), limit: 3 }
        }
    }

    fn file(text: &str) -> (tempfile::TempDir, Vec<PathBuf>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sample.toml");
        fs::write(&path, text).unwrap();
        (dir, vec![path])
    }

    #[test]
    fn later_sources_override_single_keys() {
        let (_dir, files) = file("lease = \"250 ms\"\nlimit = 4\n");
        let config: Sample = load(&files, &["limit=5".into()]).unwrap();
        assert_eq!(config, Sample { lease: Span(Duration::from_millis(250)), limit: 5 });
        let config: Sample = load(&[], &["lease=2 min".into()]).unwrap();
        assert_eq!(config.lease, Span(Duration::from_secs(120)));
    }

    #[test]
    fn a_mistake_is_told_with_its_line_and_what_is_accepted() {
        let (_dir, files) = file("limit = 4\nlaese = \"1 s\"\n");
        let message = load::<Sample>(&files, &[]).unwrap_err().to_string();
        assert!(message.contains(":2:") && message.contains("lease"), "{message}");
        let (_dir, files) = file("limit = 4\nlease = \"1 hour\"\n");
        let message = load::<Sample>(&files, &[]).unwrap_err().to_string();
        assert!(message.contains(":2:") && message.contains("ms, s, min"), "{message}");
        let message = load::<Sample>(&[], &["lease=1".into()]).unwrap_err().to_string();
        assert!(message.contains("--set lease=1") && message.contains("10 s"), "{message}");
    }
}
