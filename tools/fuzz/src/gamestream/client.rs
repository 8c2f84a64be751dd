//! The client's half of pairing, as honest as can be: only what it does may lead to a stored client.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::cipher::{AES_128, DecryptingKey, DecryptionContext, EncryptingKey, UnboundCipherKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use lumen_gamestream::identity::{Certificate, HostIdentity};
use lumen_gamestream::pairing::PairRequest;
use rcgen::{CertificateParams, PKCS_RSA_SHA256, RsaKeySize};
use x509_parser::prelude::{FromDer, X509Certificate};

const SALT: [u8; 16] = [9; 16];
const CHALLENGE: [u8; 16] = [5; 16];
const SECRET: [u8; 16] = [6; 16];
/// What the client shows.
pub(super) const SHOWN: &str = "1234";

/// A key takes long to make: host and client share one, which pairing cannot tell.
pub(super) struct Identity {
    pub(super) host: Arc<HostIdentity>,
    pub(super) certificate: Certificate,
    pem: Vec<u8>,
    /// The certificate's own signature.
    signature: Vec<u8>,
    /// [`SECRET`] and the client's signature of it.
    proof: Vec<u8>,
}

/// Made once a process.
pub(super) fn identity() -> &'static Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        let key = rcgen::KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)
            .expect("RSA keys can be made");
        let pem = CertificateParams::default().self_signed(&key).expect("it signs itself").pem();
        let host = HostIdentity::new(pem.clone(), &key.serialize_der()).expect("they belong together");
        let certificate = host.certificate().clone();
        let (_, parsed) = X509Certificate::from_der(certificate.der()).expect("it was parsed before");
        let signature = parsed.signature_value.data.to_vec();
        let proof = [&SECRET[..], &sign(&key.serialize_der())].concat();
        Identity { host: Arc::new(host), certificate, pem: pem.into_bytes(), signature, proof }
    })
}

fn sign(pkcs8: &[u8]) -> Vec<u8> {
    let key = KeyPair::from_pkcs8(pkcs8).expect("it was just made");
    let mut signature = vec![0; key.public_modulus_len()];
    let signed = key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &SECRET, &mut signature);
    signed.expect("the buffer has the length of the modulus");
    signature
}

/// The request of phase `phase`, 1 to 4; `answer` is what the host said to phase 2.
pub(super) fn request(phase: u8, answer: &[u8]) -> PairRequest {
    let identity = identity();
    match phase {
        1 => PairRequest::GetServerCert { salt: SALT, certificate: identity.pem.clone() },
        2 => PairRequest::ClientChallenge(encrypt(CHALLENGE.to_vec())),
        3 => {
            let mut plain = answer.to_vec();
            let key = DecryptingKey::ecb(key()).expect("AES has ECB");
            let _ = key.decrypt(&mut plain, DecryptionContext::None);
            let challenge = plain.get(32..).unwrap_or_default();
            let hash = digest(&SHA256, &[challenge, &identity.signature, &SECRET].concat());
            PairRequest::ServerChallengeResponse(encrypt(hash.as_ref().to_vec()))
        }
        _ => PairRequest::ClientPairingSecret(identity.proof.clone()),
    }
}

fn key() -> UnboundCipherKey {
    let hash = digest(&SHA256, &[&SALT[..], SHOWN.as_bytes()].concat());
    UnboundCipherKey::new(&AES_128, hash.as_ref().get(..16).unwrap_or_default())
        .expect("AES-128 takes any 16 bytes")
}

fn encrypt(mut bytes: Vec<u8>) -> Vec<u8> {
    let key = EncryptingKey::ecb(key()).expect("AES has ECB");
    key.encrypt(&mut bytes).expect("all callers pass whole blocks");
    bytes
}
