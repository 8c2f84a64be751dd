//! Who may talk to whom: a peer *is* its exact certificate, named by the SHA-256 of its DER.
//!
//! There is no chain, no name, no date and no revocation list: an expired certificate is as good as a fresh one, and one derived
//! from it, re-signed or re-encoded is somebody else's. What TLS still proves is the key: CertificateVerify is checked
//! with the provider's algorithms, so a peer that shows a certificate without its key is refused.
//!
//! **Invariant**: sessions are never resumed, because a resumed handshake shows no certificate and would outlive a revocation.

mod fingerprint;

pub use fingerprint::{Fingerprint, FingerprintError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use std::fmt;
use std::sync::{Arc, OnceLock};

/// The application protocol of both sides.
pub const ALPN: &[u8] = b"lumen/1";
/// The name a client asks for: hosts have no names, only fingerprints.
pub const SERVER_NAME: &str = "lumen";

/// Why a peer is refused. It travels inside `rustls::Error::InvalidCertificate(CertificateError::Other(_))`; quinn sends its text
/// to the peer, so the text is written for the one who was refused.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// The host is not the pinned one.
    #[error(
        "this host shows the certificate {shown}, pinned was {pinned}: either the address belongs to another host, or the host has \
         a new identity; compare with `lumenctl status` on the host before pinning the new one"
    )]
    NotPinned {
        /// What the client expects.
        pinned: Fingerprint,
        /// What the host shows.
        shown: Fingerprint,
    },
    /// The client is not on the host's list.
    #[error("this host does not know the client {0}: run `lumenctl allow {0}` on the host")]
    Unlisted(Fingerprint),
}

/// The text for people, because rustls prints an `OtherError` by its `Debug`.
impl fmt::Debug for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TrustError {
    /// The reason inside a TLS error, if it was one of these.
    pub fn of(error: &Error) -> Option<Self> {
        match error {
            Error::InvalidCertificate(CertificateError::Other(OtherError(reason))) => {
                reason.downcast_ref::<Self>().copied()
            }
            _ => None,
        }
    }
}

impl From<TrustError> for Error {
    fn from(reason: TrustError) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(reason))))
    }
}

/// Which host a client accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinPolicy {
    /// The one with this certificate.
    Pinned(Fingerprint),
    /// Any: its fingerprint is then to be stored from [`HostVerifier::proven`], and pinned from then on.
    FirstUse,
}

/// Verifies the host, for the client.
#[derive(Debug)]
pub struct HostVerifier {
    policy: PinPolicy,
    proven: OnceLock<Fingerprint>,
    provider: Arc<CryptoProvider>,
}

impl HostVerifier {
    /// A verifier for one dial (its retries included).
    pub fn new(policy: PinPolicy) -> Self {
        Self { policy, proven: OnceLock::new(), provider: provider() }
    }

    /// The host's fingerprint, once it has proved to hold the certificate's key.
    pub fn proven(&self) -> Option<Fingerprint> {
        self.proven.get().copied()
    }

    /// Exactly the pinned one; at first use the one that was proven first.
    fn judge(&self, shown: Fingerprint) -> Result<(), TrustError> {
        let pinned = match self.policy {
            PinPolicy::Pinned(pinned) => pinned,
            PinPolicy::FirstUse => self.proven().unwrap_or(shown),
        };
        if shown == pinned { Ok(()) } else { Err(TrustError::NotPinned { pinned, shown }) }
    }
}

impl ServerCertVerifier for HostVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(Fingerprint::of(end_entity))?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(rustls::PeerIncompatible::Tls13RequiredForQuic))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let valid =
            verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)?;
        let shown = Fingerprint::of(cert);
        let proven = *self.proven.get_or_init(|| shown);
        if proven != shown {
            return Err(TrustError::NotPinned { pinned: proven, shown }.into());
        }
        Ok(valid)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The host's list of clients.
pub trait AllowList: fmt::Debug + Send + Sync {
    /// Whether the client may stream. Asked at each handshake, so a revocation holds at once.
    fn is_allowed(&self, client: &Fingerprint) -> bool;

    /// Called when a client was refused, so that the host can say how to allow it.
    fn refused(&self, client: &Fingerprint);
}

/// Verifies clients, for the host. A client without a certificate is refused by TLS itself.
#[derive(Debug)]
pub struct ClientVerifier {
    list: Arc<dyn AllowList>,
    provider: Arc<CryptoProvider>,
}

impl ClientVerifier {
    /// Accepts exactly who is on the list.
    pub fn new(list: Arc<dyn AllowList>) -> Self {
        Self { list, provider: provider() }
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let client = Fingerprint::of(end_entity);
        if !self.list.is_allowed(&client) {
            self.list.refused(&client);
            return Err(TrustError::Unlisted(client).into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(rustls::PeerIncompatible::Tls13RequiredForQuic))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The client's TLS: TLS 1.3 only, ALPN `lumen/1`, its own certificate, no resumption.
///
/// # Errors
/// If the key does not match the certificate or is of a kind that the provider lacks.
pub fn client_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    verifier: Arc<HostVerifier>,
) -> Result<rustls::ClientConfig, Error> {
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    config.enable_early_data = false;
    Ok(config)
}

/// The host's TLS: TLS 1.3 only, ALPN `lumen/1`, a client certificate is mandatory, no resumption.
///
/// # Errors
/// If the key does not match the certificate or is of a kind that the provider lacks.
pub fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    verifier: Arc<ClientVerifier>,
) -> Result<rustls::ServerConfig, Error> {
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
