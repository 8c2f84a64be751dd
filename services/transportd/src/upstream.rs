//! The stages that transportd opens links to, as the sessions see them; a test puts a fake in their place.

use std::{future::Future, os::fd::OwnedFd};

use lumen_ipc::{
    Failure, SessionId, Stage,
    bus::{SeatSpec, SoundSpec, StreamSpec},
};
use lumen_stage::Bus;

/// Opens links, waiting for a stage that restarts.
pub trait Upstream: Clone + Send + Sync + 'static {
    /// A link to encoded.
    fn open_encoder(
        &self,
        session: SessionId,
        spec: &StreamSpec,
    ) -> impl Future<Output = Result<OwnedFd, Failure>> + Send;

    /// A link to encoded for sound.
    fn open_sound(
        &self,
        session: SessionId,
        spec: &SoundSpec,
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
        self.open(Stage::Encoded, session, spec).await.map_err(Failure::from)
    }

    async fn open_sound(&self, session: SessionId, spec: &SoundSpec) -> Result<OwnedFd, Failure> {
        let call = self.call(Stage::Encoded, "OpenSound", &(session.to_string(), spec)).await;
        let link: zbus::OwnedFd = call.map_err(Failure::from)?;
        Ok(link.into())
    }

    async fn open_seat(&self, session: SessionId, spec: &SeatSpec) -> Result<OwnedFd, Failure> {
        self.open(Stage::Inputd, session, spec).await.map_err(Failure::from)
    }
}
