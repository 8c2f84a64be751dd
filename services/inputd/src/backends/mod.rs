//! What can play events.

pub mod down;
pub mod eis;
pub mod keymap;
pub mod log;
pub mod wlr;

use std::os::fd::BorrowedFd;

use lumen_ipc::Failure;

use crate::{counts::Refused, event::Event};

/// A backend of one session. Dropping it lets go of whatever it holds down.
pub trait Backend {
    /// In one word.
    fn name(&self) -> &'static str;

    /// Why this one, for people.
    fn why(&self) -> String;

    /// Plays one event; what of it could not be played.
    ///
    /// # Errors
    /// The way to the Output is gone: a fresh backend is to be opened.
    fn play(&mut self, event: &Event) -> Result<Option<Refused>, Failure>;

    /// Whether it takes an event now; if not, [`descriptor`](Self::descriptor) is writable when
    /// [`dispatch`](Self::dispatch) can change that.
    fn is_ready(&self) -> bool {
        true
    }

    /// Whether fingers reach the Output.
    fn takes_touch(&self) -> bool {
        false
    }

    /// Why events do not reach the Output; `None` if they do.
    fn failure(&self) -> Option<Failure>;

    /// Readable when [`dispatch`](Self::dispatch) has something to do; `None` if it never has.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;

    /// Takes in what the Output's side says, and sends what is queued. Never waits.
    ///
    /// # Errors
    /// As [`play`](Self::play).
    fn dispatch(&mut self) -> Result<(), Failure>;
}
