//! Where things are: the runtime directory, our own files in it, programs.
//!
//! ```text
//! $XDG_RUNTIME_DIR/lumen-outputs/SESSION.conf     configuration of a headless sway
//!                               /SESSION.sock     its IPC socket
//!                               /SESSION.display  the X display it offers, written by itself
//!                               /SESSION.name     name of the output that we made in the user's sway
//!                               /SESSION.cast     what is recorded in the user's GNOME
//!                               /SESSION.app      name of the app that waits for the Output's monitor
//!                               /SESSION.holder   process id of the captured that needs the Output
//!                               /SESSION.notice   number of the notification that says who controls the desktop
//!                               /gnome.layout     how the user's monitors lay before lumen moved them
//! ```
//! They do not lie in a RuntimeDirectory of vdisplayd, because that is removed while the units that own these files
//! still stop.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use lumen_ipc::SessionId;

const KINDS: [&str; 10] =
    ["conf", "sock", "display", "display.new", "name", "cast", "app", "holder", "notice", "new"];

/// Directories and identity of this process.
#[derive(Debug, Clone)]
pub struct Places {
    /// `$XDG_RUNTIME_DIR`.
    pub runtime: PathBuf,
    /// Our effective user id.
    pub uid: u32,
    /// Our own program, which units run with `--sweep`.
    pub program: PathBuf,
}

/// Why the places are not known.
#[derive(Debug, thiserror::Error)]
pub enum PlacesError {
    /// Not started by a user manager.
    #[error(
        "XDG_RUNTIME_DIR is not set: start lumen with `systemctl --user start lumen.target` or `sudo lumenctl run`"
    )]
    NoRuntime,
    /// /proc is not there.
    #[error("cannot tell where this program lies: {0}")]
    NoProgram(io::Error),
}

impl Places {
    /// From the environment of this process.
    pub fn find() -> Result<Self, PlacesError> {
        let runtime =
            env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty()).ok_or(PlacesError::NoRuntime)?;
        let program = env::current_exe().map_err(PlacesError::NoProgram)?;
        Ok(Self {
            runtime: runtime.into(),
            uid: rustix::process::geteuid().as_raw(),
            program: without_deleted(&program),
        })
    }

    /// The file of `session` that ends in `.kind`.
    pub fn file(&self, session: SessionId, kind: &str) -> PathBuf {
        self.folder().join(format!("{session}.{kind}"))
    }

    /// Writes `text` to the file `name` that belongs to no session.
    pub fn write_shared(&self, name: &str, text: &str) -> io::Result<()> {
        fs::create_dir_all(self.folder())?;
        fs::write(self.shared_file(name), text)
    }

    /// Writes `text` to the file of `session` that ends in `.kind`, whole or not at all.
    pub fn write(&self, session: SessionId, kind: &str, text: &str) -> io::Result<PathBuf> {
        fs::create_dir_all(self.folder())?;
        let path = self.file(session, kind);
        let unfinished = self.file(session, "new");
        fs::write(&unfinished, text)?;
        fs::rename(&unfinished, &path)?;
        Ok(path)
    }

    /// The file `name` that belongs to no session.
    pub fn shared_file(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Removes all files of `session`, and the folder if it was the last.
    pub fn forget(&self, session: SessionId) {
        for kind in KINDS {
            let _ = fs::remove_file(self.file(session, kind));
        }
        self.forget_folder();
    }

    /// Removes the folder unless something is in it.
    pub fn forget_folder(&self) {
        let _ = fs::remove_dir(self.folder());
    }

    /// The sessions that have files here.
    pub fn sessions(&self) -> Vec<SessionId> {
        let files = fs::read_dir(self.folder()).into_iter().flatten().flatten();
        let session = |name: &str| name.split('.').next()?.parse().ok();
        files.filter_map(|file| session(file.file_name().to_str()?)).collect()
    }

    fn folder(&self) -> PathBuf {
        self.runtime.join("lumen-outputs")
    }
}

/// The kernel appends this when the file was replaced by an upgrade; the new one is the one to start.
fn without_deleted(program: &Path) -> PathBuf {
    match program.to_str().and_then(|text| text.strip_suffix(" (deleted)")) {
        Some(path) => path.into(),
        None => program.to_owned(),
    }
}

/// Full path of `program`, looked for in the colon-separated `path` if it has no slash.
pub fn find_program(program: &str, path: &str) -> Option<PathBuf> {
    let executable = |file: &Path| {
        file.is_absolute() && file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
    };
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|file| executable(file));
    }
    path.split(':').map(|folder| Path::new(folder).join(program)).find(|file| executable(file))
}

/// Whether a GPU's render node can be opened.
pub fn has_render_node() -> bool {
    let nodes = fs::read_dir("/dev/dri").into_iter().flatten().flatten();
    nodes
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with("renderD")))
        .any(|entry| fs::File::options().read(true).write(true).open(entry.path()).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_as_a_shell_finds_them() {
        assert_eq!(find_program("sh", "/nonexistent:/bin"), Some("/bin/sh".into()));
        assert_eq!(find_program("/bin/sh", ""), Some("/bin/sh".into()));
        assert_eq!(find_program("lumen-no-such-program", "/bin:/usr/bin"), None);
        assert_eq!(find_program("/etc/passwd", ""), None);
        assert_eq!(find_program("bin/sh", "/"), None);
    }

    #[test]
    fn replaced_program_is_started_from_its_place() {
        assert_eq!(without_deleted(Path::new("/usr/lib/lumen/x (deleted)")), Path::new("/usr/lib/lumen/x"));
        assert_eq!(without_deleted(Path::new("/usr/lib/lumen/x")), Path::new("/usr/lib/lumen/x"));
    }

    #[test]
    fn forgotten_session_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places { runtime: folder.path().to_owned(), uid: 1, program: "/bin/true".into() };
        let (one, two) = (SessionId([1; 16]), SessionId([2; 16]));
        places.write(one, "name", "HEADLESS-2").unwrap();
        let kept = places.write(two, "conf", "x").unwrap();
        assert_eq!(places.sessions().len(), 2);
        places.forget(one);
        assert!(!places.file(one, "name").exists() && kept.exists());
        places.forget(two);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
