//! A lumen/1 host in miniature: it streams stamps of 320x180 that it encodes itself.

mod camera;
mod control;
mod video;

use std::{
    sync::{Arc, mpsc},
    thread,
};

use lumen_core::{
    Fingerprint, Timestamp,
    control::Refused,
    trust::{ALPN, AllowList, ClientVerifier, server_config},
};
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::{CertifiedKey, SingleCertAndKey},
};

/// What the host does wrong.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// Nobody is on its list.
    pub refuses_clients: bool,
    /// It answers a launch so.
    pub refuses_launch: Option<Refused>,
    /// It says that it streams and sends nothing.
    pub sends_nothing: bool,
    /// It loses each datagram of this frame.
    pub loses_frame: Option<u64>,
    /// It loses one datagram in so many.
    pub loses_one_in: Option<u64>,
    /// It flips a bit in one datagram in so many, sent beside the good one.
    pub forges_one_in: Option<u64>,
    /// Its video socket is gone after this frame.
    pub stops_after: Option<u64>,
    /// It closes the connection after this frame.
    pub closes_after: Option<u64>,
}

/// A running host; ends with the test's process.
pub struct Host {
    pub address: String,
    pub fingerprint: Fingerprint,
}

/// A certificate and its key.
pub struct Papers(pub CertificateDer<'static>, pub PrivateKeyDer<'static>);

impl Papers {
    pub fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["lumen".into()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        Self(made.cert.der().clone(), key.into())
    }
}

/// Everyone or nobody.
#[derive(Debug)]
struct List(bool);

impl AllowList for List {
    fn is_allowed(&self, _: &Fingerprint) -> bool {
        self.0
    }
    fn refused(&self, _: &Fingerprint) {}
}

impl Host {
    /// A host on a port of its own.
    pub fn start(script: Script) -> Self {
        let Papers(certificate, key) = Papers::new();
        let fingerprint = Fingerprint::of(&certificate);
        let list = Arc::new(List(!script.refuses_clients));
        let tls = server_config(vec![certificate], key, Arc::new(ClientVerifier::new(list))).unwrap();
        Self { address: serve(tls, script), fingerprint }
    }

    /// A host that shows a certificate and signs with another one's key.
    pub fn impostor(certificate: CertificateDer<'static>, key: &PrivateKeyDer<'static>) -> Self {
        let fingerprint = Fingerprint::of(&certificate);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = provider.key_provider.load_private_key(key.clone_key()).unwrap();
        let shown = SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key));
        let verifier = Arc::new(ClientVerifier::new(Arc::new(List(true))));
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(shown));
        tls.alpn_protocols = vec![ALPN.to_vec()];
        Self { address: serve(tls, Script::default()), fingerprint }
    }
}

/// Serves on a thread of its own; the address.
fn serve(tls: rustls::ServerConfig, script: Script) -> String {
    let quic = quinn::crypto::rustls::QuicServerConfig::try_from(tls).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(quic));
    let (ready, address) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let endpoint = quinn::Endpoint::server(config, ([127, 0, 0, 1], 0).into()).unwrap();
            ready.send(endpoint.local_addr().unwrap()).unwrap();
            control::serve(endpoint, script).await;
        });
    });
    address.recv().unwrap().to_string()
}

/// This machine's monotonic clock.
pub fn now() -> Timestamp {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Timestamp::from_ns(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}
