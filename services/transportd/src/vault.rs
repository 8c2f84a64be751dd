//! The state directory: small files that are replaced whole or not at all.
//!
//! Each write goes to a temporary name, is flushed to the disk and renamed, so a crash or a full disk leaves the old
//! file. Files are readable by their owner alone.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use lumen_stage::failpoint;
use rustix::io::Errno;

/// The steps of one write, at which a test lets the stage die.
pub mod steps {
    lumen_stage::steps! {
        /// The new file has its bytes, perhaps not on the disk.
        WRITTEN = "vault-written";
        /// They are on the disk.
        SYNCED = "vault-synced";
        /// It has taken the old one's place.
        RENAMED = "vault-renamed";
    }
}

/// Largest file that is read, in bytes; ours have a few kilobytes.
const MAX_FILE: u64 = 1 << 20;

/// Why the state directory cannot be used; each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Nobody said where it is.
    #[error(
        "no state directory: STATE_DIRECTORY is not set; start lumen-transportd.service through systemd, \
         or set STATE_DIRECTORY to a directory of your own"
    )]
    Nowhere,
    /// A file cannot be read.
    #[error("{path}: cannot be read: {source}; mend its permissions", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("{path}: cannot be written: {source}; {}", advice(source), path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what was written there.
    #[error("{path}: {what}; restore it from a backup, or remove it: {cost}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
        /// What its removal costs.
        cost: &'static str,
    },
}

fn advice(source: &io::Error) -> &'static str {
    match Errno::from_io_error(source) {
        Some(Errno::NOSPC | Errno::DQUOT) => "free some space on that file system, then try again",
        Some(Errno::ROFS) => "the file system is read-only: mount it writable, then try again",
        Some(Errno::ACCESS | Errno::PERM) => {
            "make the directory writable for the user who runs lumen, then try again"
        }
        _ => "make sure that the directory exists and can be written, then try again",
    }
}

/// The state directory.
#[derive(Debug, Clone)]
pub struct Vault {
    directory: PathBuf,
}

impl Vault {
    /// The one that systemd made for us (`$STATE_DIRECTORY`).
    pub fn open() -> Result<Self, VaultError> {
        let directories = env::var_os("STATE_DIRECTORY").ok_or(VaultError::Nowhere)?;
        // systemd writes several directories with a colon between them; our unit asks for one.
        let first = env::split_paths(&directories).next().ok_or(VaultError::Nowhere)?;
        Ok(Self::at(first))
    }

    /// A given directory.
    pub fn at(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// Where the file `name` lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The bytes of `name`, `None` if there is no such file.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, VaultError> {
        let path = self.path(name);
        let too_long =
            || io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than anything lumen wrote");
        let read = || match fs::metadata(&path) {
            Ok(meta) if meta.len() > MAX_FILE => Err(too_long()),
            Ok(_) => fs::read(&path).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        read().map_err(|source| VaultError::Read { path: path.clone(), source })
    }

    /// Replaces `name` by `bytes`, which are on the disk when this returns.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), VaultError> {
        let path = self.path(name);
        let new = self.path(&format!(".{name}.new"));
        replace(&self.directory, &new, &path, bytes).map_err(|source| {
            // What was written of it is of no use; if it cannot be removed, the next write overwrites it.
            let _ = fs::remove_file(&new);
            VaultError::Write { path, source }
        })
    }
}

fn replace(directory: &Path, new: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::remove_file(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)?;
    file.write_all(bytes)?;
    failpoint::at(steps::WRITTEN);
    file.sync_all()?;
    failpoint::at(steps::SYNCED);
    fs::rename(new, path)?;
    failpoint::at(steps::RENAMED);
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_was_written_is_read_by_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::at(dir.path());
        assert!(vault.read("a").unwrap().is_none());
        vault.write("a", b"1").unwrap();
        vault.write("a", b"22").unwrap();
        assert_eq!(vault.read("a").unwrap().unwrap(), b"22");
        let mode = fs::metadata(vault.path("a")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    /// Sabotage: write the file in place.
    #[test]
    fn a_write_that_fails_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::at(dir.path());
        vault.write("a", b"1").unwrap();
        fs::create_dir(dir.path().join(".a.new")).unwrap();
        let error = vault.write("a", b"2").unwrap_err().to_string();
        assert!(
            error.contains(&vault.path("a").display().to_string()) && error.contains("cannot be written"),
            "{error}"
        );
        assert_eq!(vault.read("a").unwrap().unwrap(), b"1");
    }

    #[test]
    fn a_full_disk_and_a_missing_directory_are_told_apart() {
        let full = VaultError::Write { path: "x".into(), source: Errno::NOSPC.into() };
        assert!(full.to_string().contains("free some space"), "{full}");
        let missing = Vault::at("/nonexistent/lumen").write("a", b"1").unwrap_err();
        assert!(missing.to_string().contains("exists"), "{missing}");
    }
}
