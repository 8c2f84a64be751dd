//! What stages say to each other.

mod links;
mod texts;

use crate::Target;

const OF: &str = "ipc-schema";

/// The targets of this crate.
pub(crate) const TARGETS: [Target; 3] = [
    Target { name: "ipc_links", of: OF, max_len: 4200, run: links::messages },
    Target { name: "ipc_handshake", of: OF, max_len: 64, run: links::handshake },
    Target { name: "ipc_texts", of: OF, max_len: 128, run: texts::run },
];
