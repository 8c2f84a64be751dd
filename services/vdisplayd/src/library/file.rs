//! `apps.toml`: `/etc/lumen/apps.toml`, then `lumen/apps.toml` in `$XDG_CONFIG_HOME`, key by key.
//!
//! It is read again whenever apps are asked for, so that nothing has to be restarted.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use lumen_stage::config::{ConfigError, load};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer, value::SeqAccessDeserializer},
};

use super::{App, AtEnd, Prep};

/// Which `.desktop` files are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DesktopFiles {
    /// Those that call themselves games.
    #[default]
    Games,
    /// All that a menu shows.
    All,
    /// None.
    None,
}

/// All settings; each has a default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AppsFile {
    /// Whether Steam's installed games are listed.
    pub steam: bool,
    /// Whether those of Lutris are.
    pub lutris: bool,
    /// Whether those of Heroic are.
    pub heroic: bool,
    /// Which `.desktop` files are.
    #[serde(rename = "desktop-files")]
    pub desktop_files: DesktopFiles,
    /// Apps of the user's own, by name.
    pub apps: BTreeMap<String, Entry>,
}

impl Default for AppsFile {
    fn default() -> Self {
        Self {
            steam: true,
            lutris: true,
            heroic: true,
            desktop_files: DesktopFiles::Games,
            apps: BTreeMap::new(),
        }
    }
}

/// An app: `["PROGRAM", "ARGUMENT"]`, or a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry(Table);

/// An app that is more than its command.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    command: Vec<String>,
    directory: Option<PathBuf>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    prep: Vec<Prep>,
    image: Option<PathBuf>,
    #[serde(default)]
    at_end: AtEnd,
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[\"PROGRAM\", \"ARGUMENT\"], or a table with command = [\"PROGRAM\", \"ARGUMENT\"]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, words: A) -> Result<Entry, A::Error> {
        let command = Vec::deserialize(SeqAccessDeserializer::new(words))?;
        let (environment, prep, at_end) = Default::default();
        entry(Table { command, directory: None, environment, prep, image: None, at_end })
    }

    fn visit_map<A: MapAccess<'de>>(self, keys: A) -> Result<Entry, A::Error> {
        entry(Table::deserialize(MapAccessDeserializer::new(keys))?)
    }
}

fn entry<E: Error>(table: Table) -> Result<Entry, E> {
    if table.command.first().is_none_or(String::is_empty) {
        return Err(E::custom("an app without a program: write command = [\"PROGRAM\", \"ARGUMENT\"]"));
    }
    if table.environment.keys().any(|name| name.is_empty() || name.contains(['=', '\0'])) {
        return Err(E::custom("environment: a variable has a name without \"=\""));
    }
    for path in [&table.directory, &table.image].into_iter().flatten() {
        if !path.is_absolute() && !path.starts_with("~") {
            let what = format!("{}: write a full path, or one that begins with ~/", path.display());
            return Err(E::custom(what));
        }
    }
    Ok(Entry(table))
}

impl AppsFile {
    /// What `files` say; missing ones are skipped.
    ///
    /// # Errors
    /// One of them cannot be read, or says something unknown or wrong.
    pub fn read(files: &[PathBuf]) -> Result<Self, ConfigError> {
        load(files, &[])
    }

    /// The apps of the user's own, whose home is `home`.
    pub fn own(&self, home: &Path) -> Vec<App> {
        let at_home = |path: &PathBuf| match path.strip_prefix("~") {
            Ok(rest) => home.join(rest),
            Err(_) => path.clone(),
        };
        let app = |(name, Entry(table)): (&String, &Entry)| App {
            name: name.clone(),
            argv: table.command.clone(),
            directory: table.directory.as_ref().map(at_home),
            environment: table.environment.clone(),
            prep: table.prep.clone(),
            image: table.image.as_ref().map(at_home),
            at_end: table.at_end,
            source: "apps.toml",
        };
        self.apps.iter().map(app).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<AppsFile, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("apps.toml");
        std::fs::write(&path, text).unwrap();
        AppsFile::read(&[path])
    }

    #[test]
    fn an_app_is_a_command_or_a_table() {
        let text = r#"
            lutris = false
            desktop-files = "all"
            [apps]
            terminal = ["foot"]
            [apps."Big Picture"]
            command = ["steam", "-gamepadui"]
            directory = "~/Games"
            environment = { MANGOHUD = "1" }
            prep = [{ do = ["loud", "on"], undo = ["loud", "off"] }, { undo = ["lights"] }]
            image = "/usr/share/pictures/steam.png"
            at_end = "end-session"
        "#;
        let file = read(text).unwrap();
        assert!(file.steam && !file.lutris && file.desktop_files == DesktopFiles::All);
        let own = file.own(Path::new("/home/me"));
        assert_eq!(own.len(), 2);
        let big = &own[0];
        assert_eq!((big.name.as_str(), big.argv.len(), big.at_end), ("Big Picture", 2, AtEnd::EndSession));
        assert_eq!(big.directory.as_deref(), Some(Path::new("/home/me/Games")));
        assert_eq!(big.prep[0].undo, ["loud", "off"]);
        assert!(big.prep[1].act.is_empty());
        assert_eq!(own[1].argv, ["foot"]);
    }

    #[test]
    fn mistakes_name_the_line_and_what_is_accepted() {
        for (text, words) in [
            ("steam = 3\n", [":1:", "boolean"]),
            ("\n[apps]\nx = 5\n", [":3:", "[\"PROGRAM\""]),
            ("[apps]\nx = []\n", [":2:", "without a program"]),
            ("[apps.x]\ncomand = [\"x\"]\n", [":", "comand"]),
            ("[apps.x]\ncommand = [\"x\"]\nimage = \"x.png\"\n", [":", "full path"]),
            ("[apps.x]\ncommand = [\"x\"]\nat_end = \"never\"\n", [":", "end-session"]),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(words.iter().all(|word| message.contains(word)), "{text}: {message}");
        }
    }
}
