//! The stages that transportd opens links to, as the sessions see them; a test puts a fake in their place.

use std::{future::Future, os::fd::OwnedFd};

use lumen_ipc::{
    Failure, FailureClass, SessionId, Stage,
    bus::{SeatSpec, StreamSpec},
};
use lumen_stage::{Bus, bus::CallError};

/// Opens links, waiting for a stage that restarts.
pub trait Upstream: Clone + Send + Sync + 'static {
    /// A link to encoded.
    fn open_encoder(
        &self,
        session: SessionId,
        spec: &StreamSpec,
    ) -> impl Future<Output = Result<OwnedFd, Failure>> + Send;

    /// A link to inputd.
    fn open_seat(
        &self,
        session: SessionId,
        spec: &SeatSpec,
    ) -> impl Future<Output = Result<OwnedFd, Failure>> + Send;
}

impl Upstream for Bus {
    async fn open_encoder(&self, session: SessionId, spec: &StreamSpec) -> Result<OwnedFd, Failure> {
        self.open(Stage::Encoded, session, spec).await.map_err(failure)
    }

    async fn open_seat(&self, session: SessionId, spec: &SeatSpec) -> Result<OwnedFd, Failure> {
        self.open(Stage::Inputd, session, spec).await.map_err(failure)
    }
}

/// A stage's answer on the bus, as the failure that it was there: text, then advice on a line of its own.
fn failure(error: CallError) -> Failure {
    let (class, text) = match error {
        CallError::ZBus(error) => (FailureClass::Internal, format!("lumen's bus failed: {error}")),
        CallError::Denied(text) => (FailureClass::Environment, text),
        CallError::Request(text) => (FailureClass::Request, text),
        CallError::Environment(text) => (FailureClass::Environment, text),
        CallError::Temporary(text) => (FailureClass::Temporary, text),
        CallError::Internal(text) => (FailureClass::Internal, text),
    };
    match text.split_once('\n') {
        Some((text, advice)) => Failure::new(class, text, advice),
        None => Failure::new(class, text, "See `lumenctl status` on the host."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_crosses_the_bus_unchanged() {
        for class in [
            FailureClass::Request,
            FailureClass::Environment,
            FailureClass::Temporary,
            FailureClass::Internal,
        ] {
            let original = Failure::new(class, "no app \"x\"", "run `lumenctl apps`");
            assert_eq!(failure(original.clone().into()), original);
        }
    }
}
