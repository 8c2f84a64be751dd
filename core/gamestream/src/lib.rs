//! GameStream without sockets, files or clocks: what a host says to stock Moonlight clients.
//!
//! Nothing here reads a clock, a socket, a file or the OS' randomness: bytes, [`Timestamp`](lumen_core::Timestamp)s and
//! random values come in as arguments, results go out through one `poll_output` per machine. `docs/gamestream.md` is the same
//! protocol in words.
//!
//! ```text
//! TCP 47989 plain ┐ http::Request ─► http::Call ─► pairing::Lobby ─► Store(Proven): the one commit
//! TCP 47984 TLS   ┘                         └────► Launch, Resume, Cancel, … ─► http::answers
//!                                                    │ rikey = keys::SessionKey
//! TCP 48010         rtsp::Negotiation ◄──────────────┘ ─► StreamConfig ─► Play
//!                                  │ Tokens: how datagrams find their session
//! UDP 5353          mdns::Service ─► how a host is found before any of this
//! UDP 47999         enet::Peer ◄───┤ Message ─► control::Opener ─► control::Incoming ─► input::Event, IDR, …
//!                       ▲          │            control::Sealer ◄─ control::Outgoing
//!                       └ Record   │ (written before poll_output is drained)
//! UDP 47998         ping::Ping ◄───┘
//!                   AccessUnit ─► video::Packetiser ─► video::Batch ─► lumen_core::Pacer ─► datagrams
//! UDP 48000         ping::Ping, Opus ─► audio::AudioPacketiser ─► datagrams
//! ```
//!
//! # A session, as its owner sees it
//! ```text
//! // HTTP: one request a connection
//! match Request::parse(&received)? { Parsed::Whole(request) => match Call::parse(&request, caller) {
//!     Ok(Call::Pair(phase))   => lobby.handle_request(phase, from, connection, fresh, now),   // answered by poll_output
//!     Ok(Call::Launch(query)) => …, answers::launched(url).to_bytes()
//!     Err(refusal)            => refusal.response(&request.path).to_bytes(),
//! } Parsed::Partial => read on }
//!
//! // RTSP: frame the message, then offer it to each session until one does not say NotMine
//! match seal::Framing::of(&received)? { Sealed(len) => wait for len bytes, Plain => wait for Request::parse to be Whole, … }
//! negotiation.handle_message(&message)?;          // Output::Answer(bytes) | Output::Event(Configured | Play | TimedOut)
//!
//! // control: PeerId::of(&datagram) finds the session, or Connect::parse(&datagram).data does
//! peer.handle_datagram(&datagram, now);
//! record.write(peer.record());                    // first what was received, then the acknowledgement
//! while let Some(output) = peer.poll_output() { match output {
//!     Output::Send(bytes)                       => socket.send_to(bytes, client),
//!     Output::Event(Event::Message { bytes, .. }) => {
//!         let (kind, payload) = opener.open(&bytes)?;
//!         record.write(opener.window());          // first that it was seen, then what it asks
//!         act on Incoming::parse(kind, &payload)?
//!     }
//! } }
//!
//! // video: `counter` is a lumen_core::SequenceCounter in the session's record, one for each key
//! packetiser.packetise(&unit, &meta, &mut counter, &mut batch)?;
//! while !batch.is_empty() { match pacer.poll(batch.remaining(), batch.segment_len(), now) { Pace::Send(n) => batch.take(n), … } }
//! ```
//! A process that dies between a record and what follows it loses that message: nothing is delivered twice.
//!
//! What a client was given at launch ([`keys::SessionKey`], [`rtsp::StreamConfig`], [`rtsp::Tokens`]) is plain and goes into
//! the session's record; pairing and RTSP last seconds and start anew after a restart.

#![forbid(unsafe_code)]

pub mod audio;
pub mod control;
pub mod enet;
pub mod hex;
pub mod http;
pub mod identity;
pub mod input;
pub mod keys;
pub mod mdns;
pub mod pairing;
pub mod parity;
pub mod ping;
pub mod rtsp;
pub mod video;

mod fields;
