//! What a check has to say.

use std::fmt;

/// The outcome of one check.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing to do; the text says how much was looked at, so that a check of nothing is noticed.
    Fine(String),
    /// Could not be made here: why, and what makes it possible.
    Skipped(String),
    /// What is wrong, one finding each.
    Wrong(Vec<Finding>),
}

impl Verdict {
    /// `Wrong` when there is a finding, else `Fine` with `looked_at`.
    pub fn of(findings: Vec<Finding>, looked_at: impl Into<String>) -> Self {
        if findings.is_empty() { Self::Fine(looked_at.into()) } else { Self::Wrong(findings) }
    }
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// A path below the workspace's root, with the line where there is one, or a package's name.
    pub place: String,
    /// What is wrong with it.
    pub what: String,
}

impl Finding {
    /// A finding at a place.
    pub fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}
