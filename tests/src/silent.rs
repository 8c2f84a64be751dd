//! Clients that begin a QUIC handshake and then say nothing more: a real ClientHello, a Retry answered as it should be,
//! so that the host holds a connection of theirs, and from then on silence.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use lumen_core::trust::{HostVerifier, PinPolicy, SERVER_NAME, client_config};
use quinn_proto::{
    ClientConfig, Connection, DatagramEvent, Endpoint, EndpointConfig, crypto::rustls::QuicClientConfig,
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivatePkcs8KeyDer;

/// How long a host may take to answer a first datagram.
const PATIENCE: Duration = Duration::from_millis(500);

/// First byte of a Retry of QUIC version 1, without its unused bits (RFC 9000 § 17.2.5).
const RETRY: u8 = 0xf0;

/// A handshake that stands open; dropping it closes its socket.
pub struct Silent {
    _socket: UdpSocket,
    /// Whether the host asked for a proof of the address first.
    pub was_asked: bool,
}

/// What all silent clients have in common.
pub struct Crowd {
    config: ClientConfig,
    host: SocketAddr,
}

impl Crowd {
    /// One identity for all of them: what a certificate says comes after the silence.
    pub fn before(host: SocketAddr) -> Result<Self> {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["silent".into()])?;
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
        let verifier = Arc::new(HostVerifier::new(PinPolicy::FirstUse));
        let tls = client_config(vec![cert.der().clone()], key.into(), verifier)?;
        let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
        Ok(Self { config, host })
    }

    /// Knocks from `address` of this machine, and is silent from then on.
    pub fn knock(&self, address: Ipv4Addr) -> Result<Silent> {
        let socket = UdpSocket::bind((address, 0))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), None, false, None);
        let connecting = endpoint.connect(Instant::now(), self.config.clone(), self.host, SERVER_NAME);
        let (_, mut connection) = connecting?;
        self.say(&socket, &mut connection)?;
        let mut answer = [0; 2048];
        let (len, from) = socket.recv_from(&mut answer).context("the host did not answer a ClientHello")?;
        let datagram = answer.get(..len).unwrap_or_default();
        let was_asked = datagram.first().is_some_and(|first| first & RETRY == RETRY);
        if was_asked {
            let event = endpoint.handle(Instant::now(), from, None, None, datagram.into(), &mut Vec::new());
            if let Some(DatagramEvent::ConnectionEvent(_, event)) = event {
                connection.handle_event(event);
            }
            self.say(&socket, &mut connection)?;
        }
        Ok(Silent { _socket: socket, was_asked })
    }

    /// Sends what the connection wants to say now.
    fn say(&self, socket: &UdpSocket, connection: &mut Connection) -> Result<()> {
        let mut datagram = Vec::new();
        let said = connection.poll_transmit(Instant::now(), 1, &mut datagram);
        let said = said.context("a client that has nothing to say")?;
        socket.send_to(datagram.get(..said.size).unwrap_or_default(), self.host)?;
        Ok(())
    }
}
