//! lumen-core's client over quinn and a UDP socket.

use std::{mem::replace, net::SocketAddr, sync::Arc, time::Duration};

use lumen_core::{
    ChannelSecret, ClientConfig, ClientEvent, ClientSession, CloseReason, Direction, Opened, Opener,
    Reassembler, ReassemblerConfig, Sealer, Timestamp,
    control::{Codec, Launch, Launched, Mode},
    reassembler::Output,
    seal::{EXPORTER_LABEL, LocalCounter},
    session,
    trust::{self, Fingerprint, HostVerifier, PinPolicy},
};
use lumen_stage::clock::now_ns;
use lumen_transportd::identity::Identity;
use quinn::{Connection, Endpoint, RecvStream, SendStream, crypto::rustls::QuicClientConfig};
use tokio::{net::UdpSocket, time::timeout};

use super::{Host, fakes::Fakes};

/// What every test asks for.
pub fn launch() -> Launch {
    Launch {
        mode: Mode { width: 1280, height: 720, refresh_mhz: 60_000 },
        bitrate_bps: 10_000_000,
        parity_percent: 20,
        datagram_len: 1400,
        app: None,
        codecs: vec![Codec::H264],
        is_pointer_separate: false,
        channels: 0,
        has_microphone: false,
    }
}

/// Dials the host as `identity`, expecting `pin`.
pub async fn dial(
    host: SocketAddr,
    identity: &Identity,
    pin: Fingerprint,
) -> Result<Connection, quinn::ConnectionError> {
    let verifier = Arc::new(HostVerifier::new(PinPolicy::Pinned(pin)));
    let chain = vec![identity.certificate.clone()];
    let tls = trust::client_config(chain, identity.key.clone_key(), verifier).unwrap();
    let crypto = Arc::new(QuicClientConfig::try_from(tls).unwrap());
    let mut endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(crypto));
    endpoint.connect(host, trust::SERVER_NAME).unwrap().await
}

/// One received frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Got {
    pub number: u64,
    pub idr: bool,
    pub bytes: Vec<u8>,
}

/// A client with its control stream.
pub struct Client {
    pub connection: Connection,
    pub session: ClientSession,
    send: SendStream,
    receive: RecvStream,
    lost: Option<(Connection, SendStream, RecvStream)>,
}

fn now() -> Timestamp {
    Timestamp::from_ns(now_ns())
}

impl Client {
    /// Says hello and asks for `launch` on an open connection.
    pub async fn start(connection: Connection, launch: Launch) -> Self {
        let (send, receive) = connection.open_bi().await.unwrap();
        let config = ClientConfig { name: "test client".into(), launch };
        Self { connection, session: ClientSession::new(config, now()), send, receive, lost: None }
    }

    /// The connection is lost; goes on with the session over another one.
    pub async fn resume(&mut self, connection: Connection) -> Result<Launched, CloseReason> {
        self.session.connection_lost(now());
        assert_eq!(self.flush().await, Some(Ok(ClientEvent::Dial)));
        let (send, receive) = connection.open_bi().await.unwrap();
        let (old_send, old_receive) = (replace(&mut self.send, send), replace(&mut self.receive, receive));
        // A connection that is lost says nothing: dropped, these would.
        self.lost = Some((replace(&mut self.connection, connection), old_send, old_receive));
        self.session.connected(now());
        let wait = async {
            loop {
                if let ClientEvent::Resumed(launched) = self.event().await? {
                    return Ok(launched);
                }
            }
        };
        timeout(Duration::from_secs(5), wait).await.expect("an answer within five seconds")
    }

    /// Sends what is to be sent, reads what comes, until something happens.
    pub async fn event(&mut self) -> Result<ClientEvent, CloseReason> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(happened) = self.flush().await {
                return happened;
            }
            match self.receive.read(&mut buffer).await {
                Ok(Some(count)) => self.session.handle_bytes(&buffer[..count], now()),
                Ok(None) | Err(_) => {
                    let reason = format!("{:?}", self.connection.close_reason());
                    return Err(CloseReason::PeerLeft { reason });
                }
            }
        }
    }

    /// Sends what is to be sent; the first thing that happened.
    pub async fn flush(&mut self) -> Option<Result<ClientEvent, CloseReason>> {
        while let Some(output) = self.session.poll_output() {
            match output {
                session::Output::Send(bytes) => self.send.write_all(&bytes).await.unwrap_or(()),
                session::Output::Event(event) => return Some(Ok(event)),
                session::Output::Close(reason) => return Some(Err(reason)),
            }
        }
        None
    }

    /// Waits for the stream, at most five seconds.
    pub async fn launched(&mut self) -> Result<Launched, CloseReason> {
        let wait = async {
            loop {
                if let ClientEvent::Launched(launched) = self.event().await? {
                    return Ok(launched);
                }
            }
        };
        timeout(Duration::from_secs(5), wait).await.expect("an answer within five seconds")
    }

    /// Opens the video path.
    pub async fn video(&self, launched: &Launched, host: &Host) -> Video {
        let mut secret = [0; 32];
        self.connection.export_keying_material(&mut secret, EXPORTER_LABEL, &launched.session.0).unwrap();
        let secret = ChannelSecret::from_bytes(secret);
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(SocketAddr::new(host.address.ip(), launched.video_port)).await.unwrap();
        let mut sealer = Sealer::new(&secret, launched.channel, Direction::ClientToHost);
        let hello = sealer.seal_hello(now(), &mut LocalCounter::default()).unwrap();
        socket.send(&hello).await.unwrap();
        Video {
            socket,
            opener: Opener::new(&secret, launched.channel, Direction::HostToClient),
            reassembler: Reassembler::new(ReassemblerConfig::starting_at(launched.next_frame)),
            fakes: host.fakes.clone(),
            forges: 0,
            datagrams: 0,
            tolerates_loss: false,
        }
    }
}

/// The receiving end of a video path.
pub struct Video {
    socket: UdpSocket,
    opener: Opener,
    reassembler: Reassembler,
    /// Every so many datagrams one bit of one is turned round before it is opened; 0: never.
    pub forges: u64,
    /// A lost frame is none of the test's business.
    pub tolerates_loss: bool,
    datagrams: u64,
    fakes: Fakes,
}

impl Video {
    /// The next frames, `count` of them, within five seconds; a frame that is lost is a failure.
    pub async fn frames(&mut self, count: usize) -> Vec<Got> {
        let mut frames = Vec::new();
        let collect = async {
            while frames.len() < count {
                frames.extend(self.next().await);
            }
        };
        let done = timeout(Duration::from_secs(5), collect).await;
        done.unwrap_or_else(|_| panic!("{} of {count} frames within five seconds", frames.len()));
        frames
    }

    async fn next(&mut self) -> Vec<Got> {
        let mut datagram = [0; 2048];
        // A frame that is lost holds those after it up for a moment.
        let due = self.reassembler.poll_timeout().map(|due| due.since(now()));
        let heard = match due {
            Some(due) => timeout(due, self.socket.recv(&mut datagram)).await.ok(),
            None => Some(self.socket.recv(&mut datagram).await),
        };
        match heard {
            Some(len) => self.take(&mut datagram[..len.unwrap()]),
            None => self.reassembler.handle_timeout(now()),
        }
        self.whole()
    }

    fn take(&mut self, datagram: &mut [u8]) {
        self.datagrams += 1;
        if self.forges > 0 && self.datagrams.is_multiple_of(self.forges) {
            datagram[datagram.len() / 2] ^= 1;
        }
        if let Ok(Opened::Video(shard)) = self.opener.open(datagram) {
            self.reassembler.handle_shard(&shard, now());
        }
    }

    /// The frames that are whole now.
    fn whole(&mut self) -> Vec<Got> {
        let mut frames = Vec::new();
        while let Some(output) = self.reassembler.poll_output() {
            match output {
                Output::Frame(frame) => {
                    frames.push(Got { number: frame.number, idr: frame.idr, bytes: frame.unit().to_vec() });
                    self.reassembler.recycle(frame);
                }
                _ if self.tolerates_loss => {}
                other => panic!("{other:?}"),
            }
        }
        self.fakes.saw(frames.len());
        frames
    }

    /// Datagrams whose number came before.
    pub fn replayed(&self) -> u64 {
        self.opener.counters().replayed
    }

    /// Datagrams that were not the host's.
    pub fn forged(&self) -> u64 {
        self.opener.counters().forged
    }
}

/// Dials with a certificate that does not belong to the key; why that failed.
pub async fn dial_mismatched(host: SocketAddr, thief: &Identity, pin: Fingerprint) -> String {
    let verifier = Arc::new(HostVerifier::new(PinPolicy::Pinned(pin)));
    let own = super::identity();
    let chain = vec![own.certificate.clone()];
    let mut tls = trust::client_config(chain, own.key.clone_key(), verifier).unwrap();
    tls.client_auth_cert_resolver = Arc::new(Mismatched::new(thief));
    let crypto = Arc::new(QuicClientConfig::try_from(tls).unwrap());
    let mut endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(crypto));
    match endpoint.connect(host, trust::SERVER_NAME).unwrap().await {
        Err(error) => error.to_string(),
        Ok(connection) => connection.closed().await.to_string(),
    }
}

#[derive(Debug)]
struct Mismatched(Arc<rustls::sign::CertifiedKey>);

impl Mismatched {
    fn new(thief: &Identity) -> Self {
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&thief.key).unwrap();
        let chain = vec![thief.certificate.clone()];
        Self(Arc::new(rustls::sign::CertifiedKey::new(chain, key)))
    }
}

impl rustls::client::ResolvesClientCert for Mismatched {
    fn resolve(
        &self,
        _hints: &[&[u8]],
        _schemes: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
