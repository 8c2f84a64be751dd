//! TLS as Moonlight has it: any client certificate is taken whose key the client proves, and none as well. Who that is, is
//! judged with each request, so that a stranger is told so in words instead of by an alert.
//!
//! **Invariant**: sessions are never resumed, because a resumed handshake shows no certificate.

use std::{io, sync::Arc};

use lumen_core::trust::Fingerprint;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, ServerConfig, ServerConnection, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, UnixTime},
    server::{
        NoServerSessionStorage,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::identity::Identity;

/// Bytes read from the network at once; less than rustls holds in plain text, so that it never refuses to read.
const READ_BYTES: usize = 4096;

#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyCertificate {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The host's TLS: 1.2 and 1.3.
///
/// # Errors
/// The identity is of no use to TLS.
pub fn config(identity: &Identity) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(AnyCertificate(provider)))
        .with_single_cert(vec![identity.certificate.clone()], identity.key.clone_key())?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// One connection inside TLS.
#[derive(Debug)]
pub struct Tunnel {
    stream: TcpStream,
    tls: Box<ServerConnection>,
}

impl Tunnel {
    /// Shakes hands.
    ///
    /// # Errors
    /// What TLS or the network says; the client was sent the alert.
    pub async fn accept(stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<Self> {
        let tls = ServerConnection::new(config).map_err(io::Error::other)?;
        let mut tunnel = Self { stream, tls: Box::new(tls) };
        while tunnel.tls.is_handshaking() {
            if !tunnel.receive().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(tunnel)
    }

    /// The certificate whose key the client proved.
    pub fn client(&self) -> Option<Fingerprint> {
        self.tls.peer_certificates()?.first().map(Fingerprint::of)
    }

    /// Adds what came to `into`; how much. 0 is the end.
    ///
    /// # Errors
    /// What TLS or the network says.
    pub async fn read(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        loop {
            let before = into.len();
            match io::Read::read_to_end(&mut self.tls.reader(), into) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                // The end was said in TLS.
                Ok(_) if into.len() == before => return Ok(0),
                _ if into.len() > before => return Ok(into.len() - before),
                _ => {}
            }
            if !self.receive().await? {
                return Ok(0);
            }
        }
    }

    /// Sends all of it.
    ///
    /// # Errors
    /// What the network says.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        io::Write::write_all(&mut self.tls.writer(), bytes)?;
        self.flush().await
    }

    /// Says that this was all.
    ///
    /// # Errors
    /// What the network says.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.tls.send_close_notify();
        self.flush().await?;
        self.stream.shutdown().await
    }

    /// Takes in what came; false at the end.
    async fn receive(&mut self) -> io::Result<bool> {
        let mut buffer = [0; READ_BYTES];
        let count = self.stream.read(&mut buffer).await?;
        let mut rest = buffer.get(..count).unwrap_or_default();
        while !rest.is_empty() {
            self.tls.read_tls(&mut rest)?;
            if let Err(error) = self.tls.process_new_packets() {
                // The alert says it as well; whether it arrives changes nothing.
                let _ = self.flush().await;
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
        self.flush().await?;
        Ok(count > 0)
    }

    async fn flush(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            let mut bytes = Vec::new();
            self.tls.write_tls(&mut bytes)?;
            self.stream.write_all(&bytes).await?;
        }
        Ok(())
    }
}
