//! The QUIC side of the stage: one endpoint, and a task per connection.
//!
//! **Invariant:** BBR is never used, here or elsewhere. Control is a few messages a second, for which quinn's Cubic is good.

use std::{io, net::UdpSocket, sync::Arc, time::Duration};

use aws_lc_rs::{
    hkdf::{HKDF_SHA256, Salt},
    hmac,
};
use lumen_core::trust::{self, ClientVerifier};
use quinn::{
    Endpoint, EndpointConfig, IdleTimeout, Incoming, ServerConfig, TokioRuntime, TransportConfig, VarInt,
    congestion::CubicConfig, crypto::rustls::QuicServerConfig,
};
use quinn_proto::HashedConnectionIdGenerator;

use crate::{
    clients::Clients,
    config::Config,
    identity::{ConnectionKeys, Identity},
    peers::{
        connection::{House, serve},
        lobby::Lobby,
    },
    upstream::Upstream,
};

/// How often we ask whether a quiet client is still there; three times within the shortest sensible idle timeout.
const KEEP_ALIVE: Duration = Duration::from_secs(3);

/// Bytes of sound that may wait for the network, some tenth of a second; older ones are dropped, since late sound is worse than none.
const SOUND_WAITS: usize = 8 << 10;

/// Bytes of a client's microphone that may wait to be read, likewise.
const SPOKEN_WAITS: usize = 8 << 10;

/// Bytes a client may send ahead on its control stream, whose messages have at most 16 KiB.
const WINDOW: u32 = 64 << 10;

/// Initials that may wait for the accept loop; beyond that they are refused.
const MAX_INCOMING: usize = 256;

/// Why the endpoint cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The identity is of no use to TLS.
    #[error("the host's identity is of no use to TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// TLS has no cipher for QUIC.
    #[error("TLS has no cipher suite for QUIC: {0}")]
    Cipher(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
    /// The configured idle timeout is out of range.
    #[error("`idle` in transportd.toml is too long for QUIC: write at most \"60 min\"")]
    Idle(#[from] quinn::VarIntBoundsExceeded),
    /// The socket cannot be used.
    #[error("the QUIC socket cannot be used: {0}")]
    Socket(#[from] io::Error),
}

/// Makes the endpoint on an open socket.
///
/// # Errors
/// [`ControlError`].
pub fn endpoint(
    identity: &Identity,
    clients: Arc<Clients>,
    config: &Config,
    socket: UdpSocket,
) -> Result<Endpoint, ControlError> {
    let keys = &identity.connection;
    let mut server = server(identity, clients, keys)?;
    server.transport_config(Arc::new(transport(config)?));
    server.max_incoming(MAX_INCOMING);
    server.incoming_buffer_size(u64::from(WINDOW));
    let mut endpoint = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &keys.reset)));
    let id = keys.id;
    endpoint.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(id)));
    Ok(Endpoint::new(endpoint, Some(server), socket, Arc::new(TokioRuntime))?)
}

fn server(
    identity: &Identity,
    clients: Arc<Clients>,
    keys: &ConnectionKeys,
) -> Result<ServerConfig, ControlError> {
    let verifier = Arc::new(ClientVerifier::new(clients));
    let tls = trust::server_config(vec![identity.certificate.clone()], identity.key.clone_key(), verifier)?;
    let crypto = Arc::new(QuicServerConfig::try_from(tls)?);
    let token = Salt::new(HKDF_SHA256, b"lumen/1 retry").extract(&keys.token);
    Ok(ServerConfig::new(crypto, Arc::new(token)))
}

fn transport(config: &Config) -> Result<TransportConfig, ControlError> {
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(IdleTimeout::try_from(config.idle.0)?))
        .keep_alive_interval(Some(KEEP_ALIVE.min(config.idle.0 / 3)))
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(WINDOW))
        .receive_window(VarInt::from_u32(WINDOW))
        .send_window(u64::from(WINDOW))
        // Without any room for one quinn sends none either; of a microphone the oldest are left out.
        .datagram_receive_buffer_size(Some(if config.microphone { SPOKEN_WAITS } else { 1 }))
        .datagram_send_buffer_size(SOUND_WAITS)
        .congestion_controller_factory(Arc::new(CubicConfig::default()));
    Ok(transport)
}

/// Takes in connections for as long as the endpoint lives.
pub async fn listen<U: Upstream>(endpoint: Endpoint, house: Arc<House<U>>, lobby: Arc<Lobby>) {
    while let Some(incoming) = endpoint.accept().await {
        if lobby.is_crowded() && !incoming.remote_address_validated() {
            // An address that is validated already needs no retry; that was asked just now.
            let _ = incoming.retry();
        } else {
            welcome(incoming, &house, &lobby);
        }
    }
}

fn welcome<U: Upstream>(incoming: Incoming, house: &Arc<House<U>>, lobby: &Arc<Lobby>) {
    let place = lobby.enter();
    let birth = place.birth();
    let house = house.clone();
    let from = incoming.remote_address();
    let task = tokio::spawn(async move {
        if let Err(error) = serve(incoming, house, place).await {
            tracing::debug!(STAGE = "transportd", "a connection from {from} came to nothing: {error}");
        }
    });
    lobby.seat(birth, from.ip(), task.abort_handle());
}
