//! What pictures cost: learned from those encoded, used for the next.

use super::Plan;
use crate::backends::{Coding, Qp};
use crate::change::Change;

/// Bits of an IDR by quantiser, as log2 against quantiser 28. Measured on dense text with a noise patch, 1280×720.
const INTRA_CURVE: [(f64, f64); 6] = [(10.0, 0.95), (20.0, 0.45), (28.0, 0.0), (36.0, -0.54), (44.0, -1.55), (51.0, -2.57)];
/// Bits of an IDR at quantiser 28 per unit of texture, before one was encoded. Measured as above.
const BITS_PER_TEXTURE: f64 = 0.05;
/// Quantiser steps in which a change's bits halve: the likely number, and those of a cautious guess for finer and for coarser.
const HALVING: f64 = 9.0;
const HALVING_FINER: f64 = 6.0;
const HALVING_COARSER: f64 = 14.0;
/// Share of an IDR that an unknown change is taken to cost: panning noise and scrolling text cost 6 %.
const UNKNOWN_SHARE: f64 = 0.15;
/// Refining costs up to half more than the difference of two IDRs (measured, at fine quantisers).
const REFINE_COST: f64 = 1.4;
/// Weight of the newest picture in a learned mean.
const WEIGHT: f64 = 0.15;
/// Weight of one that costs more than twice the mean: a burst is believed at once.
const BURST_WEIGHT: f64 = 0.6;
/// What is left of a peak after each picture.
const PEAK_DECAY: f64 = 0.93;
/// A picture is taken for a new one when this share of it differs, and by so many times the usual difference.
const CUT_FRACTION: f64 = 0.4;
const CUT_RATIO: f64 = 4.0;
/// Steps by which one picture may be finer than the last.
const FINER_STEP: u8 = 6;
/// Bits of a picture in which nothing changed.
const SKIPPED_BITS: f64 = 1000.0;

/// What was learned of a stream.
pub struct Model {
    /// Bits an IDR has at quantiser 28 per unit of texture.
    intra: f64,
    /// Mean and peak bits of a change of the usual difference, at quantiser `at`.
    change: Option<Cost>,
    /// Cost of refining against the difference of two IDRs.
    refine: f64,
    /// Quantiser that the reference picture is mostly coded with; `None` before the first.
    reference: Option<f64>,
    last: Qp,
}

#[derive(Clone, Copy)]
struct Cost {
    mean: f64,
    peak: f64,
    at: f64,
    difference: f64,
}

impl Default for Model {
    fn default() -> Self {
        Self { intra: BITS_PER_TEXTURE, change: None, refine: REFINE_COST, reference: None, last: Qp::COARSEST }
    }
}

impl Model {
    /// Quantiser that the reference picture is mostly coded with; the coarsest before there is one.
    pub fn reference(&self) -> f64 {
        self.reference.unwrap_or(51.0)
    }

    /// Whether no picture was encoded.
    pub fn is_empty(&self) -> bool {
        self.reference.is_none()
    }

    /// Whether the picture is a new one rather than the last one moved.
    pub fn is_cut(&self, change: &Change) -> bool {
        let usual = self.change.map_or(0.0, |cost| cost.difference);
        change.fraction > CUT_FRACTION && change.difference > usual * CUT_RATIO
    }

    /// The finest quantiser whose IDR has `aim` bits.
    pub fn intra_qp(&self, change: &Change, aim: f64) -> Qp {
        finest_from(10, |qp| self.intra(qp, change) <= aim)
    }

    /// The finest quantiser, not below `finest`, whose picture likely has `aim` bits, and surely not `limit`.
    pub fn predicted_qp(&self, change: &Change, aim: f64, limit: f64, finest: u8) -> Qp {
        let from = finest.max(self.last.number().saturating_sub(FINER_STEP));
        finest_from(from, |qp| self.likely(qp, change) <= aim && self.at_worst(qp, change) <= limit)
    }

    fn intra(&self, qp: f64, change: &Change) -> f64 {
        SKIPPED_BITS + self.intra * change.texture * curve(qp).exp2()
    }

    fn refining(&self, qp: f64, change: &Change) -> f64 {
        let finer = self.intra(qp, change) - self.intra(self.reference(), change);
        self.refine * finer.max(0.0)
    }

    fn likely(&self, qp: f64, change: &Change) -> f64 {
        let bits = match self.change {
            _ if change.fraction == 0.0 => SKIPPED_BITS,
            Some(cost) => cost.mean * scale(cost, change) * ((cost.at - qp) / HALVING).exp2(),
            None => UNKNOWN_SHARE * change.fraction * self.intra(qp, change),
        };
        self.with_cut(bits, qp, change) + self.refining(qp, change)
    }

    fn at_worst(&self, qp: f64, change: &Change) -> f64 {
        let Some(cost) = self.change.filter(|_| change.fraction > 0.0) else { return self.likely(qp, change) };
        let halving = if qp < cost.at { HALVING_FINER } else { HALVING_COARSER };
        let bits = cost.peak * scale(cost, change) * ((cost.at - qp) / halving).exp2();
        self.with_cut(bits, qp, change) + self.refining(qp, change)
    }

    fn with_cut(&self, bits: f64, qp: f64, change: &Change) -> f64 {
        if self.is_cut(change) { bits.max(self.intra(qp, change) * change.fraction) } else { bits }
    }

    /// Learns from a picture's size, also from one that is thrown away.
    pub fn learn(&mut self, plan: Plan, change: &Change, bits: f64) {
        let qp = f64::from(plan.qp.number());
        if plan.coding == Coding::Idr {
            self.intra *= bits / self.intra(qp, change);
            return;
        }
        let (refining, likely) = (self.refining(qp, change), self.likely(qp, change));
        if refining > likely / 2.0 {
            let ratio = (bits / likely).clamp(0.5, 2.0);
            self.refine = (self.refine * ratio.powf(0.4)).clamp(0.3, 3.0);
        }
        if change.fraction > 0.0 {
            let own = (bits - refining).max(bits * 0.1);
            self.learn_change(qp, change, own);
        }
    }

    fn learn_change(&mut self, qp: f64, change: &Change, bits: f64) {
        let Some(cost) = self.change else {
            self.change = Some(Cost { mean: bits, peak: bits, at: qp, difference: change.difference });
            return;
        };
        let here = ((cost.at - qp) / HALVING).exp2();
        let bits = bits / scale(cost, change);
        let (mean, peak) = (cost.mean * here, cost.peak * here);
        let weight = if bits > 2.0 * mean { BURST_WEIGHT } else { WEIGHT };
        self.change = Some(Cost {
            mean: mean + (bits - mean) * weight,
            peak: bits.max(peak * PEAK_DECAY),
            at: qp,
            difference: cost.difference + (change.difference - cost.difference) * WEIGHT,
        });
    }

    /// The picture was sent: it is the next one's reference.
    pub fn sent(&mut self, plan: Plan, change: &Change) {
        let qp = f64::from(plan.qp.number());
        let reference = self.reference();
        self.last = plan.qp;
        self.reference = Some(if plan.coding == Coding::Idr || qp <= reference {
            qp
        } else {
            reference + (qp - reference) * change.fraction
        });
    }
}

fn finest_from(from: u8, fits: impl Fn(f64) -> bool) -> Qp {
    (from..51).map(f64::from).find(|&qp| fits(qp)).map_or(Qp::COARSEST, Qp::nearest)
}

/// How much larger than usual a change is.
fn scale(cost: Cost, change: &Change) -> f64 {
    (change.difference / cost.difference.max(1.0)).clamp(0.1, 10.0)
}

/// [`INTRA_CURVE`] between and beyond its points.
fn curve(qp: f64) -> f64 {
    let between = INTRA_CURVE.windows(2).find_map(|pair| match pair {
        [(a, low), (b, high)] if qp <= *b => Some(low + (high - low) * (qp - a) / (b - a)),
        _ => None,
    });
    between.unwrap_or(-2.57)
}
