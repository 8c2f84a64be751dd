//! What is known of the session's reader, transportd.

use lumen_ipc::{Failure, Mode};

use super::pointing::Told;

/// What the reader of this link was told and has said.
#[derive(Debug, Default)]
pub struct Reader {
    /// The mode it knows.
    pub announced: Option<Mode>,
    /// The failure it was told last.
    pub failure: Option<Failure>,
    /// Number of the AccessUnit that it has not yet confirmed.
    pub unsent: Option<u64>,
    /// The first count on a link is only the start of counting, because a link begins with an IDR anyway.
    pub idr_wanted: Option<u32>,
    /// What it was told of the pointer.
    pub told: Told,
}

impl Reader {
    /// Whether a picture may be started for it.
    pub fn is_ready(&self) -> bool {
        self.unsent.is_none() && self.announced.is_some()
    }
}
