//! Plays nothing: the events are counted by whoever plays them, and that is all.

use std::os::fd::BorrowedFd;

use lumen_ipc::{Failure, FailureClass};

use super::Backend;
use crate::{counts::Refused, event::Event};

/// Why it was chosen.
pub const WHY: &str = "inputd.toml says backend = \"log\": input is counted and typed nowhere";

/// The backend `log`.
#[derive(Debug, Default)]
pub struct Log;

impl Backend for Log {
    fn name(&self) -> &'static str {
        "log"
    }

    fn why(&self) -> String {
        WHY.to_owned()
    }

    fn play(&mut self, _: &Event) -> Result<Option<Refused>, Failure> {
        Ok(None)
    }

    fn failure(&self) -> Option<Failure> {
        let text = "cannot type: inputd.toml says backend = \"log\"";
        Some(Failure::new(FailureClass::Environment, text, "remove that line and restart lumen-inputd"))
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn dispatch(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}
