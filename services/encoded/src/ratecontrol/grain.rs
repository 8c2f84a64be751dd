//! How coarsely a picture is encoded.

use crate::backends::{Coding, Qp};

/// 0 to 51 are H.264's quantisers; beyond, at the coarsest of them, the picture itself is softened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grain(u8);

impl Grain {
    /// The coarsest there is.
    pub const COARSEST: Self = Self(54);
    /// The coarsest that does not soften the picture.
    pub const COARSEST_QP: Self = Self(51);

    /// The grain `number` of a constant.
    pub const fn from_const(number: u8) -> Self {
        assert!(number <= 54);
        Self(number)
    }

    /// The grain `number`, or the coarsest for numbers beyond it.
    pub fn new(number: u8) -> Self {
        Self(number).min(Self::COARSEST)
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Its number, for the model.
    pub fn value(self) -> f64 {
        f64::from(self.0)
    }

    /// The encoder's quantiser.
    pub fn qp(self) -> Qp {
        Qp::new(self.0)
    }

    /// Side of the blocks that are flattened, in pixels of luma.
    pub const fn block(self) -> Option<usize> {
        match self.0 {
            0..=51 => None,
            52 => Some(2),
            53 => Some(4),
            _ => Some(8),
        }
    }

    /// The next try after one that was too large.
    pub fn coarser(self) -> Self {
        Self::new(self.0 + if self.0 < 49 { 3 } else { 1 })
    }
}

/// How to encode a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// IDR or predicted.
    pub coding: Coding,
    /// How coarsely.
    pub grain: Grain,
    /// Share of the picture, from the top, that is not softened whatever the grain.
    pub sharp: f64,
}

impl Plan {
    /// An IDR.
    pub fn idr(grain: Grain) -> Self {
        Self { coding: Coding::Idr, grain, sharp: 0.0 }
    }

    /// A predicted picture.
    pub fn predicted(grain: Grain) -> Self {
        Self { coding: Coding::Predicted, grain, sharp: 0.0 }
    }
}
