//! What all sessions of the stage share.

use std::{sync::Arc, time::Duration};

use lumen_ipc::Generation;

use crate::{counts::Counts, display::Display, shown::Shown};

/// What all sessions share.
pub struct Office {
    /// Ours.
    pub generation: Generation,
    /// How long held keys stay down after transportd hung up.
    pub lease: Duration,
    /// Who knows where input goes.
    pub display: Arc<dyn Display>,
    /// What was played.
    pub counts: Counts,
    /// What is told of the Seats.
    pub shown: Shown,
}
