//! captured, as a session sees it: who gives it links.

use std::{
    os::fd::OwnedFd,
    sync::{Arc, OnceLock},
};

use lumen_ipc::{Failure, FailureClass, SessionId, Stage, bus::OutputSpec};
use lumen_stage::{Bus, bus::CallError, pulse::Pulse};

/// Gives links to captured.
pub trait Capture: Send + Sync {
    /// One end of a link for `spec`. May wait, beating `pulse`.
    ///
    /// # Errors
    /// What to tell the reader.
    fn open(&self, session: SessionId, spec: &OutputSpec, pulse: &Pulse) -> Result<OwnedFd, Failure>;
}

/// captured, over lumen's bus. Cloning shares it.
#[derive(Default, Clone)]
pub struct Captured {
    bus: Arc<OnceLock<Bus>>,
}

impl Captured {
    /// From now on it can be reached.
    pub fn connect(&self, bus: Bus) {
        // Set once at the stage's start; a second bus would be the same one.
        let _ = self.bus.set(bus);
    }
}

impl Capture for Captured {
    fn open(&self, session: SessionId, spec: &OutputSpec, pulse: &Pulse) -> Result<OwnedFd, Failure> {
        let starting = || Failure::new(FailureClass::Temporary, "encoded is starting", "wait a moment");
        let bus = self.bus.get().ok_or_else(starting)?;
        bus.wait(pulse, bus.open(Stage::Captured, session, spec)).map_err(failure_of)
    }
}

/// A stage's answer on the bus, as the failure that it was there: text, then advice on a line of its own.
fn failure_of(error: CallError) -> Failure {
    let (class, text) = match error {
        CallError::Request(text) => (FailureClass::Request, text),
        CallError::Environment(text) | CallError::Denied(text) => (FailureClass::Environment, text),
        CallError::Temporary(text) => (FailureClass::Temporary, text),
        CallError::Internal(text) => (FailureClass::Internal, text),
        CallError::ZBus(error) => (FailureClass::Temporary, format!("captured cannot be asked: {error}")),
    };
    let (text, advice) = text.split_once('\n').unwrap_or((&text, "see `lumenctl status`"));
    Failure::new(class, text, advice)
}
