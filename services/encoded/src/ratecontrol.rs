//! Rate control for latency: a quantiser for each picture, from what the picture is and what the last ones cost.
//!
//! Sans-IO: time and sizes are arguments. A picture is planned, encoded and judged:
//!
//! ```text
//!  plan(change, now) ──► Plan{coding, qp} ──► (encode) ──► judge(bytes) ──► Send
//!                             ▲                               │
//!                             └───────── Again(Plan) ◄────────┘   IDR over its limit, or P over three frames' worth
//! ```
//!
//! Two parts make a predicted picture's bits: what *changed* (learned, scaled by the difference to the picture before), and
//! what is *refined*: coding at a finer quantiser than the reference was coded with costs the difference of two IDRs
//! (measured: 48 → 18 in steps of three costs 33 kB a step, and IDRs differ by 11 kB a quantiser).

use crate::backends::{Coding, Qp};
use crate::change::Change;

mod model;

use model::Model;

/// Frames' worth that no predicted picture may exceed.
const FRAME_LIMIT: f64 = 3.0;
/// Frames' worth that no IDR may exceed.
const IDR_LIMIT: f64 = 10.0;
/// Frames' worth an IDR aims at: below the limit, so that a second try is rare.
const IDR_AIM: f64 = 7.5;
/// Frames' worth an IDR aims at that replaces a predicted picture over its limit.
const CUT_AIM: f64 = 2.3;
/// Frames' worth a picture aims at most: below the limit, because a prediction errs.
const AIM_LIMIT: f64 = 2.2;
/// Frames' worth a picture aims at while it is made sharp.
const SHARPEN_AIM: f64 = 1.8;
/// Frames after a new picture in which it is made sharp, whatever it owes.
const SHARPEN_FRAMES: u32 = 10;
/// Debt is paid back, and credit used, over this time.
const REPAY_S: f64 = 0.8;
/// Unused bits older than this are forgotten, because spending them would be a burst.
const CREDIT_S: f64 = 0.15;
/// Nothing finer is visible on a moving picture.
const FINEST: u8 = 14;
/// A still picture is left alone once it is coded this finely.
pub const SHARP: u8 = 22;
/// Passes over one still picture.
const STILL_PASSES: u32 = 60;
/// Tries for one picture; each is coarser, and the coarsest is sent as it is.
const MAX_TRIES: u32 = 4;

/// How to encode a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// IDR or predicted.
    pub coding: Coding,
    /// With this quantiser.
    pub qp: Qp,
}

/// What to do with an encoded picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    since_new: u32,
    still: u32,
    model: Model,
    trial: Option<Trial>,
    counters: Counters,
}

/// A planned picture that is being encoded.
#[derive(Clone, Copy)]
struct Trial {
    plan: Plan,
    change: Change,
    cut: bool,
    limit: f64,
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
            model: Model::default(),
            trial: None,
            counters: Counters::default(),
        }
    }

    /// Another bitrate from the next picture on; what is owed shrinks or grows with it.
    pub fn set_bitrate(&mut self, bitrate_bps: u32) {
        let bitrate = f64::from(bitrate_bps.max(1));
        self.debt = self.debt.min(self.debt * bitrate / self.bitrate);
        self.bitrate = bitrate;
    }

    /// What was decided so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether another pass over the same, still picture would make it visibly better.
    pub fn wants_refinement(&self) -> bool {
        self.model.reference() > f64::from(SHARP) + 0.5 && self.still < STILL_PASSES
    }

    /// How the picture that differs by `change` is encoded. `now_ns` rises.
    pub fn plan(&mut self, change: &Change, idr: bool, now_ns: u64) -> Plan {
        let elapsed = self.last_ns.map_or(self.interval_s, |last| now_ns.saturating_sub(last) as f64 / 1e9);
        self.last_ns = Some(now_ns);
        self.debt = (self.debt - self.bitrate * elapsed).max(-self.bitrate * CREDIT_S);
        let frame = self.frame_bits();
        let cut = self.model.is_cut(change);
        let (coding, qp, limit, aim) = if idr || self.model.is_empty() {
            let aim = IDR_AIM * frame;
            (Coding::Idr, self.model.intra_qp(change, aim), IDR_LIMIT * frame, aim)
        } else {
            let aim = self.aim(elapsed, cut);
            let finest = if change.fraction == 0.0 { SHARP } else { FINEST };
            (Coding::Predicted, self.model.predicted_qp(change, aim, AIM_LIMIT * frame, finest), FRAME_LIMIT * frame, aim)
        };
        let trial = Trial { plan: Plan { coding, qp }, change: *change, cut, limit, aim, tries: 1 };
        self.trial = Some(trial);
        trial.plan
    }

    /// Takes the size of the picture planned last, and says whether it may be sent.
    pub fn judge(&mut self, bytes: usize) -> Verdict {
        let Some(mut trial) = self.trial.take() else { return Verdict::Send };
        let bits = bytes as f64 * 8.0;
        self.model.learn(trial.plan, &trial.change, bits);
        if bits > trial.limit && trial.tries < MAX_TRIES && trial.plan != coarsest() {
            trial = self.again(trial, bits);
            self.trial = Some(trial);
            return Verdict::Again(trial.plan);
        }
        self.counters.over_limit += u64::from(bits > trial.limit);
        self.debt += bits;
        let new = trial.plan.coding == Coding::Idr || trial.cut;
        self.since_new = if new { 1 } else { self.since_new.saturating_add(1) };
        self.still = if trial.change.fraction > 0.0 || new { 0 } else { self.still.saturating_add(1) };
        self.model.sent(trial.plan, &trial.change);
        Verdict::Send
    }

    /// The same picture once more, as an IDR since the encoder cannot take a predicted one back.
    fn again(&mut self, mut trial: Trial, bits: f64) -> Trial {
        let coarser = trial.plan.qp.number().saturating_add(3);
        if trial.plan.coding == Coding::Predicted {
            self.counters.predicted_again += 1;
            trial.aim = CUT_AIM * self.frame_bits();
        } else {
            self.counters.idrs_again += 1;
            trial.aim = trial.aim.min(bits * 0.9);
        }
        let qp = self.model.intra_qp(&trial.change, trial.aim).number();
        let qp = if trial.plan.coding == Coding::Idr { qp.max(coarser) } else { qp };
        trial.plan = Plan { coding: Coding::Idr, qp: Qp::nearest(f64::from(qp)) };
        trial.tries += 1;
        trial
    }

    fn frame_bits(&self) -> f64 {
        self.bitrate * self.interval_s
    }

    /// Bits the next predicted picture should have.
    fn aim(&self, elapsed: f64, cut: bool) -> f64 {
        let frame = self.frame_bits();
        if self.since_new < SHARPEN_FRAMES && self.model.reference() > f64::from(SHARP) && !cut {
            return SHARPEN_AIM * frame;
        }
        let time = elapsed.clamp(self.interval_s, 3.0 * self.interval_s);
        // A debt before this picture's own time was taken off, so that a steady stream owes nothing.
        let debt = self.debt + self.bitrate * elapsed.min(time);
        (self.bitrate * time - debt * time / REPAY_S).clamp(0.25 * frame, AIM_LIMIT * frame)
    }
}

fn coarsest() -> Plan {
    Plan { coding: Coding::Idr, qp: Qp::COARSEST }
}
