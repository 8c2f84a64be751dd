//! Finds the sway that the user is sitting at, if there is one that may be used.
//!
//! Asked anew at each Acquire. Candidates: `SWAYSOCK` of the user manager's environment, then the sockets that a
//! sway makes by itself (`$XDG_RUNTIME_DIR/sway-ipc.UID.PID.sock`), newest first. Never one of our own headless
//! ones, never one of another user, never one that is seen to be locked.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{ipc::Ipc, output};
use crate::{logind, process, systemd::UserManager};

/// Screen lockers whose presence means that the desktop is locked; sway's IPC does not tell.
const LOCKERS: [&str; 5] = ["swaylock", "gtklock", "waylock", "hyprlock", "swaylock-plugin"];

/// A running sway that may be used.
#[derive(Debug)]
pub struct Desktop {
    /// Its IPC socket.
    pub socket: PathBuf,
    /// An open connection to it.
    pub ipc: Ipc,
    /// Its process id.
    pub pid: i32,
}

/// What the search found: the desktop, or for each candidate why it was passed over.
#[derive(Debug, Default)]
pub struct Search {
    /// The one to use.
    pub desktop: Option<Desktop>,
    /// "PATH: reason" for each that was passed over.
    pub passed_over: Vec<String>,
}

/// Looks for a usable sway of the user `uid` whose runtime directory is `runtime`.
pub async fn search(runtime: &Path, uid: u32, manager: &UserManager) -> Search {
    let mut search = Search::default();
    let environment = manager.environment().await.unwrap_or_default();
    let mut candidates: Vec<PathBuf> = environment.get("SWAYSOCK").map(PathBuf::from).into_iter().collect();
    for socket in sockets(runtime, uid) {
        if !candidates.contains(&socket) {
            candidates.push(socket);
        }
    }
    for socket in candidates {
        match usable(&socket, uid).await {
            Ok(desktop) => {
                search.desktop = Some(desktop);
                break;
            }
            Err(reason) => search.passed_over.push(format!("{}: {reason}", socket.display())),
        }
    }
    search
}

/// The sockets that sways of `uid` made in `runtime`, the newest first.
fn sockets(runtime: &Path, uid: u32) -> Vec<PathBuf> {
    let prefix = format!("sway-ipc.{uid}.");
    let mut found: Vec<(SystemTime, PathBuf)> = fs::read_dir(runtime)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| is_sway_socket(name, &prefix)))
        .map(|entry| {
            let made = entry.metadata().and_then(|metadata| metadata.modified());
            (made.unwrap_or(SystemTime::UNIX_EPOCH), entry.path())
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, path)| path).collect()
}

fn is_sway_socket(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix)
        .and_then(|rest| rest.strip_suffix(".sock"))
        .is_some_and(|pid| !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit()))
}

async fn usable(socket: &Path, uid: u32) -> Result<Desktop, String> {
    let mut ipc = Ipc::connect(socket).await.map_err(|error| error.to_string())?;
    let (pid, owner) = ipc.peer().ok_or("the kernel does not say whose it is")?;
    if owner != uid {
        return Err(format!("belongs to user {owner}"));
    }
    if process::cgroup(pid).is_some_and(|cgroup| cgroup.contains("/lumen-output-")) {
        return Err("is one of lumen's own".to_owned());
    }
    if let Some(lock) = lock(socket, &ipc).await {
        return Err(format!("is locked{lock}"));
    }
    if !output::can_remove(&mut ipc).await.map_err(|error| error.to_string())? {
        return Err("cannot take outputs away again; sway 1.8 and later can".to_owned());
    }
    Ok(Desktop { socket: socket.to_owned(), ipc, pid })
}

/// Whether the sway at `socket`, at the other end of `ipc`, is seen to be locked, and by what (may be empty).
pub async fn lock(socket: &Path, ipc: &Ipc) -> Option<String> {
    let (pid, _) = ipc.peer()?;
    if let Some(locker) = locker_inside(socket, pid) {
        return Some(format!(": {locker} runs in it"));
    }
    logind::is_locked(pid).await.then(String::new)
}

/// Name of a screen locker that runs in the sway with this socket and process id.
fn locker_inside(socket: &Path, sway: i32) -> Option<&'static str> {
    process::all().into_iter().find_map(|pid| {
        let name = process::name(pid)?;
        let locker = LOCKERS.into_iter().find(|locker| *locker == name)?;
        let named = process::environment_value(pid, "SWAYSOCK").map(PathBuf::from);
        let inside = named.is_some_and(|named| named == socket) || process::parent(pid) == Some(sway);
        inside.then_some(locker)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sockets_that_sway_itself_named_are_candidates() {
        assert!(is_sway_socket("sway-ipc.1000.4711.sock", "sway-ipc.1000."));
        for name in
            ["sway-ipc.1000..sock", "sway-ipc.10001.5.sock", "sway-ipc.1000.x.sock", "wayland-1", "sway.sock"]
        {
            assert!(!is_sway_socket(name, "sway-ipc.1000."), "{name}");
        }
    }

    #[test]
    fn newest_socket_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        for (name, made_s) in
            [("sway-ipc.7.1.sock", 1), ("sway-ipc.7.2.sock", 100), ("sway-ipc.7.3.sock", 50)]
        {
            let file = fs::File::create(folder.path().join(name)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(made_s)).unwrap();
        }
        let names: Vec<_> =
            sockets(folder.path(), 7).iter().map(|p| p.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["sway-ipc.7.2.sock", "sway-ipc.7.3.sock", "sway-ipc.7.1.sock"]);
    }

    #[tokio::test]
    async fn machine_without_sway_has_none_and_says_nothing_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let manager = UserManager::new(folder.path().to_owned());
        let search = search(folder.path(), 7, &manager).await;
        assert!(search.desktop.is_none() && search.passed_over.is_empty(), "{search:?}");
    }

    #[tokio::test]
    async fn socket_that_nobody_answers_is_passed_over_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        drop(tokio::net::UnixListener::bind(folder.path().join("sway-ipc.7.1.sock")).unwrap());
        let manager = UserManager::new(folder.path().to_owned());
        let search = search(folder.path(), 7, &manager).await;
        assert!(search.desktop.is_none());
        assert!(search.passed_over[0].contains("refused"), "{search:?}");
    }
}
