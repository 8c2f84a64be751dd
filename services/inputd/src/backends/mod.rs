//! What can play events.

pub mod log;

use lumen_ipc::Failure;

use crate::stage::Event;

/// A backend of one session.
pub trait Backend {
    /// Plays one event.
    fn play(&mut self, event: &Event);

    /// So many texts never came.
    fn lose(&mut self, texts: u64);

    /// Why events do not reach the Output; `None` if they do.
    fn failure(&self) -> Option<Failure>;
}
