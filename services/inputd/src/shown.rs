//! What `Stage1.Status` says about the Seats.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lumen_ipc::SessionId;
use lumen_stage::status::Report;
use zbus::OwnedVariant;

/// One Seat as the administrator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// In one word.
    pub backend: &'static str,
    /// Why this one, or why there is none.
    pub why: String,
}

/// Written by the sessions' threads, read by the bus. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Shown(Arc<Mutex<BTreeMap<SessionId, Line>>>);

impl Shown {
    /// The Seat of `session` is now so; whether that is news.
    pub fn set(&self, session: SessionId, line: Line) -> bool {
        self.lock().insert(session, line.clone()) != Some(line)
    }

    /// The Seat of `session` is no more.
    pub fn remove(&self, session: SessionId) {
        self.lock().remove(&session);
    }

    /// Adds `backend` (s) and `why` (s) of the newest Seat, or `idle` where there is none, and `seats` (aa{sv}: `session`,
    /// `backend`, `why`, all s).
    pub fn fill(&self, report: &mut Report, idle: (&str, &str)) {
        let seats = self.lock();
        let (backend, why) =
            seats.values().next_back().map_or(idle, |line| (line.backend, line.why.as_str()));
        report.set("backend", backend).set("why", why);
        let rows: Vec<HashMap<String, OwnedVariant>> = seats
            .iter()
            .map(|(session, line)| {
                let mut row = Report::default();
                row.set("session", session.to_string());
                row.set("backend", line.backend).set("why", line.why.as_str());
                row.into_dict()
            })
            .collect();
        report.set("seats", rows);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SessionId, Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sabotage: show the idle line although there is a Seat.
    #[test]
    fn seats_are_told_with_their_reason_and_forgotten_with_their_session() {
        let (shown, session) = (Shown::default(), SessionId([1; 16]));
        let line = Line { backend: "none", why: "cannot type: no protocol".into() };
        assert!(shown.set(session, line.clone()) && !shown.set(session, line));
        let tell = || {
            let mut report = Report::default();
            shown.fill(&mut report, ("auto", "nobody types"));
            report.into_dict()
        };
        let told = tell();
        assert_eq!(<&str>::try_from(&*told["why"]).unwrap(), "cannot type: no protocol");
        assert!(told["seats"].to_string().contains(&session.to_string()));
        shown.remove(session);
        assert_eq!(<&str>::try_from(&*tell()["backend"]).unwrap(), "auto");
    }
}
