//! Where the sources of apps lie on this machine.

use std::{
    env,
    path::{Path, PathBuf},
};

use super::{
    App, Catalogue, desktop,
    file::{AppsFile, DesktopFiles},
    heroic, lutris, steam,
};
use crate::places::find_program;

/// Where programs are looked for, if this process was not told.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/games";

/// Folders of the user and of the system.
#[derive(Debug, Clone)]
pub struct Shelves {
    /// The user's home.
    pub home: PathBuf,
    /// `$XDG_CONFIG_HOME`.
    pub config: PathBuf,
    /// `$XDG_DATA_HOME`, then `$XDG_DATA_DIRS`: the first that has a file wins.
    pub data: Vec<PathBuf>,
    /// The configuration files, in the order in which they are read.
    pub files: Vec<PathBuf>,
    /// `$PATH`.
    pub path: String,
}

impl Shelves {
    /// As the environment of this process says.
    pub fn of_user() -> Self {
        let folder = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = folder("HOME").unwrap_or_else(|| "/".into());
        let config = folder("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
        let mut data = vec![folder("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local/share"))];
        let dirs = env::var("XDG_DATA_DIRS").unwrap_or_else(|_| "/usr/local/share:/usr/share".to_owned());
        data.extend(dirs.split(':').map(PathBuf::from).filter(|path| path.is_absolute()));
        // A login that did not go through a display manager lacks them.
        for flatpak in
            [home.join(".local/share/flatpak/exports/share"), "/var/lib/flatpak/exports/share".into()]
        {
            if !data.contains(&flatpak) {
                data.push(flatpak);
            }
        }
        let files = vec!["/etc/lumen/apps.toml".into(), config.join("lumen/apps.toml")];
        let path = env::var("PATH").unwrap_or_else(|_| PATH.to_owned());
        Self { home, config, data, files, path }
    }

    /// Everything that is there.
    pub fn read(&self) -> Catalogue {
        let mut catalogue = Catalogue::default();
        let settings = AppsFile::read(&self.files).unwrap_or_else(|error| {
            catalogue.notes.push(error.to_string());
            AppsFile::default()
        });
        catalogue.add(settings.own(&self.home));
        if settings.steam {
            self.launcher(&mut catalogue, steam::games(&self.home), &["steam", "flatpak"]);
        }
        if settings.heroic {
            self.launcher(&mut catalogue, heroic::games(&self.home, &self.config), &["heroic", "flatpak"]);
        }
        if settings.lutris {
            let data = self.data.first().map_or_else(|| self.home.join(".local/share"), PathBuf::clone);
            self.launcher(&mut catalogue, lutris::games(&self.home, &data), &["lutris", "flatpak"]);
        }
        if settings.desktop_files != DesktopFiles::None {
            let all = settings.desktop_files == DesktopFiles::All;
            catalogue.add(desktop::programs(&self.data, all, |program| self.has(program)));
        }
        catalogue
    }

    /// What a launcher left behind when it was removed is not listed.
    fn launcher(&self, catalogue: &mut Catalogue, found: Result<Vec<App>, String>, programs: &[&str]) {
        if programs.iter().any(|program| self.has(program)) {
            let there = |app: &App| app.argv.first().is_some_and(|program| self.has(program));
            catalogue.add_or_note(found.map(|found| found.into_iter().filter(there).collect()));
        }
    }

    fn has(&self, program: &str) -> bool {
        find_program(program, &self.path).is_some()
    }
}

/// A launcher's program, or the same one in its Flatpak.
pub fn launcher(program: &str, flatpak: &str, is_flatpak: bool, arguments: &[&str]) -> Vec<String> {
    let start: &[&str] = if is_flatpak { &["flatpak", "run", flatpak] } else { &[program] };
    start.iter().chain(arguments).map(|word| (*word).to_owned()).collect()
}

/// The text of the file `path`; `None` if there is none.
///
/// # Errors
/// It is there and cannot be read, or is larger than any that a launcher writes.
pub fn text(path: &Path) -> Result<Option<String>, String> {
    const MAX_BYTES: u64 = 64 << 20;
    match std::fs::metadata(path) {
        Ok(found) if found.len() > MAX_BYTES => {
            Err(format!("{}: larger than 64 MiB, not read", path.display()))
        }
        Ok(_) => std::fs::read_to_string(path)
            .map(Some)
            .map_err(|error| format!("{}: {error}; its games are not listed", path.display())),
        Err(_) => Ok(None),
    }
}
