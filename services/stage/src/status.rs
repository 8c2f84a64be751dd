//! What a stage tells the administrator: `org.lumen.Stage1.Status`.

use std::collections::HashMap;

use lumen_ipc::{Generation, Stage};
use zbus::{OwnedVariant, Variant, interface};

use crate::caller;

/// An `a{sv}` under construction.
#[derive(Debug, Default)]
pub struct Report(HashMap<String, OwnedVariant>);

impl Report {
    /// Adds `key`. A value that D-Bus cannot carry (a file descriptor that is gone) is left out.
    pub fn set<'a>(&mut self, key: &str, value: impl Into<Variant<'a>>) -> &mut Self {
        if let Ok(value) = value.into().try_to_owned() {
            self.0.insert(key.to_owned(), value);
        }
        self
    }

    /// The dictionary.
    pub fn into_dict(self) -> HashMap<String, OwnedVariant> {
        self.0
    }
}

type Fill = std::sync::Arc<dyn Fn(&mut Report) + Send + Sync>;

/// The interface that every stage serves beside its own.
#[derive(Clone)]
pub struct Stage1 {
    stage: Stage,
    generation: Generation,
    fill: Fill,
}

impl Stage1 {
    /// `fill` adds what is particular to this stage: at least `backend` (s) and `why` (s).
    pub fn new(
        stage: Stage,
        generation: Generation,
        fill: impl Fn(&mut Report) + Send + Sync + 'static,
    ) -> Self {
        Self { stage, generation, fill: std::sync::Arc::new(fill) }
    }
}

#[interface(name = "org.lumen.Stage1")]
impl Stage1 {
    /// `stage` (s), `version` (s), `pid` (u), `generation` (t: CLOCK_MONOTONIC ns of its start), `notes` (as: what
    /// is degraded, and why), and what the stage adds.
    fn status(&self) -> HashMap<String, OwnedVariant> {
        let mut report = Report::default();
        let notes: Vec<&str> = caller::advisory().into_iter().collect();
        report
            .set("stage", self.stage.name())
            .set("version", env!("CARGO_PKG_VERSION"))
            .set("pid", std::process::id())
            .set("generation", self.generation.0)
            .set("notes", notes);
        (self.fill)(&mut report);
        report.into_dict()
    }
}
