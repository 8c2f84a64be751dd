//! One frame on its way: cut, paced, sent.

use lumen_core::{Pace, Pacer, Timestamp, seal::SealError};
use lumen_ipc::encode::AccessUnit;

use super::{
    cutter::{Cut, CutError, Cutter},
    datagrams::TrafficClass,
    figures::{Figures, Passage},
    outlet::{Destination, Outlet},
    pacing::Pacing,
};

/// What became of a flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is on its way.
    Idle,
    /// The pacer wants the rest of this AccessUnit to wait.
    Wait {
        /// Which one.
        unit: AccessUnit,
        /// Until then.
        until: Timestamp,
        /// When the last datagram may leave, if the next picture is not to wait for that.
        end: Option<Timestamp>,
    },
    /// All datagrams of this AccessUnit are with the kernel.
    Landed(AccessUnit),
}

/// Sends frames one after another.
#[derive(Debug)]
pub struct Flight {
    cutter: Box<dyn Cutter>,
    pacer: Pacer,
    pacing: Pacing,
    class: TrafficClass,
    aboard: Option<(AccessUnit, Passage)>,
}

impl Flight {
    /// Frames cut by `cutter` from pictures of a bitrate.
    pub fn new(
        cutter: Box<dyn Cutter>,
        bitrate_bps: u32,
        pacing: Pacing,
        max_segments: usize,
        now: Timestamp,
    ) -> Self {
        let pacer = Pacer::new(pacing.config(bitrate_bps, max_segments), now);
        Self { cutter, pacer, pacing, class: TrafficClass::BEST_EFFORT, aboard: None }
    }

    /// The same, with each datagram marked so.
    pub fn marked(self, class: TrafficClass) -> Self {
        Self { class, ..self }
    }

    /// Paces for another bitrate.
    pub fn set_bitrate(&mut self, bitrate_bps: u32, now: Timestamp) {
        self.pacer.set_rate(self.pacing.rate(bitrate_bps), now);
    }

    /// So much parity, in percent, from the next frame on.
    pub fn set_parity(&mut self, percent: u8) {
        self.cutter.set_parity(percent);
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
            let (left, len) = (self.cutter.remaining(), self.cutter.segment_len());
            let count = match self.pacer.poll(left, len, now) {
                Pace::Send(count) => count,
                Pace::Wait(until) => {
                    let end = self.pacing.is_spread().then(|| self.pacer.end(left, len, now));
                    return Ok(Progress::Wait { unit: *unit, until, end });
                }
                Pace::Idle => break,
            };
            if let Some(burst) = self.cutter.next(count, now)? {
                outlet.send(&burst, destination, self.class, figures);
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
