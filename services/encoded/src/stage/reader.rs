//! What is known of the session's reader, transportd.

use lumen_ipc::{Failure, Mode, encode::Control};

use super::{Session, pointing::Told};

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
    /// Likewise the first count of losses.
    pub losses: Option<u32>,
    /// What it was told of the pointer.
    pub told: Told,
}

impl Reader {
    /// Whether a picture may be started for it.
    pub fn is_ready(&self) -> bool {
        self.unsent.is_none() && self.announced.is_some()
    }
}

impl Session {
    /// What the reader wants: what it counts, it wants anew when the count is higher.
    pub(super) fn handle_control(&mut self, control: Control) {
        let Some(reader) = &mut self.reader else {
            return;
        };
        let Control { bitrate_bps, idr_wanted, losses, lost_from } = control;
        self.idr |= reader.idr_wanted.is_some_and(|seen| idr_wanted > seen);
        if reader.losses.is_some_and(|seen| losses > seen) {
            self.lost = Some(self.lost.map_or(lost_from, |known| known.min(lost_from)));
            self.recovers = true;
        }
        (reader.idr_wanted, reader.losses) = (Some(idr_wanted), Some(losses));
        self.bitrate = Some(bitrate_bps);
    }
}
