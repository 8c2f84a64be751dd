//! captured, as a session sees it: who gives it links.

use std::{
    os::fd::OwnedFd,
    sync::{Arc, OnceLock},
};

use lumen_ipc::{
    Failure, FailureClass, SessionId, Stage,
    bus::{OutputSpec, SinkSpec},
};
use lumen_stage::{Bus, pulse::Pulse};

use crate::config::Memory;

/// Gives links to captured.
pub trait Capture: Send + Sync {
    /// One end of a link for `spec`. May wait, beating `pulse`.
    ///
    /// # Errors
    /// What to tell the reader.
    fn open(&self, session: SessionId, spec: &OutputSpec, pulse: &Pulse) -> Result<OwnedFd, Failure>;

    /// One end of a link for the session's sound. May wait, beating `pulse`.
    ///
    /// # Errors
    /// What to tell the reader.
    fn open_sound(&self, session: SessionId, spec: &SinkSpec, pulse: &Pulse) -> Result<OwnedFd, Failure>;
}

/// captured, over lumen's bus. Cloning shares it.
#[derive(Clone)]
pub struct Captured {
    memory: Memory,
    bus: Arc<OnceLock<Bus>>,
}

impl Captured {
    /// Not yet to be reached; will be asked for pictures in `memory`.
    pub fn new(memory: Memory) -> Self {
        Self { memory, bus: Arc::default() }
    }

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
        let memory = matches!(self.memory, Memory::Dmabuf).then(|| "dmabuf".to_owned());
        let spec = OutputSpec { memory, ..spec.clone() };
        bus.wait(pulse, bus.open(Stage::Captured, session, &spec)).map_err(Failure::from)
    }

    fn open_sound(&self, session: SessionId, spec: &SinkSpec, pulse: &Pulse) -> Result<OwnedFd, Failure> {
        let starting = || Failure::new(FailureClass::Temporary, "encoded is starting", "wait a moment");
        let bus = self.bus.get().ok_or_else(starting)?;
        let body = (session.to_string(), spec);
        let call = async { bus.call(Stage::Captured, "OpenSound", &body).await };
        let fd: zbus::OwnedFd = bus.wait(pulse, call).map_err(Failure::from)?;
        Ok(fd.into())
    }
}
