//! The cgroup of one `run`: `manager/` is the private manager's whole world, `command/` holds what runs beside it.
//!
//! cgroup.kill on it is the broom that nothing escapes, so that no pid namespace is needed; with one,
//! `systemctl --user` from outside fails every second time because its peer has no pid.

use std::io;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::account::Account;

/// Where the unified hierarchy is mounted in our mount namespace.
pub const HIERARCHY: &str = "/sys/fs/cgroup";

const PREFIX: &str = "lumen-run-";

/// A directory of the unified hierarchy.
#[derive(Debug, Clone)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// The cgroup of this user's `run`, whether it exists or not.
    pub fn of_user(uid: u32) -> Self {
        Self { path: Path::new(HIERARCHY).join(format!("{PREFIX}{uid}")) }
    }

    /// A cgroup below this one.
    pub fn child(&self, name: &str) -> Self {
        Self { path: self.path.join(name) }
    }

    /// Makes it.
    pub fn create(&self) -> io::Result<()> {
        std::fs::create_dir(&self.path)
    }

    /// Whether it is there.
    pub fn exists(&self) -> bool {
        self.path.is_dir()
    }

    /// Lets this user make cgroups below it and move processes between them.
    pub fn delegate(&self, account: &Account) -> io::Result<()> {
        for file in ["", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
            chown(self.path.join(file), Some(account.uid), Some(account.gid))?;
        }
        Ok(())
    }

    /// Moves the calling process into it.
    pub fn enter(&self) -> io::Result<()> {
        std::fs::write(self.path.join("cgroup.procs"), "0")
    }

    /// Asks all that runs in it to end and gives it two seconds to do so.
    pub fn ask_to_end(&self) -> io::Result<()> {
        for line in std::fs::read_to_string(self.path.join("cgroup.procs"))?.lines() {
            if let Some(pid) = line.parse().ok().and_then(Pid::from_raw) {
                // One that ended meanwhile has done what was asked.
                let _ = kill_process(pid, Signal::TERM);
            }
        }
        self.wait_empty(Duration::from_secs(2)).map(|_| ())
    }

    /// Kills all that runs in it, waits for the last one to be gone and removes it.
    pub fn destroy(&self) -> io::Result<()> {
        if !self.exists() {
            return Ok(());
        }
        std::fs::write(self.path.join("cgroup.kill"), "1")?;
        // A killed process is still there until its last page is given back: ten seconds are for a stage with
        // gigabytes of frames on a loaded machine.
        if !self.wait_empty(Duration::from_secs(10))? {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "killed processes do not go away"));
        }
        remove(&self.path)
    }

    /// Whether the last process has gone within this time.
    fn wait_empty(&self, patience: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + patience;
        while self.is_populated()? {
            if Instant::now() > deadline {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(true)
    }

    fn is_populated(&self) -> io::Result<bool> {
        let events = std::fs::read_to_string(self.path.join("cgroup.events"))?;
        Ok(events.lines().any(|line| line == "populated 1"))
    }
}

/// Whether any `run` of any user is alive: the cgroup of a killed one is empty.
pub fn any_run() -> io::Result<bool> {
    for entry in std::fs::read_dir(HIERARCHY)? {
        let entry = entry?;
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if ours && (Cgroup { path: entry.path() }).is_populated()? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes a cgroup and those below it. Its files are the kernel's and go with it.
fn remove(path: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    std::fs::remove_dir(path)
}
