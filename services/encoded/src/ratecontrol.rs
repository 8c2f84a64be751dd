//! Rate control for latency: a grain for each picture, from what the picture is and what the last ones cost.
//!
//! Sans-IO: time and sizes are arguments. A picture is planned, encoded and judged:
//!
//! ```text
//!  plan(change, now) ──► Plan{coding, grain} ──► (encode) ──► judge(bytes) ──► Send
//!                              ▲                                  │
//!                              └─────────── Again(Plan) ◄─────────┘  IDR over its limit, or P over three frames' worth
//! ```
//!
//! Two parts make a predicted picture's bits: what *changed* (learned, scaled by the difference to the picture before), and
//! what is *refined*: coding more finely than the reference was coded costs the difference of two IDRs (measured: 48 → 18 in
//! steps of three costs 33 kB a step, and IDRs differ by 11 kB a quantiser). An IDR that no quantiser brings below its limit
//! is softened, and the pictures after it unveil it from the top, as fast as their limit allows.

mod grain;
mod model;

pub use grain::{Grain, Plan};

use model::{Aim, Expected, Model};

use crate::backends::Coding;
use crate::change::Change;

/// Frames' worth that no predicted picture may exceed.
const FRAME_LIMIT: f64 = 3.0;
/// Frames' worth that no IDR may exceed.
const IDR_LIMIT: f64 = 10.0;
/// Frames' worth an IDR aims at: below the limit, so that a second try is rare.
const IDR_AIM: f64 = 8.5;
/// Frames' worth an IDR aims at that goes on with a stream: it is waited for, and the pictures after it make it sharp.
const RESUME_AIM: f64 = 3.5;
/// Frames' worth an IDR aims at that replaces a predicted picture over its limit.
const CUT_AIM: f64 = 2.3;
/// Frames' worth a picture aims at most: below the limit, because a prediction errs.
const AIM_LIMIT: f64 = 2.5;
/// What is added to it while bits stay unused, because only a try shows whether more fits.
const BOLDNESS: f64 = 0.35;
/// Frames' worth a picture aims at while it is made sharp.
const SHARPEN_AIM: f64 = 2.0;
/// Least share of a picture that one predicted picture unveils.
const LEAST_UNVEILED: f64 = 0.04;
/// Frames' worth of debt up to which the unchanged part may be made finer beyond what the bitrate allows.
const REFINE_DEBT: f64 = 2.0;
/// Frames after a new picture in which it is made sharp, whatever it owes.
const SHARPEN_FRAMES: u32 = 10;
/// Debt is paid back, and credit used, over this time.
const REPAY_S: f64 = 0.8;
/// Frames' worth of debt that is paid back; the rest of an IDR's is forgiven, or the seconds after it would be starved.
const MOST_DEBT: f64 = 5.0;
/// Unused bits older than this are forgotten, because spending them would be a burst.
const CREDIT_S: f64 = 0.25;
/// Credit counts as spare above this share of its limit.
const SPARE_SHARE: f64 = 0.2;
/// An IDR in the midst of a sharp stream is seen as a flash when it is coarser.
const VISIBLE: Grain = Grain::from_const(42);
/// Nothing finer is visible on a moving picture.
const FINEST: Grain = Grain::from_const(10);
/// Share of a picture that has to change for it to be a moving one: a caret's blink is no reason to code its whole page anew.
const MOVING: f64 = 0.25;
/// A still picture is left alone once it is coded this finely.
pub const SHARP: Grain = Grain::from_const(22);
/// Frames' worth below which a pass over a still picture was the last one needed.
const SETTLED: f64 = 0.3;
/// Passes over one still picture.
const STILL_PASSES: u32 = 60;
/// Pictures without hope for cheaper refining after one went over its limit.
const DISTRUST: u32 = 120;
/// A picture is the first after nothing when this share of it is new, and the one before had so much less texture.
const FIRST_NOVELTY: f64 = 0.2;
const FIRST_TEXTURE: f64 = 0.1;
/// Tries for one picture; each is coarser, and the last is sent as it is.
const MAX_TRIES: u32 = 6;

/// What to do with an encoded picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// Send it.
    Send,
    /// Throw it away and encode the same picture so.
    Again(Plan),
}

/// What was decided, for status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// IDRs thrown away because they were over their limit.
    pub idrs_again: u64,
    /// Predicted pictures thrown away because they were over theirs.
    pub predicted_again: u64,
    /// Pictures sent over their limit, because nothing coarser exists.
    pub over_limit: u64,
}

/// The rate control of one encoder.
pub struct RateControl {
    bitrate: f64,
    interval_s: f64,
    /// Bits sent above (or, negative, below) what the bitrate allowed.
    debt: f64,
    last_ns: Option<u64>,
    /// Pictures since the last new one.
    since_new: u32,
    /// Passes over the picture since it last changed.
    still: u32,
    /// The last pass over a still picture found little to add.
    settled: bool,
    /// How finely a still picture is coded: coarser than [`SHARP`] once a pass over it went over its limit.
    finest_still: Grain,
    distrust: u32,
    /// Grain of a softened picture, and the share of it that was unveiled since.
    veil: Option<(Grain, f64)>,
    /// The first picture goes on with a stream that another encoder began.
    resumes: bool,
    model: Model,
    trial: Option<Trial>,
    counters: Counters,
}

/// A planned picture that is being encoded.
#[derive(Clone, Copy)]
struct Trial {
    plan: Plan,
    change: Change,
    expected: Expected,
    cut: bool,
    aim: f64,
    tries: u32,
}

impl RateControl {
    /// For `bitrate_bps` bits and `rate` frames a second.
    pub fn new(bitrate_bps: u32, rate: f64) -> Self {
        Self {
            bitrate: f64::from(bitrate_bps.max(1)),
            interval_s: 1.0 / rate.max(1.0),
            debt: 0.0,
            last_ns: None,
            since_new: 0,
            still: 0,
            settled: false,
            finest_still: SHARP,
            distrust: 0,
            veil: None,
            resumes: false,
            model: Model::default(),
            trial: None,
            counters: Counters::default(),
        }
    }

    /// Another bitrate from the next picture on; a debt shrinks with it, so that it is repaid in the same time.
    pub fn set_bitrate(&mut self, bitrate_bps: u32) {
        let bitrate = f64::from(bitrate_bps.max(1));
        self.debt = self.debt.min(self.debt * bitrate / self.bitrate);
        self.bitrate = bitrate;
    }

    /// The first picture goes on with a stream that another encoder began: it shall come soon rather than sharp.
    pub fn resume(&mut self) {
        self.resumes = true;
    }

    /// Another number of frames a second from the next picture on.
    pub fn set_rate(&mut self, rate: f64) {
        self.interval_s = 1.0 / rate.max(1.0);
    }

    /// What was decided so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether another pass over the same, still picture would make it visibly better.
    pub fn wants_refinement(&self) -> bool {
        !(self.is_sharp() && self.settled) && self.still < STILL_PASSES
    }

    fn is_sharp(&self) -> bool {
        self.veil.is_none() && self.model.reference() <= model::as_idr(self.finest_still.value())
    }

    /// How the picture that differs by `change` is encoded. `now_ns` rises.
    pub fn plan(&mut self, change: &Change, idr: bool, now_ns: u64) -> Plan {
        let elapsed = self.pass(now_ns);
        let spare = self.debt <= -self.bitrate * CREDIT_S * SPARE_SHARE && self.distrust == 0;
        self.model.set_spare(spare && change.fraction >= MOVING);
        self.distrust = self.distrust.saturating_sub(1);
        let resumes = if self.model.is_empty() { self.resumes } else { idr };
        let trial = if resumes {
            self.begin(change, RESUME_AIM)
        } else if self.model.is_empty() || is_first(change) {
            self.begin(change, IDR_AIM)
        } else if let Some((grain, sharp)) = self.veil.filter(|_| !self.model.is_cut(change)) {
            self.unveil(change, grain, sharp)
        } else {
            self.predict(change, elapsed)
        };
        self.trial = Some(trial);
        trial.plan
    }

    /// How the picture is encoded that differs from an older reference, coded with `grain`, in `change.fraction` of its blocks: no
    /// finer than that one, because making the rest of it finer is left to the pictures after it.
    pub fn plan_recovery(&mut self, change: &Change, grain: Grain, now_ns: u64) -> Plan {
        self.pass(now_ns);
        let plan = Plan { coding: Coding::Recovered, grain, sharp: 0.0 };
        let expected = Expected::default();
        let aim = CUT_AIM * self.frame_bits();
        self.trial = Some(Trial { plan, change: *change, expected, cut: false, aim, tries: 1 });
        plan
    }

    /// Time passes, in which debt is paid; how much, in seconds.
    fn pass(&mut self, now_ns: u64) -> f64 {
        let elapsed = self.last_ns.map_or(self.interval_s, |last| now_ns.saturating_sub(last) as f64 / 1e9);
        self.last_ns = Some(now_ns);
        self.debt = (self.debt - self.bitrate * elapsed).max(-self.bitrate * CREDIT_S);
        elapsed
    }

    /// An IDR of `aim` frames' worth.
    fn begin(&self, change: &Change, aim: f64) -> Trial {
        let aim = aim * self.frame_bits();
        let plan = Plan::idr(self.model.intra_grain(change, aim));
        Trial { plan, change: *change, expected: Expected::default(), cut: false, aim, tries: 1 }
    }

    /// A predicted picture, or an IDR where none could keep the limit.
    fn predict(&self, change: &Change, elapsed: f64) -> Trial {
        let cut = self.model.is_cut(change);
        let aim = self.aim(elapsed, cut);
        let finest = if change.fraction < MOVING { self.finest_still } else { FINEST };
        match self.model.predicted_grain(change, aim, finest) {
            None if cut => self.begin(change, IDR_AIM),
            grain => {
                let plan = Plan::predicted(grain.unwrap_or(Grain::COARSEST_QP));
                let expected = self.model.expected(plan.grain, change);
                Trial { plan, change: *change, expected, cut, aim: aim.whole, tries: 1 }
            }
        }
    }

    /// A predicted picture in which more of a softened one becomes sharp.
    fn unveil(&self, change: &Change, grain: Grain, sharp: f64) -> Trial {
        let aim = SHARPEN_AIM * self.frame_bits();
        let own = self.model.expected(Grain::COARSEST_QP, change).own;
        let all = self.model.unveiling(grain, change);
        let share = ((aim - own) / all).clamp(LEAST_UNVEILED, (1.0 - sharp).max(LEAST_UNVEILED));
        let plan = Plan { coding: Coding::Predicted, grain, sharp: (sharp + share).min(1.0) };
        let expected = Expected { own, refining: all * share };
        Trial { plan, change: *change, expected, cut: false, aim, tries: 1 }
    }

    /// Takes the size of the picture planned last, and says whether it may be sent.
    pub fn judge(&mut self, bytes: usize) -> Verdict {
        let Some(trial) = self.trial.take() else {
            return Verdict::Send;
        };
        let bits = bytes as f64 * 8.0;
        match trial.plan.coding {
            Coding::Idr => self.model.learn_idr(trial.plan.grain, &trial.change, bits),
            Coding::Predicted => self.model.learn(trial.plan.grain, trial.expected, &trial.change, bits),
            // It tells of two pictures that do not follow each other.
            Coding::Recovered => {}
        }
        let over = bits > self.limit(trial.plan.coding);
        if over && trial.tries < MAX_TRIES && trial.plan != Plan::idr(Grain::COARSEST) {
            let again = self.again(trial, bits);
            self.trial = Some(again);
            return Verdict::Again(again.plan);
        }
        self.counters.over_limit += u64::from(over);
        self.send(trial, bits);
        Verdict::Send
    }

    fn send(&mut self, trial: Trial, bits: f64) {
        self.debt = (self.debt + bits).min(MOST_DEBT * self.frame_bits());
        let new = trial.plan.coding == Coding::Idr || trial.cut;
        self.since_new = if new { 1 } else { self.since_new.saturating_add(1) };
        let is_older = trial.plan.coding == Coding::Recovered;
        self.still =
            if trial.change.fraction > 0.0 || new || is_older { 0 } else { self.still.saturating_add(1) };
        if trial.change.fraction > 0.0 {
            self.finest_still = SHARP;
        }
        self.settled = self.still > 0 && bits < SETTLED * self.frame_bits();
        self.model.sent(trial.plan, &trial.change);
        let soft = trial.plan.grain.block().is_some() && trial.plan.sharp < 1.0;
        self.veil = soft.then_some((trial.plan.grain, trial.plan.sharp));
    }

    /// The same picture once more, as an IDR since the encoder cannot take a predicted one back.
    fn again(&mut self, trial: Trial, bits: f64) -> Trial {
        let tries = trial.tries + 1;
        if trial.plan.coding == Coding::Idr {
            self.counters.idrs_again += 1;
            let aim = trial.aim.min(bits * 0.9);
            let grain = self.model.intra_grain(&trial.change, aim).max(trial.plan.grain.coarser());
            return Trial { plan: Plan::idr(grain), aim, tries, ..trial };
        }
        self.counters.predicted_again += 1;
        self.distrust = DISTRUST;
        if trial.change.fraction == 0.0 {
            // Or the same pass would be tried after the IDR, for ever.
            self.finest_still = self.finest_still.max(trial.plan.grain.coarser()).min(Grain::COARSEST_QP);
        }
        let short = self.begin(&trial.change, CUT_AIM);
        // Where it would be seen to be short, an IDR's own limit is the lesser evil.
        let begun = if short.plan.grain > VISIBLE { self.begin(&trial.change, IDR_AIM) } else { short };
        Trial { tries, ..begun }
    }

    fn frame_bits(&self) -> f64 {
        self.bitrate * self.interval_s
    }

    fn limit(&self, coding: Coding) -> f64 {
        self.frame_bits() * if coding == Coding::Idr { IDR_LIMIT } else { FRAME_LIMIT }
    }

    /// Bits the next predicted picture may have.
    fn aim(&self, elapsed: f64, cut: bool) -> Aim {
        let frame = self.frame_bits();
        let limit = (AIM_LIMIT + BOLDNESS * self.model.patience()) * frame;
        if self.since_new < SHARPEN_FRAMES && !self.is_sharp() && !cut {
            return Aim { change: SHARPEN_AIM * frame, whole: SHARPEN_AIM * frame, limit };
        }
        if cut {
            return Aim { change: limit, whole: limit, limit };
        }
        let time = elapsed.clamp(self.interval_s, 3.0 * self.interval_s);
        // The debt before this picture's own time was taken off, so that a steady stream owes nothing.
        let debt = self.debt + self.bitrate * elapsed.min(time);
        let change = (self.bitrate * time - debt * time / REPAY_S).clamp(0.25 * frame, limit);
        let whole = if debt < REFINE_DEBT * frame { change.max(SHARPEN_AIM * frame) } else { change };
        Aim { change, whole, limit }
    }
}

/// Whether the picture is the first with anything in it: a desktop that appears gets an IDR's room, like any first picture.
fn is_first(change: &Change) -> bool {
    change.novelty > FIRST_NOVELTY && change.texture_before < FIRST_TEXTURE * change.texture
}

#[cfg(test)]
mod tests;
