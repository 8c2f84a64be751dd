//! This client's persistent identity: a self-signed certificate and its key, one PEM file, readable by its owner only.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use lumen_core::trust::Fingerprint;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

/// The file in the identity's directory.
const FILE: &str = "identity.pem";

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Neither `--identity` nor a home directory.
    #[error("nowhere to keep this client's identity: give --identity DIR, or set HOME")]
    NoPlace,
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
    /// The file holds something else.
    #[error("{path} does not hold a certificate and a key ({what}); move it away and a new identity is made")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// No key could be made.
    #[error("cannot make a key: {0}")]
    Generate(#[from] rcgen::Error),
}

/// A certificate and the key that proves it.
#[derive(Debug)]
pub struct Identity {
    /// Self-signed; who it says it is does not matter, its SHA-256 does.
    pub certificate: CertificateDer<'static>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
}

impl Identity {
    /// The identity kept in `directory`, made there if there is none.
    ///
    /// # Errors
    /// [`IdentityError`]; an identity that cannot be read is never replaced.
    pub fn load_or_make(directory: &Path) -> Result<Self, IdentityError> {
        let path = directory.join(FILE);
        match fs::read(&path) {
            Ok(pem) => Self::parse(&pem, &path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::make(directory, &path),
            Err(source) => Err(IdentityError::File { act: "read", path, source }),
        }
    }

    /// What the host must be told.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    fn parse(pem: &[u8], path: &Path) -> Result<Self, IdentityError> {
        let malformed = |error: rustls::pki_types::pem::Error| IdentityError::Malformed {
            path: path.into(),
            what: error.to_string(),
        };
        Ok(Self {
            certificate: CertificateDer::from_pem_slice(pem).map_err(malformed)?,
            key: PrivateKeyDer::from_pem_slice(pem).map_err(malformed)?,
        })
    }

    fn make(directory: &Path, path: &Path) -> Result<Self, IdentityError> {
        let failed = |act| move |source| IdentityError::File { act, path: path.into(), source };
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = CertificateParams::new(vec!["lumen-client".into()])?.self_signed(&key)?;
        let pem = certificate.pem() + &key.serialize_pem();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(failed("make the directory of"))?;
        // Written whole under another name and then linked: two probes started at once end with one identity.
        let draft = path.with_extension(format!("{}.new", std::process::id()));
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)
            .map_err(failed("write"))?;
        file.write_all(pem.as_bytes()).and_then(|()| file.sync_all()).map_err(failed("write"))?;
        let linked = fs::hard_link(&draft, path);
        fs::remove_file(&draft).map_err(failed("tidy up beside"))?;
        match linked {
            Ok(()) => Self::parse(pem.as_bytes(), path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::load_or_make(directory),
            Err(error) => Err(failed("write")(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    // Sabotage: make a new key at each start.
    #[test]
    fn the_identity_stays_and_is_private() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("client");
        let first = Identity::load_or_make(&directory).unwrap().fingerprint();
        assert_eq!(Identity::load_or_make(&directory).unwrap().fingerprint(), first);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&directory), 0o700);
        assert_eq!(mode(&directory.join(FILE)), 0o600);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    }

    // Sabotage: treat a file that cannot be parsed as missing.
    #[test]
    fn a_broken_identity_is_not_replaced() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join(FILE), "-----BEGIN NOTHING-----").unwrap();
        let error = Identity::load_or_make(home.path()).unwrap_err();
        assert!(matches!(error, IdentityError::Malformed { .. }), "{error}");
        assert_eq!(fs::read_to_string(home.path().join(FILE)).unwrap(), "-----BEGIN NOTHING-----");
    }
}
