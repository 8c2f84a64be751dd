//! What a session may name: the apps of `apps.toml`, and the games that the user's launchers have installed.
//!
//! ```text
//! apps.toml ──► file ─────────────┐
//! Steam's manifests ──► steam ────┤
//! Heroic's lists ──► heroic ──────┼──► Catalogue: one App a name, the first source of a name wins
//! Lutris' database ──► lutris ────┤
//! .desktop files ──► desktop ─────┘
//! ```
//! Clients name an app; they never say a command, a path or an argument. A source that cannot be read is a note in
//! Status, and the others are listed.

mod art;
mod desktop;
mod file;
mod heroic;
mod lutris;
mod shelves;
mod steam;
mod vdf;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use lumen_ipc::{Failure, FailureClass};
use lumen_stage::config::ConfigError;
use serde::Deserialize;

pub use self::art::picture;
use self::file::AppsFile;
use crate::places::find_program;

/// How long what was read counts, because clients ask for the list and for each app's picture in one go.
const FRESH: Duration = Duration::from_secs(5);

/// What is wrong with `apps.toml`.
///
/// # Errors
/// It cannot be read, or says something unknown or wrong.
pub fn check() -> Result<(), ConfigError> {
    AppsFile::read(&shelves::Shelves::of_user().files).map(drop)
}

/// Longest name of an app in bytes, because clients show it under a picture.
const MAX_NAME: usize = 128;
/// Most apps, because they go to a client in one answer.
const MAX_APPS: usize = 2000;

/// What becomes of a session whose app has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AtEnd {
    /// The desktop stays without it.
    #[default]
    Stay,
    /// The session ends as well.
    EndSession,
}

/// What is done before an app starts, and undone after it ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prep {
    /// Program and arguments; empty for nothing.
    #[serde(rename = "do")]
    pub act: Vec<String>,
    /// Program and arguments; empty for nothing.
    pub undo: Vec<String>,
}

/// A program that runs on an Output.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct App {
    /// What clients call it; `default` for what runs when they name none.
    pub name: String,
    /// Program and arguments, never empty.
    pub argv: Vec<String>,
    /// Where it starts; the user's home if `None`.
    pub directory: Option<PathBuf>,
    /// Variables that it gets besides those of the desktop.
    pub environment: BTreeMap<String, String>,
    /// Done in this order before it starts, undone in the other one.
    pub prep: Vec<Prep>,
    /// A PNG file.
    pub image: Option<PathBuf>,
    /// What becomes of its session when it ends.
    pub at_end: AtEnd,
    /// Where it was found: `apps.toml`, `Steam`, …
    pub source: &'static str,
}

impl App {
    /// `argv` under `name`, as found in `source`.
    pub fn new(name: &str, argv: impl IntoIterator<Item = impl Into<String>>, source: &'static str) -> Self {
        let argv = argv.into_iter().map(Into::into).collect();
        Self { name: name.to_owned(), argv, source, ..Self::default() }
    }

    /// With the full paths of its programs, which are looked for in the colon-separated `path`.
    ///
    /// # Errors
    /// One of them, or its directory, is not there.
    pub fn resolved(&self, path: &str) -> Result<Self, Failure> {
        let mut app = self.clone();
        let advice = match self.source {
            "" => "install it, or write its full path as app in vdisplayd.toml",
            "apps.toml" => "install it, or write its full path into apps.toml",
            _ => "install the launcher that the game belongs to, or remove the game there",
        };
        let refused = |what: String| {
            Failure::new(
                FailureClass::Environment,
                format!("the app {:?} cannot start: {what}", self.name),
                advice,
            )
        };
        let commands = app.prep.iter_mut().flat_map(|prep| [&mut prep.act, &mut prep.undo]);
        for command in std::iter::once(&mut app.argv).chain(commands) {
            let Some(program) = command.first_mut() else { continue };
            match find_program(program, path) {
                Some(found) => *program = found.display().to_string(),
                None => return Err(refused(format!("there is no program {program:?} in {path}"))),
            }
        }
        match &self.directory {
            Some(directory) if !directory.is_dir() => {
                Err(refused(format!("there is no directory {}", directory.display())))
            }
            _ => Ok(app),
        }
    }
}

/// All apps of one moment.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// In the order of their names.
    pub apps: BTreeMap<String, App>,
    /// What could not be read, and why.
    pub notes: Vec<String>,
}

impl Catalogue {
    fn add(&mut self, found: Vec<App>) {
        for app in found {
            let is_name =
                !app.name.is_empty() && app.name.len() <= MAX_NAME && !app.name.contains(char::is_control);
            if is_name && self.apps.len() < MAX_APPS {
                self.apps.entry(app.name.clone()).or_insert(app);
            }
        }
    }

    fn add_or_note(&mut self, found: Result<Vec<App>, String>) {
        match found {
            Ok(found) => self.add(found),
            Err(note) => self.notes.push(note),
        }
    }
}

/// The apps of this user, read again when they are asked for.
#[derive(Debug)]
pub struct Library {
    shelves: shelves::Shelves,
    seen: Mutex<Option<(Instant, Arc<Catalogue>)>>,
}

impl Library {
    /// Of the user whose process this is.
    pub fn of_user() -> Self {
        Self { shelves: shelves::Shelves::of_user(), seen: Mutex::default() }
    }

    /// All apps of now, or of some seconds ago. Reads files: not for the loop itself.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        if let Some((at, catalogue)) = &*self.seen()
            && at.elapsed() < FRESH
        {
            return catalogue.clone();
        }
        self.read()
    }

    /// Reads without the lock, because the loop asks for the notes.
    fn read(&self) -> Arc<Catalogue> {
        let catalogue = Arc::new(self.shelves.read());
        *self.seen() = Some((Instant::now(), catalogue.clone()));
        catalogue
    }

    fn seen(&self) -> MutexGuard<'_, Option<(Instant, Arc<Catalogue>)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `work`, which reads files, off the loop.
    ///
    /// # Errors
    /// Those of `work`; and that it panicked.
    pub async fn off_the_loop<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let library = self.clone();
        tokio::task::spawn_blocking(move || work(&library)).await.unwrap_or_else(|error| {
            let text = format!("the apps cannot be read: {error}");
            Err(Failure::new(FailureClass::Temporary, text, "try again"))
        })
    }

    /// What could not be read when apps were asked for last.
    pub fn notes(&self) -> Vec<String> {
        self.seen().as_ref().map(|(_, catalogue)| catalogue.notes.clone()).unwrap_or_default()
    }

    /// The app `name`.
    ///
    /// # Errors
    /// There is none.
    pub fn find(&self, name: &str) -> Result<App, Failure> {
        if let Some(app) = self.catalogue().apps.get(name) {
            return Ok(app.clone());
        }
        // It may have been written a moment ago.
        let catalogue = self.read();
        if let Some(app) = catalogue.apps.get(name) {
            return Ok(app.clone());
        }
        let known: Vec<&str> = catalogue.apps.keys().map(String::as_str).take(20).collect();
        let advice = match (catalogue.notes.first(), known.as_slice()) {
            (Some(note), _) => format!("not everything could be read: {note}"),
            (None, []) => "name no app, or add it to [apps] in apps.toml".to_owned(),
            (None, known) => format!("name one of {}, or add it to [apps] in apps.toml", known.join(", ")),
        };
        Err(Failure::new(FailureClass::Request, format!("this host has no app {name:?}"), advice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sabotage: let the last source of a name win.
    #[test]
    fn the_first_source_of_a_name_wins_and_odd_names_are_left_out() {
        let mut catalogue = Catalogue::default();
        catalogue.add(vec![App::new("Game", ["mine"], "apps.toml"), App::new("", ["x"], "Steam")]);
        catalogue.add(vec![App::new("Game", ["steam"], "Steam"), App::new("a\nb", ["x"], "Steam")]);
        catalogue.add(vec![App::new(&"x".repeat(129), ["x"], "Steam")]);
        let all: Vec<_> = catalogue.apps.values().map(|app| (app.name.as_str(), app.source)).collect();
        assert_eq!(all, [("Game", "apps.toml")]);
    }

    #[test]
    fn what_an_app_lacks_is_told_with_the_place_to_mend_it() {
        let mut app = App::new("game", ["sh"], "apps.toml");
        assert_eq!(app.resolved("/bin").unwrap().argv, ["/bin/sh"]);
        app.prep = vec![Prep { act: Vec::new(), undo: vec!["no-such".into()] }];
        let failure = app.resolved("/bin").unwrap_err();
        assert!(failure.text.contains("no-such") && failure.advice.contains("apps.toml"), "{failure}");
        let away = App { directory: Some("/nonexistent".into()), ..App::new("game", ["sh"], "Steam") };
        assert!(away.resolved("/bin").unwrap_err().text.contains("/nonexistent"));
    }
}
