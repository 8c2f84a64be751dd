//! Certificates of GameStream: a client *is* its exact certificate, and what pairing signs with its key.
//!
//! Chain, name, dates and revocation mean nothing here. Only RSA certificates can pair, because the pairing's signature is
//! RSA PKCS#1 v1.5 with SHA-256 and its hashes take in the certificate's own signature bits.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey};
use std::fmt;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

/// Because Moonlight's certificates have about 1,100 bytes of PEM, and nothing may be parsed without a limit.
pub const MAX_PEM: usize = 8 << 10;

/// Why a certificate cannot be used. Clients are shown these words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Longer than [`MAX_PEM`].
    #[error(
        "the client's certificate has {got} bytes; at most {MAX_PEM} are taken. Reset the client's pairing and pair again"
    )]
    TooLong {
        /// Bytes there.
        got: usize,
    },
    /// No PEM text with one certificate.
    #[error("the client's certificate is no PEM text. Reset the client's pairing and pair again")]
    NoPem,
    /// PEM of something that is no X.509 certificate.
    #[error("the client's certificate is no X.509 certificate. Reset the client's pairing and pair again")]
    NoCertificate,
    /// Another key than RSA, or one too short or too long.
    #[error(
        "the client's certificate needs an RSA key of 2048 to 4096 bits. Reset the client's pairing and pair again"
    )]
    Key,
    /// The host's private key is unusable.
    #[error("the host's private key is no RSA key in PKCS#8 that fits its certificate")]
    PrivateKey,
}

/// A peer's certificate, checked to be RSA.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    /// RSAPublicKey of PKCS#1, DER.
    public_key: Vec<u8>,
    /// The certificate's own signature.
    signature: Vec<u8>,
}

impl Certificate {
    /// From PEM text.
    ///
    /// # Errors
    /// [`CertificateError`] in the order in which it is looked at: length, PEM, X.509, key.
    pub fn from_pem(text: &[u8]) -> Result<Self, CertificateError> {
        if text.len() > MAX_PEM {
            return Err(CertificateError::TooLong { got: text.len() });
        }
        let (_, pem) = parse_x509_pem(text).map_err(|_| CertificateError::NoPem)?;
        if pem.label != "CERTIFICATE" {
            return Err(CertificateError::NoPem);
        }
        Self::from_der(&pem.contents)
    }

    /// From DER, as TLS shows it.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > MAX_PEM {
            return Err(CertificateError::TooLong { got: der.len() });
        }
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| CertificateError::NoCertificate)?;
        if !rest.is_empty() {
            return Err(CertificateError::NoCertificate);
        }
        let spki = certificate.public_key();
        match spki.parsed() {
            Ok(PublicKey::RSA(key)) if (2048..=4096).contains(&key.key_size()) => {}
            _ => return Err(CertificateError::Key),
        }
        Ok(Self {
            der: der.to_vec(),
            public_key: spki.subject_public_key.data.to_vec(),
            signature: certificate.signature_value.data.to_vec(),
        })
    }

    /// What is stored and compared.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The SHA-256 of the DER: what people compare.
    pub fn fingerprint(&self) -> [u8; 32] {
        sha256(&[&self.der])
    }

    /// The bits of the certificate's own signature, which both hashes of pairing take in.
    pub(crate) fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Whether `signature` is this certificate's key's over `message`, RSA PKCS#1 v1.5 with SHA-256.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public_key)
            .verify(message, signature)
            .is_ok()
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", crate::hex::encode(&self.fingerprint()))
    }
}

/// This host's certificate and its key.
pub struct HostIdentity {
    pem: String,
    certificate: Certificate,
    key: KeyPair,
}

impl HostIdentity {
    /// From the PEM text that clients will pin and its private key (PKCS#8, DER).
    ///
    /// # Errors
    /// [`CertificateError`] if they are not usable, or do not belong together.
    pub fn new(pem: String, pkcs8: &[u8]) -> Result<Self, CertificateError> {
        let certificate = Certificate::from_pem(pem.as_bytes())?;
        let key = KeyPair::from_pkcs8(pkcs8).map_err(|_| CertificateError::PrivateKey)?;
        let identity = Self { pem, certificate, key };
        if identity.certificate.verifies(b"lumen", &identity.sign(b"lumen")) {
            Ok(identity)
        } else {
            Err(CertificateError::PrivateKey)
        }
    }

    /// What phase 1 hands to the client, to be pinned byte for byte.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// RSA PKCS#1 v1.5 with SHA-256, as long as the modulus.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        #[expect(
            clippy::disallowed_methods,
            reason = "PKCS#1 v1.5 has no random part; the argument is not used"
        )]
        let unused = SystemRandom::new();
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &unused, message, &mut signature)
            .expect("the buffer has the length of the modulus");
        signature
    }
}

impl fmt::Debug for HostIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostIdentity").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// SHA-256 over the parts as one text.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut out = [0; 32];
    let hash = digest(&SHA256, &parts.concat());
    out.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairing::client::ClientIdentity;

    // Sabotage: leave out the test of the key, the label, or the length.
    #[test]
    fn certificates_that_cannot_pair_are_refused_each_for_its_reason() {
        let client = ClientIdentity::make();
        assert!(Certificate::from_pem(client.pem.as_bytes()).is_ok());
        assert_eq!(Certificate::from_pem(b"not pem"), Err(CertificateError::NoPem));
        assert_eq!(Certificate::from_pem(&[b'-'; 1 << 20]), Err(CertificateError::TooLong { got: 1 << 20 }));
        let relabelled = client.pem.replace("CERTIFICATE", "PUBLIC KEY");
        assert_eq!(Certificate::from_pem(relabelled.as_bytes()), Err(CertificateError::NoPem));
        let key = rcgen::KeyPair::generate().unwrap();
        let ec = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        assert_eq!(Certificate::from_pem(ec.pem().as_bytes()), Err(CertificateError::Key));
        let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(Certificate::from_pem(nonsense.as_bytes()), Err(CertificateError::NoCertificate));
    }

    #[test]
    fn a_host_key_must_be_its_certificates() {
        let (one, other) = (ClientIdentity::make(), ClientIdentity::make_other());
        assert!(HostIdentity::new(one.pem.clone(), &one.pkcs8).is_ok());
        let mixed = HostIdentity::new(one.pem.clone(), &other.pkcs8);
        assert_eq!(mixed.err(), Some(CertificateError::PrivateKey));
        assert_eq!(HostIdentity::new(one.pem, &[]).err(), Some(CertificateError::PrivateKey));
    }

    // A name, a date or a signer change nothing: only the same bytes are the same client.
    #[test]
    fn a_certificate_signed_anew_is_another() {
        let (one, again) = (ClientIdentity::make(), ClientIdentity::make());
        let same = Certificate::from_pem(one.pem.as_bytes()).unwrap();
        assert_eq!(same, Certificate::from_pem(again.pem.as_bytes()).unwrap());
        let renewed = one.signed_anew();
        assert_ne!(same.fingerprint(), Certificate::from_pem(renewed.as_bytes()).unwrap().fingerprint());
    }
}
