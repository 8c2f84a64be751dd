//! lumen/1 without sockets, files or clocks: packets, FEC, sealing, reassembly, pacing, sessions.
//!
//! Nothing here reads a clock, a socket, a file or the OS' randomness: bytes, [`Timestamp`]s and random values come in as
//! arguments, results go out through one `poll_output`. `docs/lumen1.md` is the same protocol in words.
//!
//! # Sending video (host)
//! ```text
//! let mut packetiser = Packetiser::new(PacketiserConfig { datagram_len: 1400, parity_percent: 20 })?;
//! let mut sealer     = Sealer::new(&secret, channel, Direction::HostToClient);
//! let mut batch      = DatagramBatch::new();                        // reused: no allocation once warm
//! let mut pacer      = Pacer::new(PacerConfig { rate_bps, burst_bytes, max_segments: 46, gap }, now);
//!
//! packetiser.packetise(&unit, &FrameMeta { number, idr, repeat, timeline }, &mut batch)?;
//! while !batch.is_empty() {
//!     match pacer.poll(batch.remaining(), batch.segment_len(), now) {
//!         Pace::Send(n)   => { let burst = batch.seal_next(n, now, &mut sealer, &mut counter)?;   // Option<Burst>
//!                              socket.send_gso(burst.bytes, burst.segment_len) }
//!         Pace::Wait(when) => sleep until `when`
//!     }
//! }
//! ```
//! `counter: impl SequenceCounter` says where the nonce counter lives: [`seal::LocalCounter`], or `&AtomicU64` in shared
//! memory; it is advanced before anything is sealed. Sealing happens per burst, so that `sent` is the real send time.
//!
//! # Receiving video (client) and hellos (host)
//! ```text
//! let mut opener      = Opener::new(&secret, channel, Direction::HostToClient);   // the host: ClientToHost
//! let mut reassembler = Reassembler::new(ReassemblerConfig::starting_at(launched.next_frame));
//! match opener.open(&mut datagram) {                                              // in place
//!     Ok(Opened::Video(shard)) => reassembler.handle_shard(&shard, now),
//!     Ok(Opened::Hello(hello)) => if hello.is_newest { peer_address = from },     // host only
//!     Err(_) => {}                                                                // counted in opener.counters()
//! }
//! reassembler.handle_timeout(now);                                                // by reassembler.poll_timeout()
//! while let Some(output) = reassembler.poll_output() { match output {
//!     Output::Frame(frame)            => { decode(frame.unit(), frame.decodable); reassembler.recycle(frame) }
//!     Output::Lost { first, count }   => …,
//!     Output::NeedIdr { after_frame } => session.request_idr(after_frame),
//! } }
//! ```
//! The client opens the host's path with `sealer.seal_hello(now, &mut counter) -> [u8; HELLO_LEN]`, again each second. The
//! host finds the session of a datagram by [`wire::channel_of`] and answers nothing before `open` succeeded.
//!
//! # Control (the first bidirectional QUIC stream the client opens)
//! `ClientSession::new(ClientConfig { name, launch }, now)` / `HostSession::new(name, now)`; both have `handle_bytes(&[u8], now)`,
//! `handle_timeout(now)`, `poll_timeout() -> Option<Timestamp>` and `poll_output() -> Option<session::Output<Event>>` with `Send(Vec<u8>)`, `Event(ClientEvent | HostEvent)`, `Close(CloseReason)`.
//! Client: `connection_lost(now)` → event `Dial` → `connected(now)`; `request_idr`, `set_bitrate`, `set_mode`, `ping`, `stats`, `input`, `stop`. Host: `launched(Launched)`, `mode_changed(ModeChanged)`,
//! `notice(Notice)`, `pointer_shape(&PointerShape)`, `pointer_moved(PointerMoved)`, `refuse(Refused)`, `bye(reason)`.
//! `control::Message` is the wire form (`encode`, `control::Decoder`).
//!
//! # Sound and microphone (QUIC datagrams of the same connection)
//! [`sound::Packet`] is the wire form of both. Client: `microphone::Sender::new().packet(&opus, recorded) -> Option<Vec<u8>>`. Host:
//! `microphone::Intake::new(now).take(&datagram, now) -> Result<Packet, Dropped>`.
//!
//! # Keys and identities
//! The channel's secret is the TLS exporter's: `connection.export_keying_material(&mut [0; 32], seal::EXPORTER_LABEL, session_id)`
//! → [`seal::ChannelSecret::from_bytes`]. [`trust::Fingerprint`] is the SHA-256 of a certificate's DER;
//! `trust::client_config(chain, key, Arc<HostVerifier>)` and `trust::server_config(chain, key, Arc<ClientVerifier>)` make rustls
//! configurations (TLS 1.3 only, ALPN `lumen/1`, no resumption), to be wrapped by quinn's `QuicClientConfig`/`QuicServerConfig`.
//! `HostVerifier::new(PinPolicy::Pinned(fp) | PinPolicy::FirstUse)`, `.proven() -> Option<Fingerprint>` after the handshake;
//! `ClientVerifier::new(Arc<dyn AllowList>)`. SNI is [`trust::SERVER_NAME`].
//!
//! # Clocks
//! `ClockEstimator::new()`, `.add(Sample { sent, remote_received, remote_sent, received })`, `.estimate() -> Option<Estimate>`,
//! `.to_local(remote) -> Option<Timestamp>`.

#![forbid(unsafe_code)]

pub mod clock;
pub mod control;
pub mod fec;
pub mod microphone;
pub mod pacer;
pub mod packetiser;
pub mod reassembler;
pub mod replay;
pub mod seal;
pub mod session;
pub mod sound;
pub mod trust;
pub mod wire;

mod batch;
mod block;
mod time;

pub use batch::{Burst, DatagramBatch};
pub use block::ReceivedFrame;
pub use clock::{ClockEstimator, Estimate, Sample};
pub use pacer::{Pace, Pacer, PacerConfig};
pub use packetiser::{FrameMeta, Packetiser, PacketiserConfig};
pub use reassembler::{Output, Reassembler, ReassemblerConfig};
pub use seal::{ChannelSecret, Direction, OpenError, Opened, Opener, Sealer, SequenceCounter};
pub use session::{ClientConfig, ClientEvent, ClientSession, CloseReason, HostEvent, HostSession};
pub use time::Timestamp;
pub use trust::Fingerprint;
pub use wire::{ChannelId, DEFAULT_DATAGRAM_LEN, HELLO_LEN, Timeline};
