//! How a protocol turns AccessUnits into datagrams: the one thing in which their flights differ.

mod gamestream;
mod lumen1;

use std::fmt;

use lumen_core::{Burst, Timestamp, seal::SealError};
use lumen_ipc::encode::AccessUnit;

pub use gamestream::GameStream;
pub use lumen1::Lumen1;

/// Why an AccessUnit is not cut.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CutError {
    /// lumen/1 cannot carry it.
    #[error(transparent)]
    Lumen1(#[from] lumen_core::packetiser::PacketiseError),
    /// GameStream cannot carry it.
    #[error(transparent)]
    GameStream(#[from] lumen_gamestream::video::PacketiseError),
}

/// A frame to be cut.
#[derive(Debug, Clone, Copy)]
pub struct Cut<'a> {
    /// What encoded says of it.
    pub unit: AccessUnit,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// The client's number of it.
    pub number: u64,
    /// When its message was taken from the link, CLOCK_MONOTONIC ns.
    pub received_ns: u64,
}

/// Cuts frames one after another. Keeps its memory, so no frame after the first large one allocates.
pub trait Cutter: fmt::Debug + Send {
    /// Cuts a frame, of which the one before must have left whole.
    ///
    /// # Errors
    /// [`CutError`]; nothing is then to be sent.
    fn load(&mut self, cut: &Cut<'_>, now: Timestamp) -> Result<(), CutError>;

    /// So much parity, in percent of the data, from the next frame on; 100 at most.
    fn set_parity(&mut self, percent: u8);

    /// Datagrams that have not left yet.
    fn remaining(&self) -> usize;

    /// Bytes of each.
    fn segment_len(&self) -> usize;

    /// The next `count` datagrams at most, ready to leave at `now`; `None` when all have left.
    ///
    /// # Errors
    /// [`SealError`]: the numbers are used up, the session must end.
    fn next(&mut self, count: usize, now: Timestamp) -> Result<Option<Burst<'_>>, SealError>;
}
