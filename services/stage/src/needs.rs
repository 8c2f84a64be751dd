//! What a stage needs of its machine, told before anything goes wrong: `lumen-STAGE --needs`, which `lumenctl doctor` asks.

use serde::{Deserialize, Serialize};

/// How well a need is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// All is there.
    Met,
    /// It works, but something would be better with it.
    Worse,
    /// Nothing is streamed without it.
    Missing,
}

/// One need, as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// Of what: one or two words.
    pub of: String,
    /// How well it is met.
    pub grade: Grade,
    /// What was found.
    pub says: String,
    /// The one command or setting that mends it; empty if nothing has to be.
    pub mend: String,
}

impl Need {
    /// All is there.
    pub fn met(of: &str, says: impl Into<String>) -> Self {
        Self { of: of.to_owned(), grade: Grade::Met, says: says.into(), mend: String::new() }
    }

    /// It works, but `mend` makes something better.
    pub fn worse(of: &str, says: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { of: of.to_owned(), grade: Grade::Worse, says: says.into(), mend: mend.into() }
    }

    /// Nothing is streamed before `mend`.
    pub fn missing(of: &str, says: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { of: of.to_owned(), grade: Grade::Missing, says: says.into(), mend: mend.into() }
    }
}
