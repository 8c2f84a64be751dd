//! One frame on its way: cut, paced, sent.

use lumen_core::{Pace, Pacer, PacerConfig, Timestamp, seal::SealError};
use lumen_ipc::encode::AccessUnit;

use super::{
    cutter::{Cut, CutError, Cutter},
    figures::{Figures, Passage},
    outlet::{Destination, Outlet},
};

/// Bytes that leave at once: a frame of 10 Mbit/s at 60 fps is less than half of it, so only large ones are paced.
const BURST_BYTES: usize = 65_000;

/// How much faster than the asked bitrate a large frame leaves: an IDR of ten frames' worth then takes little more
/// than one frame's time, and a switch's queue behind a slower link is not overrun.
const HASTE: u64 = 8;

/// Slowest pace in bits a second, because below it pacing costs more latency than it saves queueing.
const SLOWEST_BPS: u64 = 50_000_000;

/// What became of a flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is on its way.
    Idle,
    /// The pacer wants the rest to wait until then.
    Wait(Timestamp),
    /// All datagrams of this AccessUnit are with the kernel.
    Landed(AccessUnit),
}

/// Sends frames one after another.
#[derive(Debug)]
pub struct Flight {
    cutter: Box<dyn Cutter>,
    pacer: Pacer,
    parity_percent: u16,
    aboard: Option<(AccessUnit, Passage)>,
}

impl Flight {
    /// Frames cut by `cutter`, paced for a bitrate to which parity comes.
    pub fn new(
        cutter: Box<dyn Cutter>,
        bitrate_bps: u32,
        parity_percent: u16,
        max_segments: usize,
        now: Timestamp,
    ) -> Self {
        let pacing = PacerConfig {
            rate_bps: pace(bitrate_bps, parity_percent),
            burst_bytes: BURST_BYTES,
            max_segments,
        };
        Self { cutter, pacer: Pacer::new(pacing, now), parity_percent, aboard: None }
    }

    /// Paces for another bitrate.
    pub fn set_bitrate(&mut self, bitrate_bps: u32, now: Timestamp) {
        self.pacer.set_rate(pace(bitrate_bps, self.parity_percent), now);
    }

    /// Whether a frame is on its way.
    pub fn is_busy(&self) -> bool {
        self.aboard.is_some()
    }

    /// Cuts a frame; the one before must have landed.
    ///
    /// # Errors
    /// [`CutError`]; nothing is then on its way.
    pub fn load(&mut self, cut: &Cut<'_>, clock: impl Fn() -> u64) -> Result<(), CutError> {
        self.cutter.load(cut, Timestamp::from_ns(clock()))?;
        let passage = Passage { received_ns: cut.received_ns, packetised_ns: clock(), ..Passage::default() };
        self.aboard = Some((cut.unit, passage));
        Ok(())
    }

    /// Sends what may leave now.
    ///
    /// # Errors
    /// [`SealError`]: the channel's numbers are used up, the session must end.
    pub fn advance(
        &mut self,
        outlet: &Outlet,
        destination: Destination,
        figures: &Figures,
        clock: impl Fn() -> u64,
    ) -> Result<Progress, SealError> {
        let Some((unit, passage)) = &mut self.aboard else {
            return Ok(Progress::Idle);
        };
        while self.cutter.remaining() > 0 {
            let now = Timestamp::from_ns(clock());
            let count = match self.pacer.poll(self.cutter.remaining(), self.cutter.segment_len(), now) {
                Pace::Send(count) => count,
                Pace::Wait(until) => return Ok(Progress::Wait(until)),
                Pace::Idle => break,
            };
            if let Some(burst) = self.cutter.next(count, now)? {
                outlet.send(&burst, destination, figures);
            }
            if passage.first_sent_ns == 0 {
                passage.first_sent_ns = clock();
            }
        }
        passage.last_sent_ns = clock();
        figures.sent(unit, passage);
        let landed = *unit;
        self.aboard = None;
        Ok(Progress::Landed(landed))
    }
}

fn pace(bitrate_bps: u32, parity_percent: u16) -> u64 {
    let with_parity = u64::from(bitrate_bps) * (100 + u64::from(parity_percent)) / 100;
    (with_parity * HASTE).max(SLOWEST_BPS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idr_of_ten_frames_leaves_within_one_and_a_half() {
        let (bitrate, frame_bits) = (10_000_000, 10_000_000 / 60);
        let idr_bits = 10 * frame_bits * 120 / 100 - BURST_BYTES as u64 * 8;
        let frames = idr_bits as f64 / pace(bitrate, 20) as f64 * 60.0;
        assert!(frames < 1.5, "{frames}");
    }
}
