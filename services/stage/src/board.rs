//! What the administrator is shown of each session, written by the session's thread and read by Status.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lumen_ipc::SessionId;
use zbus::Variant;

use crate::status::Report;

/// One session's state of this moment.
pub trait Line: Clone + Default {
    /// What Status says of it, beside the session's id.
    fn entries(&self) -> HashMap<&'static str, Variant<'static>>;
}

/// All sessions' lines. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct Board<L>(Arc<Mutex<BTreeMap<SessionId, L>>>);

impl<L: Line> Board<L> {
    fn lines(&self) -> MutexGuard<'_, BTreeMap<SessionId, L>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the line of `session`, making it if it is not there.
    pub fn write(&self, session: SessionId, change: impl FnOnce(&mut L)) {
        change(self.lines().entry(session).or_default());
    }

    /// Changes the line of `session` if it has one.
    pub fn change(&self, session: SessionId, change: impl FnOnce(&mut L)) {
        self.lines().get_mut(&session).map(change);
    }

    /// The line of `session`, if it has one.
    pub fn read(&self, session: SessionId) -> Option<L> {
        self.lines().get(&session).cloned()
    }

    /// The first line of which `find` says something.
    pub fn find<T>(&self, find: impl FnMut(&L) -> Option<T>) -> Option<T> {
        self.lines().values().find_map(find)
    }

    /// Removes the line of `session`.
    pub fn erase(&self, session: SessionId) {
        self.lines().remove(&session);
    }

    /// Puts all lines into a Status: `sessions` (aa{sv}), each with its `session` (s).
    pub fn fill(&self, report: &mut Report) {
        let entries = |(session, line): (&SessionId, &L)| {
            let mut entries = line.entries();
            entries.insert("session", session.to_string().into());
            entries
        };
        let sessions: Vec<_> = self.lines().iter().map(entries).collect();
        report.set("sessions", sessions);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Default, PartialEq)]
    struct Count(u64);

    impl Line for Count {
        fn entries(&self) -> HashMap<&'static str, Variant<'static>> {
            HashMap::from([("count", self.0.into())])
        }
    }

    #[test]
    fn a_line_is_there_from_its_first_writing_until_it_is_erased() {
        let (board, one) = (Board::<Count>::default(), SessionId([1; 16]));
        board.change(one, |line| line.0 += 1);
        assert_eq!(board.read(one), None);
        board.write(one, |line| line.0 += 1);
        board.clone().write(one, |line| line.0 += 1);
        assert_eq!((board.read(one), board.find(|line| Some(line.0))), (Some(Count(2)), Some(2)));
        let mut report = Report::default();
        board.fill(&mut report);
        assert!(report.into_dict().contains_key("sessions"));
        board.erase(one);
        assert_eq!(board.read(one), None);
    }
}
