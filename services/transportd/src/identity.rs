//! Who this host is: its certificate and key, and the keys by which clients of a dead incarnation learn of its death.
//!
//! ```text
//! identity.pem      certificate ‖ PKCS #8 key (ECDSA P-256), one file so that there never is half an identity
//! connection.keys   stateless-reset key (64) ‖ connection-id key (8) ‖ retry-token key (32)
//! ```
//! Measured: only with both the reset key *and* the connection-id key kept does a client learn within 3 ms that the
//! incarnation it talked to is gone; else it waits for its idle timeout.

use lumen_core::trust::Fingerprint;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::vault::{Vault, VaultError};

const IDENTITY: &str = "identity.pem";
const CONNECTION_KEYS: &str = "connection.keys";

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The state directory cannot be used.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// No certificate could be made.
    #[error("a certificate cannot be made: {0}")]
    Made(#[from] rcgen::Error),
    /// The kernel gives no random bytes.
    #[error("the kernel gives no random bytes: {0}")]
    Random(rustix::io::Errno),
}

/// The host's identity.
#[derive(Debug)]
pub struct Identity {
    /// What clients are shown.
    pub certificate: CertificateDer<'static>,
    /// What proves it.
    pub key: PrivateKeyDer<'static>,
    /// What clients pin.
    pub fingerprint: Fingerprint,
    /// For QUIC across incarnations.
    pub connection: ConnectionKeys,
}

/// Keys that make a connection recognisable to the next incarnation. Their `Debug` says nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionKeys {
    /// Of the HMAC behind stateless resets.
    pub reset: [u8; 64],
    /// Of the hash in connection ids.
    pub id: u64,
    /// Of the tokens in retries.
    pub token: [u8; 32],
}

impl std::fmt::Debug for ConnectionKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ConnectionKeys(…)")
    }
}

impl Identity {
    /// The kept identity; at the very first start a new one, which is on the disk before it is used.
    pub fn load(vault: &Vault) -> Result<Self, IdentityError> {
        let pem = match vault.read(IDENTITY)? {
            Some(pem) => pem,
            None => make(vault)?,
        };
        let damaged = |what: rustls::pki_types::pem::Error| VaultError::Damaged {
            path: vault.path(IDENTITY),
            what: format!("it does not hold a certificate and its key: {what}"),
            cost: "the host then gets a new identity, and every client must pin its new fingerprint",
        };
        let certificate = CertificateDer::from_pem_slice(&pem).map_err(damaged)?;
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(damaged)?;
        Ok(Self {
            fingerprint: Fingerprint::of(&certificate),
            certificate,
            key,
            connection: ConnectionKeys::load(vault)?,
        })
    }
}

fn make(vault: &Vault) -> Result<Vec<u8>, IdentityError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "lumen host");
    let mut params = CertificateParams::new(vec![lumen_core::trust::SERVER_NAME.to_owned()])?;
    params.distinguished_name = name;
    let certificate = params.self_signed(&key)?;
    let pem = format!("{}{}", certificate.pem(), key.serialize_pem()).into_bytes();
    vault.write(IDENTITY, &pem)?;
    Ok(pem)
}

impl ConnectionKeys {
    const LEN: usize = 64 + 8 + 32;

    fn load(vault: &Vault) -> Result<Self, IdentityError> {
        // A file of another length is replaced, because it costs clients nothing but one idle timeout.
        if let Some(keys) = vault.read(CONNECTION_KEYS)?.as_deref().and_then(Self::parse) {
            return Ok(keys);
        }
        let bytes: [u8; Self::LEN] = random()?;
        vault.write(CONNECTION_KEYS, &bytes)?;
        Ok(Self::parse(&bytes).expect("these are exactly LEN bytes"))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (reset, rest) = bytes.split_first_chunk()?;
        let (id, rest) = rest.split_first_chunk()?;
        Some(Self { reset: *reset, id: u64::from_le_bytes(*id), token: rest.try_into().ok()? })
    }
}

/// Random bytes of the kernel's: keys, session ids, channel numbers.
pub fn random<const N: usize>() -> Result<[u8; N], IdentityError> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(IdentityError::Random(error)),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sabotage: make a new identity or new keys at each start.
    #[test]
    fn the_next_incarnation_is_the_same_host() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::at(dir.path());
        let first = Identity::load(&vault).unwrap();
        let second = Identity::load(&vault).unwrap();
        assert_eq!(first.fingerprint, second.fingerprint);
        assert_eq!(first.connection, second.connection);
        assert_eq!(first.key, second.key);
    }

    #[test]
    fn a_damaged_identity_is_never_replaced_silently() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::at(dir.path());
        vault.write(IDENTITY, b"-----BEGIN NONSENSE-----").unwrap();
        let error = Identity::load(&vault).unwrap_err().to_string();
        assert!(error.contains("identity.pem") && error.contains("pin its new fingerprint"), "{error}");
        assert_eq!(vault.read(IDENTITY).unwrap().unwrap(), b"-----BEGIN NONSENSE-----");
    }

    #[test]
    fn damaged_connection_keys_are_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::at(dir.path());
        vault.write(CONNECTION_KEYS, b"short").unwrap();
        let keys = Identity::load(&vault).unwrap().connection;
        assert_eq!(Identity::load(&vault).unwrap().connection, keys);
    }
}
