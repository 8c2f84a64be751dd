//! What pictures cost: learned from those encoded, used for the next.

use super::{Grain, Plan};
use crate::backends::Coding;
use crate::change::Change;

/// Bits of an IDR by grain, as log2 against quantiser 28. Measured on dense text with a noise patch, 1280×720.
const INTRA_CURVE: [(f64, f64); 9] = [
    (10.0, 1.0),
    (20.0, 0.45),
    (28.0, 0.0),
    (36.0, -0.54),
    (44.0, -1.54),
    (51.0, -2.55),
    (52.0, -3.1),
    (53.0, -4.68),
    (54.0, -5.82),
];
/// An IDR is no finer than this: the pictures after it may be, and the first one shall come soon.
const FINEST_IDR: u8 = 20;
/// Bits of an IDR at quantiser 28 per unit of texture, before one was encoded. Measured as above.
const BITS_PER_TEXTURE: f64 = 0.08;
/// Quantiser steps in which a change's bits halve: the likely number, and those of a cautious guess for finer and for coarser.
const HALVING: f64 = 9.0;
const HALVING_FINER: f64 = 6.0;
const HALVING_COARSER: f64 = 14.0;
/// Share of an IDR that an unknown change is taken to cost: panning noise and scrolling text cost 6 %.
const UNKNOWN_SHARE: f64 = 0.06;
/// And at worst, of the square root of the changed share's: measured with noise that nothing predicts.
const UNKNOWN_AT_WORST: f64 = 0.6;
/// A change of unknown cost is not coded more finely than this, unless the picture before it was.
const UNKNOWN_FINEST: u8 = 26;
/// Refining costs somewhat more than the difference of two IDRs (measured).
const REFINE_COST: f64 = 1.2;
/// A predicted picture is as good as an IDR this many quantisers coarser, because openh264 rounds its residuals down more.
const DEAD_ZONE: f64 = 2.5;
/// What refining may cost at worst against what is likely.
const REFINE_AT_WORST: f64 = 1.35;
/// Hope's share that is left after each picture that left bits unused, and its end.
const HOPE_STEP: f64 = 0.97;
const LEAST_HOPE: f64 = 0.45;
/// Weight of the newest picture in a learned mean.
const WEIGHT: f64 = 0.15;
/// Weight of one that costs more than twice the mean: a burst is believed at once.
const BURST_WEIGHT: f64 = 0.6;
/// What is left of a peak after each picture.
const PEAK_DECAY: f64 = 0.93;
/// A picture is taken for a new one when this share of it is new, above so many times the usual share.
const CUT_NOVELTY: f64 = 0.15;
const CUT_RATIO: f64 = 2.0;
/// A change that differs by so many times more than the usual one is of another kind: a caret tells nothing of a page that scrolls.
const FAMILIAR: f64 = 10.0;
/// Steps by which one picture may be finer than the last.
const FINER_STEP: u8 = 8;
/// An IDR's bits are learned from when that many times more are expected.
const TELLING: f64 = 8.0;
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
    /// Sinks from 1 while bits are spare and refining seems too dear, because only trying shows what it costs.
    hope: f64,
    /// Share of a picture that is usually new.
    novelty: f64,
    /// Quantiser that the reference picture is mostly coded with; `None` before the first.
    reference: Option<f64>,
    last: Grain,
}

/// Bits that a predicted picture likely has.
#[derive(Debug, Clone, Copy, Default)]
pub struct Expected {
    /// For what changed.
    pub own: f64,
    /// For making the rest finer.
    pub refining: f64,
}

/// Bits that a predicted picture may have.
#[derive(Clone, Copy)]
pub struct Aim {
    /// Likely, for what changed: what the bitrate allows.
    pub change: f64,
    /// Likely, with the unchanged part made finer, which happens once.
    pub whole: f64,
    /// At worst.
    pub limit: f64,
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
        Self {
            intra: BITS_PER_TEXTURE,
            change: None,
            refine: REFINE_COST,
            hope: 1.0,
            novelty: 0.0,
            reference: None,
            last: Grain::COARSEST,
        }
    }
}

impl Model {
    /// Grain that the reference picture is mostly coded with; the coarsest before there is one.
    pub fn reference(&self) -> f64 {
        self.reference.unwrap_or(51.0)
    }

    /// Whether no picture was encoded.
    pub fn is_empty(&self) -> bool {
        self.reference.is_none()
    }

    /// Whether the picture is a new one rather than the last one moved.
    pub fn is_cut(&self, change: &Change) -> bool {
        change.novelty > CUT_NOVELTY + CUT_RATIO * self.novelty
    }

    /// The finest quantiser whose IDR has `aim` bits.
    pub fn intra_grain(&self, change: &Change, aim: f64) -> Grain {
        (FINEST_IDR..=Grain::COARSEST.number())
            .map(Grain::new)
            .find(|grain| self.intra(grain.value(), change) <= aim)
            .unwrap_or(Grain::COARSEST)
    }

    /// The finest grain, not below `finest`, whose change likely has `aim.change` bits, and the picture `aim.whole`.
    /// `None` if even the coarsest quantiser has more.
    pub fn predicted_grain(&self, change: &Change, aim: Aim, finest: Grain) -> Option<Grain> {
        let last = self.last.number();
        // The first movement of its kind is not also made finer than it must be.
        let unknown = self.known(change).is_none() && change.fraction > 0.0;
        let floor = if unknown { last.min(UNKNOWN_FINEST) } else { 0 };
        let from = finest.number().max(last.saturating_sub(FINER_STEP)).max(floor);
        (from..=Grain::COARSEST_QP.number()).map(Grain::new).find(|&grain| {
            let Expected { own, refining } = self.expected(grain, change);
            own <= aim.change
                && own + refining <= aim.whole
                && self.at_worst(grain.value(), change) <= aim.limit
        })
    }

    /// What a predicted picture likely has.
    pub fn expected(&self, grain: Grain, change: &Change) -> Expected {
        Expected { own: self.own(grain.value(), change), refining: self.refining(grain.value(), change) }
    }

    /// Bits for making a picture that was softened with `grain` as sharp as the coarsest quantiser.
    pub fn unveiling(&self, grain: Grain, change: &Change) -> f64 {
        let finer = self.intra(Grain::COARSEST_QP.value(), change) - self.intra(grain.value(), change);
        self.refine * finer.max(1.0)
    }

    fn intra(&self, qp: f64, change: &Change) -> f64 {
        SKIPPED_BITS + self.intra * change.texture * curve(qp).exp2()
    }

    /// Bits for making the unchanged part finer.
    fn refining(&self, qp: f64, change: &Change) -> f64 {
        let finer = self.intra(as_idr(qp), change) - self.intra(self.reference(), change);
        self.refine * self.hope * finer.max(0.0)
    }

    /// What was learned of changes like this one.
    fn known(&self, change: &Change) -> Option<Cost> {
        self.change.filter(|cost| change.difference <= FAMILIAR * cost.difference.max(1.0))
    }

    /// Bits for what changed.
    fn own(&self, qp: f64, change: &Change) -> f64 {
        let bits = match self.known(change) {
            _ if change.fraction == 0.0 => SKIPPED_BITS,
            Some(cost) => cost.mean * scale(cost, change) * halved(cost.at, qp, HALVING),
            None => (UNKNOWN_SHARE * change.fraction + change.novelty) * self.intra(qp, change),
        };
        self.with_cut(bits, qp, change)
    }

    fn at_worst(&self, qp: f64, change: &Change) -> f64 {
        let own = match self.known(change) {
            _ if change.fraction == 0.0 => SKIPPED_BITS,
            Some(cost) => {
                let halving = if qp < cost.at { HALVING_FINER } else { HALVING_COARSER };
                let bits = cost.peak * scale(cost, change) * halved(cost.at, qp, halving);
                self.with_cut(bits, qp, change)
            }
            // What moves may be the part that costs most, like noise that nothing predicts.
            None => UNKNOWN_AT_WORST * change.fraction.sqrt() * self.intra(qp, change),
        };
        // Both at their worst at once was never seen.
        let refining = self.refining(qp, change);
        (own + refining).max(self.own(qp, change) + refining * REFINE_AT_WORST)
    }

    fn with_cut(&self, bits: f64, qp: f64, change: &Change) -> f64 {
        if self.is_cut(change) { bits.max(self.intra(qp, change) * change.novelty) } else { bits }
    }

    /// Bits are spare for one more picture, or are not.
    pub fn set_spare(&mut self, spare: bool) {
        self.hope = if spare { (self.hope * HOPE_STEP).max(LEAST_HOPE) } else { 1.0 };
    }

    /// How much bits were left unused lately: 0 not at all, 1 for long.
    pub fn patience(&self) -> f64 {
        (1.0 - self.hope) / (1.0 - LEAST_HOPE)
    }

    /// Learns from an IDR's size, also of one that is thrown away.
    pub fn learn_idr(&mut self, grain: Grain, change: &Change, bits: f64) {
        let expected = self.intra(grain.value(), change);
        // An empty picture tells nothing of full ones.
        if expected > TELLING * SKIPPED_BITS {
            self.intra *= (bits / expected).clamp(0.2, 5.0);
        }
    }

    /// Learns from a predicted picture's size, also of one that is thrown away.
    pub fn learn(&mut self, grain: Grain, expected: Expected, change: &Change, bits: f64) {
        // Neither part can be seen alone: each is blamed by its expected share. An outlier shall not rule the next
        // pictures; the first of its kind is all there is.
        let Expected { own, refining } = expected;
        let share = refining / (own + refining);
        let trust = if self.known(change).is_some() { 2.5 } else { 100.0 };
        let ratio = (bits / (own + refining)).clamp(1.0 / trust, trust);
        self.refine = (self.refine * ratio.powf(0.5 * share)).clamp(0.4, 2.5);
        if self.is_cut(change) {
            // Mostly intra blocks: it tells of IDRs, not of movement.
            self.intra *= ratio.clamp(0.5, 2.0);
        } else if change.fraction > 0.0 {
            self.learn_change(grain.value().min(51.0), change, (own + refining) * ratio * (1.0 - share));
        }
    }

    fn learn_change(&mut self, qp: f64, change: &Change, bits: f64) {
        let Some(cost) = self.known(change) else {
            self.change = Some(Cost { mean: bits, peak: bits, at: qp, difference: change.difference });
            return;
        };
        let here = halved(cost.at, qp, HALVING);
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
        let (grain, reference) = (plan.grain.value().min(51.0), self.reference());
        self.last = plan.grain.min(Grain::COARSEST_QP);
        if plan.coding == Coding::Idr || self.is_cut(change) {
            // What was learned at finer grains is too hopeful for a picture that is coarse again.
            self.refine = self.refine.max(REFINE_COST);
        }
        if !self.is_empty() && change.fraction > 0.0 {
            // Of new pages too: where one follows the other, they are no longer given a new page's bits.
            self.novelty += (change.novelty - self.novelty) * WEIGHT;
        }
        self.reference = Some(match plan.coding {
            Coding::Idr => grain,
            // All that was made finer since its reference is as coarse again.
            Coding::Recovered => as_idr(grain).max(reference),
            Coding::Predicted if as_idr(grain) <= reference => as_idr(grain),
            Coding::Predicted => reference + (as_idr(grain) - reference) * change.novelty,
        });
    }
}

/// The factor that a change's bits take on from grain `from` to grain `to`.
fn halved(from: f64, to: f64, halving: f64) -> f64 {
    ((from - to) / halving).exp2()
}

/// The grain of the IDR that looks like a predicted picture at `grain`.
pub fn as_idr(grain: f64) -> f64 {
    (grain + DEAD_ZONE).min(51.0)
}

/// How much larger than usual a change is.
fn scale(cost: Cost, change: &Change) -> f64 {
    (change.difference / cost.difference.max(1.0)).clamp(1.0 / FAMILIAR, FAMILIAR)
}

/// [`INTRA_CURVE`] between and beyond its points.
fn curve(qp: f64) -> f64 {
    let between = INTRA_CURVE.windows(2).find_map(|pair| match pair {
        [(a, low), (b, high)] if qp <= *b => Some(low + (high - low) * (qp - a) / (b - a)),
        _ => None,
    });
    between.unwrap_or(-5.82)
}
