//! lumen/1: one Block a frame, each datagram sealed as it leaves.

use std::sync::Arc;

use lumen_core::{
    Burst, DatagramBatch, FrameMeta, Packetiser, PacketiserConfig, Sealer, Timeline, Timestamp,
    packetiser::ConfigError, seal::SealError,
};
use lumen_ipc::encode::UnitKind;

use super::{Cut, CutError, Cutter};
use crate::record::Record;

/// The cutter of a lumen/1 session.
#[derive(Debug)]
pub struct Lumen1 {
    packetiser: Packetiser,
    batch: DatagramBatch,
    sealer: Sealer,
    record: Arc<Record>,
}

impl Lumen1 {
    /// Frames cut as `config` says, sealed by `sealer` with the numbers of `record`.
    ///
    /// # Errors
    /// [`ConfigError`] if the client asked for a cut that cannot be.
    pub fn new(config: PacketiserConfig, sealer: Sealer, record: Arc<Record>) -> Result<Self, ConfigError> {
        Ok(Self { packetiser: Packetiser::new(config)?, batch: DatagramBatch::new(), sealer, record })
    }
}

impl Cutter for Lumen1 {
    fn load(&mut self, cut: &Cut<'_>, _now: Timestamp) -> Result<(), CutError> {
        let at = Timestamp::from_ns;
        let Cut { unit, bytes, number, received_ns } = *cut;
        let meta = FrameMeta {
            number,
            idr: unit.kind == UnitKind::Idr,
            repeat: unit.kind == UnitKind::Repeat,
            timeline: Timeline {
                dequeued: at(unit.timeline.dequeued_ns),
                encode_begin: at(unit.timeline.encode_begin_ns),
                encode_end: at(unit.timeline.encode_end_ns),
                packetised: at(received_ns),
            },
        };
        self.packetiser.packetise(bytes, &meta, &mut self.batch)?;
        Ok(())
    }

    fn set_parity(&mut self, percent: u8) {
        // As much as this is never too much.
        let _ = self.packetiser.set_parity_percent(percent.into());
    }

    fn remaining(&self) -> usize {
        self.batch.remaining()
    }

    fn segment_len(&self) -> usize {
        self.batch.segment_len()
    }

    fn next(&mut self, count: usize, now: Timestamp) -> Result<Option<Burst<'_>>, SealError> {
        self.batch.seal_next(count, now, &mut self.sealer, &mut &*self.record)
    }
}
