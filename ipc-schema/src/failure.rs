//! What a stage says when it cannot do what it was asked.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Who has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureClass {
    /// The request itself can never work (a mode of 0×0).
    Request,
    /// Something is missing or wrong on this machine (no compositor, a device without access).
    Environment,
    /// It may work in a moment (a compositor that is starting, a stage that restarts).
    Temporary,
    /// A fault of lumen.
    Internal,
    /// The desktop is locked: it passes when a person unlocks it.
    Locked,
}

/// A failure with its three sentences: what happened and why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Who has to act.
    pub class: FailureClass,
    /// What happened and why.
    pub text: String,
    /// What to do next.
    pub advice: String,
}

impl Failure {
    /// Longest text or advice in bytes; longer ones are cut at a character boundary.
    pub const MAX_TEXT: usize = 1000;

    /// Makes a failure; over-long texts are cut.
    pub fn new(class: FailureClass, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { class, text: cut(text.into()), advice: cut(advice.into()) }
    }
}

fn cut(mut text: String) -> String {
    let mut end = Failure::MAX_TEXT.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.text, self.advice)
    }
}

impl std::error::Error for Failure {}
