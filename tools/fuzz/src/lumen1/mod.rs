//! lumen/1: datagrams, what is in them, and the control stream.

mod control;
mod microphone;
mod reassembly;
mod seal;
mod sessions;
mod wire;

use crate::Target;
use lumen_core::control::Mode;

const OF: &str = "core/lumen-core";

/// The targets of this crate.
pub(crate) const TARGETS: [Target; 8] = [
    Target { name: "lumen1_wire", of: OF, max_len: 512, run: wire::run },
    Target { name: "lumen1_seal", of: OF, max_len: 512, run: seal::run },
    Target { name: "lumen1_reassembly", of: OF, max_len: 768, run: reassembly::shards },
    Target { name: "lumen1_loss", of: OF, max_len: 512, run: reassembly::loss },
    Target { name: "lumen1_control", of: OF, max_len: 2048, run: control::run },
    Target { name: "lumen1_microphone", of: OF, max_len: 1024, run: microphone::run },
    Target { name: "lumen1_host", of: OF, max_len: 1024, run: sessions::host },
    Target { name: "lumen1_client", of: OF, max_len: 1024, run: sessions::client },
];

/// Some mode, where it is of no matter which.
const MODE: Mode = Mode { width: 1280, height: 720, refresh_mhz: 60_000 };
