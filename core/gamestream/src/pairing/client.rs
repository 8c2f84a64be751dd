//! The client's half of pairing, for tests: written from the same facts, with the checks that clients make.

use super::Pin;
use crate::identity::{Certificate, HostIdentity, sha256};
use aws_lc_rs::cipher::{AES_128, DecryptingKey, DecryptionContext, EncryptingKey, UnboundCipherKey};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use std::sync::OnceLock;

/// A client's certificate and key. RSA keys take long to make, so there are two.
#[derive(Clone)]
pub(crate) struct ClientIdentity {
    pub(crate) pem: String,
    pub(crate) pkcs8: Vec<u8>,
}

fn generate() -> ClientIdentity {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let pem = CertificateParams::default().self_signed(&key).unwrap().pem();
    ClientIdentity { pem, pkcs8: key.serialize_der() }
}

impl ClientIdentity {
    pub(crate) fn make() -> Self {
        static ONE: OnceLock<ClientIdentity> = OnceLock::new();
        ONE.get_or_init(generate).clone()
    }

    pub(crate) fn make_other() -> Self {
        static OTHER: OnceLock<ClientIdentity> = OnceLock::new();
        OTHER.get_or_init(generate).clone()
    }

    /// The same key and names in another certificate.
    pub(crate) fn signed_anew(&self) -> String {
        let key = KeyPair::try_from(self.pkcs8.as_slice()).unwrap();
        let mut params = CertificateParams::default();
        params.not_after = rcgen::date_time_ymd(2031, 1, 1);
        params.self_signed(&key).unwrap().pem()
    }

    pub(crate) fn host(&self) -> HostIdentity {
        HostIdentity::new(self.pem.clone(), &self.pkcs8).unwrap()
    }
}

/// One client that pairs.
pub(crate) struct PairingClient {
    pub(crate) identity: ClientIdentity,
    pub(crate) salt: [u8; 16],
    key: [u8; 16],
    challenge: [u8; 16],
    secret: [u8; 16],
    server_hash: [u8; 32],
}

impl PairingClient {
    pub(crate) fn new(identity: ClientIdentity, shown: Pin) -> Self {
        let salt = [9; 16];
        Self {
            identity,
            salt,
            key: shown.key(&salt),
            challenge: [5; 16],
            secret: [6; 16],
            server_hash: [0; 32],
        }
    }

    fn key(&self) -> UnboundCipherKey {
        UnboundCipherKey::new(&AES_128, &self.key).unwrap()
    }

    fn encrypt(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        EncryptingKey::ecb(self.key()).unwrap().encrypt(&mut bytes).unwrap();
        bytes
    }

    pub(crate) fn client_challenge(&self) -> Vec<u8> {
        self.encrypt(self.challenge.to_vec())
    }

    pub(crate) fn server_challenge_response(&mut self, response: &[u8]) -> Vec<u8> {
        let mut plain = response.to_vec();
        DecryptingKey::ecb(self.key()).unwrap().decrypt(&mut plain, DecryptionContext::None).unwrap();
        let (hash, challenge) = plain.split_at(32);
        self.server_hash = hash.try_into().unwrap();
        let own = Certificate::from_pem(self.identity.pem.as_bytes()).unwrap();
        let mine = sha256(&[challenge, own.signature(), &self.secret]);
        self.encrypt(mine.to_vec())
    }

    /// Whether the client believes the host: the signature, and the hash.
    pub(crate) fn believes(&self, pairing_secret: &[u8], host: &Certificate) -> (bool, bool) {
        let (secret, signature) = pairing_secret.split_at(16);
        let hash = sha256(&[&self.challenge, host.signature(), secret]);
        (host.verifies(secret, signature), hash == self.server_hash)
    }

    pub(crate) fn client_pairing_secret(&self) -> Vec<u8> {
        let signature = self.identity.host().sign(&self.secret);
        [&self.secret[..], &signature].concat()
    }
}
