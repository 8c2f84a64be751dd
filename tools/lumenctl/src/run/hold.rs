//! One `run` a user: a locked file that also says what has to be swept if its owner is killed.
//!
//! `/run/lumen-run-UID.lock` is held with flock by the living `run`, and holds its [`Record`] as JSON. The kernel
//! drops the lock with the process, so a file without a lock is what a killed one left.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

/// What the owner has made outside of its own namespaces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Process id of the owner.
    pub pid: u32,
    /// Directories that did not exist before, outermost first.
    pub made: Vec<PathBuf>,
}

/// The lock, as long as this lives.
#[derive(Debug)]
pub struct Hold {
    file: File,
    path: PathBuf,
    record: Record,
}

/// What [`Hold::take`] found.
#[derive(Debug)]
pub enum Taken {
    /// The lock is ours; a record is there if its former owner was killed.
    Ours(Hold, Option<Record>),
    /// This process has it.
    Theirs(u32),
}

/// The lock file of a user's `run`.
pub fn path_of(uid: u32) -> PathBuf {
    PathBuf::from(format!("/run/lumen-run-{uid}.lock"))
}

/// Process id of the living `run` of this user.
pub fn holder(uid: u32) -> Option<u32> {
    let pid = read(&mut File::open(path_of(uid)).ok()?)?.pid;
    // The name tells a living owner from a number that the kernel has given to somebody else since.
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    (name.trim_end() == "lumenctl").then_some(pid)
}

impl Hold {
    /// Takes the lock at once or says who has it.
    pub fn take(path: &Path) -> io::Result<Taken> {
        loop {
            let mut file =
                OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                return Ok(Taken::Theirs(read(&mut file).unwrap_or_default().pid));
            }
            // Its owner removes the file while it has the lock: what we locked may have no name any more.
            let named = std::fs::metadata(path).is_ok_and(|found| Some(found.ino()) == inode(&file));
            if named {
                let left = read(&mut file);
                // What a killed one made stays written down until it has been swept, even if we are killed too.
                let made = left.as_ref().map(|left| left.made.clone()).unwrap_or_default();
                let mut hold =
                    Self { file, path: path.to_owned(), record: Record { pid: std::process::id(), made } };
                hold.write()?;
                return Ok(Taken::Ours(hold, left));
            }
        }
    }

    /// Makes a directory that has to go again, after having written that down; an existing one is left alone.
    pub fn make_directory(&mut self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        self.remember(path)?;
        std::fs::create_dir(path)
    }

    /// Writes down that this directory has to go.
    pub fn remember(&mut self, path: &Path) -> io::Result<()> {
        if !self.record.made.iter().any(|made| made == path) {
            self.record.made.push(path.to_owned());
        }
        self.write()
    }

    /// What has been made so far.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Gives the lock up and leaves no file.
    pub fn release(self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }

    fn write(&mut self) -> io::Result<()> {
        let text = serde_json::to_vec(&self.record)?;
        self.file.rewind()?;
        self.file.write_all(&text)?;
        self.file.set_len(text.len() as u64)
    }
}

fn inode(file: &File) -> Option<u64> {
    file.metadata().ok().map(|found| found.ino())
}

fn read(file: &mut File) -> Option<Record> {
    let mut text = Vec::new();
    file.rewind().ok()?;
    file.read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(path: &Path) -> (Hold, Option<Record>) {
        match Hold::take(path).expect("a writable directory") {
            Taken::Ours(hold, left) => (hold, left),
            Taken::Theirs(pid) => panic!("held by {pid}"),
        }
    }

    #[test]
    fn a_second_taker_learns_who_has_it() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let path = directory.path().join("lock");
        let (hold, left) = ours(&path);
        assert_eq!(left, None);
        assert!(matches!(Hold::take(&path), Ok(Taken::Theirs(pid)) if pid == std::process::id()));
        hold.release().expect("the file is there");
        assert!(!path.exists());
        ours(&path);
    }

    #[test]
    fn a_killed_owners_record_is_found() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let (path, made) = (directory.path().join("lock"), directory.path().join("made"));
        let (mut hold, _) = ours(&path);
        hold.make_directory(&made).expect("a writable directory");
        hold.make_directory(directory.path()).expect("it exists");
        drop(hold);
        let (_hold, left) = ours(&path);
        assert_eq!(left.map(|record| record.made), Some(vec![made]));
    }
}
