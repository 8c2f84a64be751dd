//! Who this host is to Moonlight: a certificate of its own, RSA, because pairing signs with RSA.
//!
//! ```text
//! gamestream.pem    certificate ‖ PKCS #8 key (RSA, 2048 bits), one file so that there never is half an identity
//! ```
//! Clients pin the certificate byte for byte; chain, name and dates mean nothing to them.

use std::sync::Arc;

use lumen_gamestream::{hex, identity::HostIdentity};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_RSA_SHA256, RsaKeySize, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::{
    identity::IdentityError,
    vault::{Vault, VaultError},
};

const FILE: &str = "gamestream.pem";

/// The host's identity towards Moonlight.
#[derive(Debug)]
pub struct Identity {
    /// What pairing speaks for.
    pub host: Arc<HostIdentity>,
    /// What TLS shows.
    pub certificate: CertificateDer<'static>,
    /// What proves it.
    pub key: PrivateKeyDer<'static>,
}

impl Identity {
    /// The kept identity; at the very first start a new one, which is on the disk before it is used.
    ///
    /// # Errors
    /// [`IdentityError`]; a damaged file is never replaced.
    pub fn load(vault: &Vault) -> Result<Self, IdentityError> {
        let pem = match vault.read(FILE)? {
            Some(pem) => pem,
            None => make(vault)?,
        };
        let damaged = |what: &dyn std::fmt::Display| VaultError::Damaged {
            path: vault.path(FILE),
            what: format!("it does not hold a certificate and its key: {what}"),
            cost: "the host then gets a new identity, and every Moonlight client must be paired anew",
        };
        let certificate = CertificateDer::from_pem_slice(&pem).map_err(|error| damaged(&error))?;
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| damaged(&error))?;
        let text = String::from_utf8_lossy(&pem);
        let shown = text.split_inclusive("-----END CERTIFICATE-----").next().unwrap_or_default();
        let host =
            HostIdentity::new(format!("{shown}\n"), key.secret_der()).map_err(|error| damaged(&error))?;
        Ok(Self { host: Arc::new(host), certificate, key })
    }

    /// What clients keep the host in their list by: 16 hexadecimal digits.
    pub fn unique_id(&self) -> String {
        hex::encode(&self.host.certificate().fingerprint()).chars().take(16).collect()
    }
}

fn make(vault: &Vault) -> Result<Vec<u8>, IdentityError> {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "lumen GameStream host");
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    // Fixed, because a machine's clock may be wrong at its first start; 2049 is the last year that all readers of dates know.
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2049, 12, 31));
    let certificate = params.self_signed(&key)?;
    let pem = format!("{}{}", certificate.pem(), key.serialize_pem()).into_bytes();
    vault.write(FILE, &pem)?;
    Ok(pem)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sabotage: make a new one at each start, or take another part of the file for what clients pin.
    #[test]
    fn the_next_incarnation_is_the_same_host_to_moonlight() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::at(dir.path());
        let first = Identity::load(&vault).unwrap();
        let second = Identity::load(&vault).unwrap();
        assert_eq!((first.host.pem(), first.unique_id()), (second.host.pem(), second.unique_id()));
        let pinned = CertificateDer::from_pem_slice(first.host.pem().as_bytes()).unwrap();
        assert_eq!(pinned, first.certificate);
        assert!(!first.host.pem().contains("PRIVATE") && first.host.pem().ends_with("CERTIFICATE-----\n"));
        vault.write(FILE, first.host.pem().as_bytes()).unwrap();
        let error = Identity::load(&vault).unwrap_err().to_string();
        assert!(error.contains(FILE) && error.contains("paired anew"), "{error}");
    }
}
