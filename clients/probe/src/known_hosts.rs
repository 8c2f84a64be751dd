//! The hosts seen before: one line `address fingerprint` each, in a text file that people may edit.

use std::{
    fs,
    io::{self, Write},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use lumen_core::trust::Fingerprint;

/// Why the hosts seen before are not known.
#[derive(Debug, thiserror::Error)]
pub enum KnownHostsError {
    /// The file system said no.
    #[error("cannot {act} {path}: {source}")]
    File {
        /// What was tried.
        act: &'static str,
        /// On which file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A line that is not `address fingerprint`. Nobody is trusted on first use while the file cannot be read.
    #[error("{path}:{line}: write `IP:PORT SHA256`, or remove the line")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
}

/// The file of hosts seen before.
#[derive(Debug)]
pub struct KnownHosts {
    path: PathBuf,
}

impl KnownHosts {
    /// The hosts remembered in `path`; it need not exist.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where they are remembered.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The fingerprint that `host` had when it was first seen.
    ///
    /// # Errors
    /// [`KnownHostsError`] if the file cannot be read whole.
    pub fn find(&self, host: SocketAddr) -> Result<Option<Fingerprint>, KnownHostsError> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(KnownHostsError::File { act: "read", path: self.path.clone(), source });
            }
        };
        let mut found = None;
        for (line, text) in (1..).zip(text.lines()) {
            let entry = text.trim();
            if entry.is_empty() || entry.starts_with('#') {
                continue;
            }
            let (address, fingerprint) =
                parse(entry).ok_or_else(|| KnownHostsError::Malformed { path: self.path.clone(), line })?;
            if address == host {
                found.get_or_insert(fingerprint);
            }
        }
        Ok(found)
    }

    /// Remembers a host that was not known.
    ///
    /// # Errors
    /// [`KnownHostsError::File`].
    pub fn remember(&self, host: SocketAddr, fingerprint: &Fingerprint) -> Result<(), KnownHostsError> {
        let failed = |source| KnownHostsError::File { act: "write", path: self.path.clone(), source };
        if let Some(directory) = self.path.parent().filter(|d| !d.as_os_str().is_empty()) {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        }
        let mut file =
            fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path).map_err(failed)?;
        file.write_all(format!("{host} {fingerprint}\n").as_bytes()).map_err(failed)
    }
}

fn parse(entry: &str) -> Option<(SocketAddr, Fingerprint)> {
    let (address, fingerprint) = entry.split_once(' ')?;
    Some((address.parse().ok()?, fingerprint.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Sabotage: remember each host under the same name, or skip lines that cannot be read.
    #[test]
    fn the_first_fingerprint_stays() {
        let home = tempfile::tempdir().unwrap();
        let hosts = KnownHosts::at(home.path().join("deep/known_hosts"));
        let (a, b) = ("127.0.0.1:1".parse().unwrap(), "[::1]:1".parse().unwrap());
        let (first, second) = ("aa".repeat(32).parse().unwrap(), "bb".repeat(32).parse().unwrap());
        assert_eq!(hosts.find(a).unwrap(), None);
        hosts.remember(a, &first).unwrap();
        hosts.remember(b, &second).unwrap();
        hosts.remember(a, &second).unwrap();
        assert_eq!(hosts.find(a).unwrap(), Some(first));
        assert_eq!(hosts.find(b).unwrap(), Some(second));
        fs::write(hosts.path(), "# mine\n\n127.0.0.1:1 abc\n").unwrap();
        let error = hosts.find(b).unwrap_err();
        assert!(matches!(error, KnownHostsError::Malformed { line: 3, .. }), "{error}");
    }
}
