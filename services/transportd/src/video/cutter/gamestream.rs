//! GameStream: one to four Blocks a frame, sealed at once where the client asked for it.

use std::{sync::Arc, time::Duration};

use lumen_core::{Burst, Timestamp, seal::SealError};
use lumen_gamestream::{
    keys::SessionKey,
    parity,
    rtsp::StreamConfig,
    video::{Batch, FrameMeta, FrameType, PacketiseError, Packetiser, PacketiserConfig, RTP_LEN, SEAL_LEN},
};
use lumen_ipc::encode::UnitKind;

use super::{Cut, CutError, Cutter};
use crate::record::Record;

/// The cutter of a GameStream session.
#[derive(Debug)]
pub struct GameStream {
    packetiser: Packetiser,
    batch: Batch,
    record: Arc<Record>,
    datagram_len: usize,
}

impl GameStream {
    /// Frames cut as RTSP agreed, sealed with `key` if it did, with the numbers of `record`.
    ///
    /// # Errors
    /// [`PacketiseError`] if the client asked for a cut that cannot be.
    pub fn new(config: &StreamConfig, key: &SessionKey, record: Arc<Record>) -> Result<Self, PacketiseError> {
        let cut = PacketiserConfig {
            packet_size: config.packet_size,
            parity_percent: parity::least(config),
            min_parity: config.min_parity,
        };
        let is_sealed = config.encryption.video;
        let packetiser = Packetiser::new(cut, is_sealed.then_some(key))?;
        let sealing = if is_sealed { SEAL_LEN } else { 0 };
        let datagram_len = usize::from(config.packet_size) + RTP_LEN + sealing;
        Ok(Self { packetiser, batch: Batch::new(), record, datagram_len })
    }

    /// Bytes of each datagram of each frame.
    pub fn datagram_len(&self) -> usize {
        self.datagram_len
    }
}

impl Cutter for GameStream {
    fn load(&mut self, cut: &Cut<'_>, now: Timestamp) -> Result<(), CutError> {
        let dequeued = Timestamp::from_ns(cut.unit.timeline.dequeued_ns);
        let kind = match cut.unit.kind {
            UnitKind::Idr => FrameType::Idr,
            UnitKind::Recovered => FrameType::AfterInvalidation,
            UnitKind::Delta | UnitKind::Repeat => FrameType::Predicted,
        };
        // A repeat shows what was captured long ago, which is no latency.
        let is_new = cut.unit.kind != UnitKind::Repeat && dequeued.as_ns() != 0;
        let meta = FrameMeta {
            number: cut.number as u32,
            kind,
            timestamp: ticks(if is_new { dequeued } else { now }),
            latency: if is_new { now.since(dequeued) } else { Duration::ZERO },
            long_term: false,
        };
        self.packetiser.packetise(cut.bytes, &meta, &mut &*self.record, &mut self.batch)?;
        Ok(())
    }

    fn set_parity(&mut self, percent: u8) {
        // As much as would be too much is never asked.
        let _ = self.packetiser.set_parity_percent(percent);
    }

    fn remaining(&self) -> usize {
        self.batch.remaining()
    }

    fn segment_len(&self) -> usize {
        self.batch.segment_len()
    }

    fn next(&mut self, count: usize, _now: Timestamp) -> Result<Option<Burst<'_>>, SealError> {
        let (count, segment_len) = (self.batch.remaining().min(count), self.batch.segment_len());
        let bytes = self.batch.take(count);
        Ok((count > 0).then_some(Burst { bytes, segment_len, count }))
    }
}

/// RTP's clock of 90 kHz, of which only differences count.
fn ticks(at: Timestamp) -> u32 {
    (u128::from(at.as_ns()) * 9 / 100_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_ninety_thousand_ticks_and_the_clock_goes_round() {
        let at = |ms: u64| ticks(Timestamp::from_ns(ms * 1_000_000));
        assert_eq!(at(3_000).wrapping_sub(at(2_000)), 90_000);
        let day = 24 * 3_600_000;
        assert_eq!(at(day + 1).wrapping_sub(at(day)), 90);
    }
}
