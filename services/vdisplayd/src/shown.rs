//! What `Stage1.Status` says about vdisplayd.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lumen_ipc::SessionId;
use lumen_stage::{caller, status::Report};
use zbus::OwnedVariant;

use crate::backends::Made;

/// One Output as the administrator sees it.
#[derive(Debug, Clone)]
pub struct ShownOutput {
    /// The Output.
    pub made: Made,
    /// What its app is doing; `None` if it has none.
    pub app: Option<String>,
    /// Whether captured holds it; else its lease runs.
    pub held: bool,
}

/// The state that the loop writes and Status reads.
#[derive(Debug, Default)]
pub struct State {
    /// All Outputs.
    pub outputs: BTreeMap<SessionId, ShownOutput>,
    /// What is degraded and why.
    pub notes: Vec<String>,
    /// The newest failure to make an Output; cleared by the next success.
    pub failure: Option<String>,
    /// What the configuration chose, and that it did.
    pub idle: (&'static str, &'static str),
}

/// Shared between the loop and the bus. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Shown(Arc<Mutex<State>>);

impl Shown {
    /// To read or to change it; held for no longer than that.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `more` are notes that are not kept here. Adds `backend` (s), `why` (s), `notes` (as), `outputs` (aa{sv}: `session`, `mode`, `backend`, `why`, `output`,
    /// `unit`, `app`, `state`, all s) and, after a failure, `failure` (s).
    pub fn fill(&self, report: &mut Report, more: Vec<String>) {
        let state = self.lock();
        let (backend, why) = match state.outputs.values().next_back() {
            Some(output) => (output.made.backend, output.made.why.as_str()),
            None => state.idle,
        };
        let mut notes: Vec<String> = caller::advisory().map(str::to_owned).into_iter().collect();
        notes.extend(state.notes.iter().cloned());
        notes.extend(more);
        let outputs: Vec<HashMap<String, OwnedVariant>> =
            state.outputs.iter().map(|(session, output)| output.row(*session)).collect();
        report.set("backend", backend).set("why", why).set("notes", notes).set("outputs", outputs);
        if let Some(failure) = &state.failure {
            report.set("failure", failure.as_str());
        }
    }
}

impl ShownOutput {
    fn row(&self, session: SessionId) -> HashMap<String, OwnedVariant> {
        let mut row = Report::default();
        row.set("session", session.to_string())
            .set("mode", self.made.mode.to_string())
            .set("backend", self.made.backend)
            .set("why", self.made.why.as_str())
            .set("state", if self.held { "held by captured" } else { "kept for its lease" });
        let optional = [("output", &self.made.output), ("unit", &self.made.unit), ("app", &self.app)];
        for (key, value) in optional {
            if let Some(value) = value {
                row.set(key, value.as_str());
            }
        }
        row.into_dict()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumen_ipc::Mode;

    #[test]
    fn status_tells_backend_and_why_with_and_without_outputs() {
        let shown = Shown::default();
        shown.lock().idle = ("sway", "no session yet");
        shown.lock().notes.push("the machine may sleep".to_owned());
        let mut report = Report::default();
        shown.fill(&mut report, Vec::new());
        let dict = report.into_dict();
        assert_eq!(<&str>::try_from(&*dict["why"]).unwrap(), "no session yet");
        assert!(dict["notes"].to_string().contains("may sleep"));
        let made = Made {
            mode: Mode { width: 1280, height: 720, refresh_mhz: 59_940 },
            output: Some("HEADLESS-1".into()),
            wayland: None,
            display: None,
            unit: None,
            backend: "sway-headless",
            why: "the user has no running sway".into(),
        };
        let output = ShownOutput { made, app: None, held: true };
        shown.lock().outputs.insert(SessionId([1; 16]), output);
        let mut report = Report::default();
        shown.fill(&mut report, Vec::new());
        let dict = report.into_dict();
        assert_eq!(<&str>::try_from(&*dict["backend"]).unwrap(), "sway-headless");
        let outputs = dict["outputs"].to_string();
        assert!(outputs.contains("1280x720@59.94") && !outputs.contains("\"app\""), "{outputs}");
    }
}
