//! GameStream: what anyone on the network can send, and what a client with a key can.

mod certificate;
mod client;
mod control;
mod datagrams;
mod enet;
mod http;
mod input;
mod mdns;
mod pairing;
mod rtsp;
mod sdp;

use crate::Target;

const OF: &str = "core/gamestream";

/// The targets of this crate.
pub(crate) const TARGETS: [Target; 11] = [
    Target { name: "gamestream_http", of: OF, max_len: 2048, run: http::run },
    Target { name: "gamestream_certificate", of: OF, max_len: 2048, run: certificate::run },
    Target { name: "gamestream_pairing", of: OF, max_len: 256, run: pairing::run },
    Target { name: "gamestream_rtsp", of: OF, max_len: 2048, run: rtsp::plain },
    Target { name: "gamestream_rtsp_sealed", of: OF, max_len: 2048, run: rtsp::sealed },
    Target { name: "gamestream_sdp", of: OF, max_len: 2048, run: sdp::run },
    Target { name: "gamestream_mdns", of: OF, max_len: 512, run: mdns::run },
    Target { name: "gamestream_datagrams", of: OF, max_len: 128, run: datagrams::run },
    Target { name: "gamestream_enet", of: OF, max_len: 512, run: enet::run },
    Target { name: "gamestream_control", of: OF, max_len: 512, run: control::run },
    Target { name: "gamestream_input", of: OF, max_len: 64, run: input::run },
];
