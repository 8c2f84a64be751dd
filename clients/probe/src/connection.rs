//! Dials a host: QUIC with both sides' certificates, and what went wrong in words.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use lumen_core::{
    Fingerprint,
    trust::{HostVerifier, PinPolicy, SERVER_NAME, client_config},
};
use quinn::{ConnectionError, Endpoint, TransportConfig, VarInt, crypto::rustls::QuicClientConfig};

use crate::{failure::Failure, identity::Identity, known_hosts::KnownHosts};

/// Because a host on the same continent answers within 200 ms, and four lost packets in a row are no network.
pub const DIAL_DEADLINE: Duration = Duration::from_secs(5);

/// Because a session shall notice within seconds that its host is gone, and video flows on another socket.
const IDLE_TIMEOUT: VarInt = VarInt::from_u32(5_000);

/// A quarter of it.
const KEEP_ALIVE: Duration = Duration::from_millis(1_250);

/// Because quinn waits three of these before it says anything again, and a host that restarts is back after 50 ms.
const INITIAL_RTT: Duration = Duration::from_millis(50);

/// QUIC's code for a TLS alert is this plus the alert (RFC 9001 § 4.8).
const CRYPTO_ERROR: std::ops::Range<u64> = 0x100..0x200;

/// The alert of a peer that speaks another application protocol (RFC 7301).
const NO_APPLICATION_PROTOCOL: u64 = 120;

/// Which host is expected at the address.
#[derive(Clone, Debug)]
pub enum Expectation {
    /// The one whose fingerprint was given.
    Pinned(Fingerprint),
    /// The one that was there before.
    Known(Fingerprint, std::path::PathBuf),
    /// Any, to be remembered.
    Unknown,
}

impl Expectation {
    /// From `--pin`, else from the hosts seen before.
    ///
    /// # Errors
    /// [`Failure::KnownHosts`].
    pub fn of(host: SocketAddr, pin: Option<Fingerprint>, known: &KnownHosts) -> Result<Self, Failure> {
        if let Some(pin) = pin {
            return Ok(Self::Pinned(pin));
        }
        Ok(known.find(host)?.map_or(Self::Unknown, |seen| Self::Known(seen, known.path().to_owned())))
    }

    fn policy(&self) -> PinPolicy {
        match self {
            Self::Pinned(fingerprint) | Self::Known(fingerprint, _) => PinPolicy::Pinned(*fingerprint),
            Self::Unknown => PinPolicy::FirstUse,
        }
    }
}

/// Dials one host, as often as needed. After the first time only the host that was there then is accepted.
#[derive(Debug)]
pub struct Dialer {
    endpoint: Endpoint,
    host: SocketAddr,
    client: Fingerprint,
    expected: Expectation,
    verifier: Arc<HostVerifier>,
}

impl Dialer {
    /// A dialer with this client's identity. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`Failure::Tls`] for a key that cannot be used, [`Failure::System`] without a socket.
    pub fn new(host: SocketAddr, expected: Expectation, identity: Identity) -> Result<Self, Failure> {
        let client = identity.fingerprint();
        let verifier = Arc::new(HostVerifier::new(expected.policy()));
        let tls = client_config(vec![identity.certificate], identity.key, Arc::clone(&verifier))?;
        let quic =
            QuicClientConfig::try_from(tls).map_err(|error| rustls::Error::General(error.to_string()))?;
        let mut transport = TransportConfig::default();
        transport.max_idle_timeout(Some(IDLE_TIMEOUT.into()));
        transport.keep_alive_interval(Some(KEEP_ALIVE));
        transport.initial_rtt(INITIAL_RTT);
        let mut config = quinn::ClientConfig::new(Arc::new(quic));
        config.transport_config(Arc::new(transport));
        let any: SocketAddr = if host.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
        let mut endpoint =
            Endpoint::client(any).map_err(|source| Failure::System { act: "open a UDP socket", source })?;
        endpoint.set_default_client_config(config);
        Ok(Self { endpoint, host, client, expected, verifier })
    }

    /// A connection, within `deadline`, whose host has proved who it is. Whether it allows this client is seen at the first
    /// read.
    ///
    /// # Errors
    /// [`Failure::Unreachable`], [`Failure::NotTrusted`], [`Failure::Changed`].
    pub async fn dial(&self, deadline: Duration) -> Result<quinn::Connection, Failure> {
        let unreachable = |why: String| Failure::Unreachable { host: self.host, why };
        let connecting =
            self.endpoint.connect(self.host, SERVER_NAME).map_err(|error| unreachable(error.to_string()))?;
        match tokio::time::timeout(deadline, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(self.explain(&error)),
            Err(_) => Err(unreachable(format!("no answer within {deadline:?}"))),
        }
    }

    /// The host's fingerprint, once it has proved it.
    pub fn proven(&self) -> Option<Fingerprint> {
        self.verifier.proven()
    }

    /// Why a connection never became a session.
    pub fn explain(&self, error: &ConnectionError) -> Failure {
        match error {
            ConnectionError::TransportError(local) if CRYPTO_ERROR.contains(&u64::from(local.code)) => {
                self.distrust(without_preface(&local.reason))
            }
            ConnectionError::ConnectionClosed(close)
                if CRYPTO_ERROR.contains(&u64::from(close.error_code)) =>
            {
                let why = String::from_utf8_lossy(&close.reason).into_owned();
                if u64::from(close.error_code) == CRYPTO_ERROR.start + NO_APPLICATION_PROTOCOL {
                    return Failure::Unreachable { host: self.host, why: "it does not speak lumen/1".into() };
                }
                Failure::NotAllowed { client: self.client, why: without_preface(&why).into() }
            }
            ConnectionError::ApplicationClosed(close) => {
                Failure::BrokenOff { why: String::from_utf8_lossy(&close.reason).into_owned() }
            }
            other => Failure::Unreachable { host: self.host, why: other.to_string() },
        }
    }

    /// Closes the socket in good order.
    pub async fn hang_up(&self) {
        // Because a host that is gone cannot take leave.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.endpoint.wait_idle()).await;
    }

    fn distrust(&self, why: &str) -> Failure {
        let (host, why) = (self.host, why.to_owned());
        match &self.expected {
            Expectation::Known(_, file) => Failure::Changed { host, why, file: file.clone() },
            Expectation::Pinned(_) | Expectation::Unknown => Failure::NotTrusted { host, why },
        }
    }
}

/// TLS' words without those that say only that it is about a certificate.
fn without_preface(reason: &str) -> &str {
    reason.strip_prefix("invalid peer certificate: ").unwrap_or(reason)
}
