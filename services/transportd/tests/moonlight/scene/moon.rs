//! A client that makes the checks Moonlight makes.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::OnceLock,
    thread::{self, JoinHandle},
    time::Duration,
};

use aws_lc_rs::{
    cipher::{AES_128, DecryptingKey, DecryptionContext, EncryptingKey, UnboundCipherKey},
    digest::{SHA256, digest},
    rand::SystemRandom,
    rsa::KeyPair as Signer,
    signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey},
};
use lumen_core::trust::Fingerprint;
use lumen_gamestream::{hex, pairing::Ended};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use rustls::{
    crypto::aws_lc_rs as provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

use super::{Host, tls::tunnel};

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub http: u16,
    pub body: Vec<u8>,
}

impl Reply {
    fn of(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let http = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { http, body: bytes[end..].to_vec() }
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// `status_code` and `status_message` of the root.
    pub fn status(&self) -> (String, String) {
        let text = self.text();
        let tree = roxmltree::Document::parse(&text).unwrap();
        let attribute = |name| tree.root_element().attribute(name).unwrap_or_default().to_owned();
        (attribute("status_code"), attribute("status_message"))
    }

    pub fn value(&self, name: &str) -> Option<String> {
        let text = self.text();
        let tree = roxmltree::Document::parse(&text).unwrap();
        let found = tree.descendants().find(|node| node.has_tag_name(name));
        found.map(|node| node.text().unwrap_or_default().to_owned())
    }

    fn bytes(&self, name: &str) -> Result<Vec<u8>, String> {
        match self.value(name) {
            Some(text) => Ok(hex::decode(&text).unwrap()),
            None => Err(self.status().1),
        }
    }
}

/// A connection from a given address of loopback.
pub fn connect(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(90))).unwrap();
    stream
}

fn ask(mut stream: impl Read + Write, target: &str) -> io::Result<Reply> {
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: host\r\n\r\n").as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    if bytes.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(Reply::of(&bytes)) }
}

/// Plain HTTP from 127.0.0.1.
pub fn get(to: SocketAddr, target: &str) -> Reply {
    ask(connect(Ipv4Addr::LOCALHOST, to), target).unwrap()
}

/// A client: its certificate and key.
#[derive(Clone)]
pub struct Moon {
    pub pem: String,
    pub certificate: CertificateDer<'static>,
    pub pkcs8: Vec<u8>,
    pub from: Ipv4Addr,
}

/// RSA keys take long to make; three are enough.
fn key(which: usize) -> KeyPair {
    static KEYS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let make = || KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap().serialize_der();
    let kept = KEYS.get_or_init(|| (0..3).map(|_| make()).collect());
    KeyPair::try_from(kept[which].as_slice()).unwrap()
}

impl Moon {
    /// A client with key `which` and 127.0.0.`which + 1` for an address.
    pub fn new(which: usize) -> Self {
        let key = key(which);
        Self::with(CertificateParams::default().self_signed(&key).unwrap(), &key, which)
    }

    fn with(certificate: rcgen::Certificate, key: &KeyPair, which: usize) -> Self {
        Self {
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
            pkcs8: key.serialize_der(),
            from: Ipv4Addr::new(127, 0, 0, which as u8 + 1),
        }
    }

    /// The `n`th of those who look like client 0: signed anew, expired, with another key, signed by somebody else.
    pub fn impostor(n: u64) -> Self {
        let mut params = CertificateParams::default();
        params.serial_number = Some((n + 1).into());
        match n % 4 {
            0 => Self::with(params.self_signed(&key(0)).unwrap(), &key(0), 0),
            1 => {
                params.not_after = rcgen::date_time_ymd(2001, 1, 1);
                Self::with(params.self_signed(&key(0)).unwrap(), &key(0), 0)
            }
            2 => Self::with(params.self_signed(&key(1)).unwrap(), &key(1), 0),
            _ => {
                let issuer = rcgen::Issuer::new(CertificateParams::default(), key(2));
                Self::with(params.signed_by(&key(0), &issuer).unwrap(), &key(0), 0)
            }
        }
    }

    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// Inside TLS, with the client's certificate.
    pub fn get(&self, host: &Host, target: &str) -> io::Result<Reply> {
        let key = PrivateKeyDer::try_from(self.pkcs8.clone()).unwrap();
        let signer = provider::sign::any_supported_type(&key).unwrap();
        let shown = CertifiedKey::new(vec![self.certificate.clone()], signer);
        self.get_showing(host, target, Some(shown))
    }

    /// Inside TLS, with what is given or no certificate at all.
    pub fn get_showing(&self, host: &Host, target: &str, shown: Option<CertifiedKey>) -> io::Result<Reply> {
        let stream = connect(self.from, host.https);
        ask(tunnel(stream, host.certificate.clone(), shown), target)
    }

    /// Phase 1, which waits for the PIN.
    pub fn begin(&self, host: &Host, salt: &[u8; 16]) -> JoinHandle<Reply> {
        let (salt, pem) = (hex::encode(salt), hex::encode(self.pem.as_bytes()));
        let target = format!("/pair?devicename=roth&phrase=getservercert&salt={salt}&clientcert={pem}");
        let (from, to) = (self.from, host.http);
        thread::spawn(move || ask(connect(from, to), &target).unwrap())
    }

    /// A phase of 2 to 4.
    pub fn phase(&self, host: &Host, name: &str, bytes: &[u8]) -> Reply {
        let target = format!("/pair?devicename=roth&{name}={}", hex::encode(bytes));
        ask(connect(self.from, host.http), &target).unwrap()
    }

    /// The whole of pairing, as Moonlight does it; `shown` is its PIN, `typed` what the person types.
    ///
    /// # Errors
    /// What the person at the client reads.
    pub fn pair(&self, host: &Host, shown: &str, typed: &str) -> Result<(), String> {
        let salt = [7; 16];
        let held = self.begin(host, &salt);
        let waiting = host.attempt_of(self.from.into());
        assert!(!held.is_finished(), "phase 1 was answered before the PIN was typed");
        let ended = host.type_pin(waiting.attempt.id, typed);
        let pinned = held.join().unwrap().bytes("plaincert")?;
        let pinned = CertificateDer::from_pem_slice(&pinned).unwrap();
        assert_eq!(pinned, host.certificate, "what is pinned is what TLS shows");
        self.exchange(host, &Cipher::new(&salt, shown))?;
        let challenge = self
            .get(host, "/pair?devicename=roth&phrase=pairchallenge")
            .map_err(|error| error.to_string())?;
        assert_eq!(challenge.value("paired").as_deref(), Some("1"));
        assert_eq!(ended.blocking_recv().unwrap(), Ended::Paired);
        Ok(())
    }

    /// Phases 2 to 4.
    pub fn exchange(&self, host: &Host, cipher: &Cipher) -> Result<(), String> {
        let (mine, theirs) = (parts(&self.certificate), parts(&host.certificate));
        let (challenge, secret) = ([5; 16], [6; 16]);
        let response =
            self.phase(host, "clientchallenge", &cipher.encrypt(&challenge)).bytes("challengeresponse")?;
        let response = cipher.decrypt(&response);
        let (hash, asked) = response.split_at(32);
        let answer = sha256(&[asked, &mine.signature, &secret]);
        let opened =
            self.phase(host, "serverchallengeresp", &cipher.encrypt(&answer)).bytes("pairingsecret")?;
        let (their_secret, signature) = opened.split_at(16);
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &theirs.key)
            .verify(their_secret, signature)
            .unwrap();
        let is_believed = sha256(&[&challenge, &theirs.signature, their_secret]) == hash;
        let last = self.phase(host, "clientpairingsecret", &[&secret[..], &self.sign(&secret)].concat());
        match last.value("paired").as_deref() {
            Some("1") => {
                assert!(is_believed, "the host paired although the client saw a wrong PIN");
                Ok(())
            }
            _ => Err(last.status().1),
        }
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signer = Signer::from_pkcs8(&self.pkcs8).unwrap();
        let mut signature = vec![0; signer.public_modulus_len()];
        signer.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
        signature
    }
}

/// AES-128-ECB under a PIN.
pub struct Cipher([u8; 16]);

impl Cipher {
    pub fn new(salt: &[u8; 16], pin: &str) -> Self {
        Self(sha256(&[salt, pin.as_bytes()])[..16].try_into().unwrap())
    }

    fn key(&self) -> UnboundCipherKey {
        UnboundCipherKey::new(&AES_128, &self.0).unwrap()
    }

    pub fn encrypt(&self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        EncryptingKey::ecb(self.key()).unwrap().encrypt(&mut bytes).unwrap();
        bytes
    }

    fn decrypt(&self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        DecryptingKey::ecb(self.key()).unwrap().decrypt(&mut bytes, DecryptionContext::None).unwrap();
        bytes
    }
}

struct Certified {
    key: Vec<u8>,
    signature: Vec<u8>,
}

fn parts(certificate: &CertificateDer<'_>) -> Certified {
    let (_, read) = x509_parser::parse_x509_certificate(certificate).unwrap();
    Certified {
        key: read.public_key().subject_public_key.data.to_vec(),
        signature: read.signature_value.data.to_vec(),
    }
}

fn sha256(parts: &[&[u8]]) -> Vec<u8> {
    digest(&SHA256, &parts.concat()).as_ref().to_vec()
}
