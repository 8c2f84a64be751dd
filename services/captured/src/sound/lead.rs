//! Who leads the default output of the user's own desktop, whose programs were told no sink: one session at a time moves it to
//! its own. What it was before lies on disk, because it has to be put back after any death.
//!
//! ```text
//!  Free ─ claim ─► Claimed ─ the record is on disk ─► Led ─ put back ─► Free
//! ```

use lumen_ipc::SessionId;
use std::{
    env,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Name of the record in the stage's state directory.
const FILE: &str = "default-output";

/// That a session leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Which one.
    pub session: SessionId,
    /// What a person had chosen before, as PipeWire's metadata has it; `None`: nothing.
    pub before: Option<String>,
}

impl Record {
    /// One line with the session, then what was before.
    fn write(&self) -> String {
        format!("{}\n{}", self.session, self.before.as_deref().unwrap_or_default())
    }

    fn read(text: &str) -> Option<Self> {
        let (session, before) = text.split_once('\n')?;
        let before = (!before.is_empty()).then(|| before.to_owned());
        Some(Self { session: session.parse().ok()?, before })
    }
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Free,
    Claimed(SessionId),
    Led(Record),
}

#[derive(Debug, Default)]
struct Shared {
    /// `None`: nothing outlives this process, so that nothing may be moved.
    file: Option<PathBuf>,
    state: Mutex<State>,
}

/// Who leads, of all sessions; cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Lead(Arc<Shared>);

impl Lead {
    /// As the incarnation before left it in `$STATE_DIRECTORY`.
    pub fn of_stage() -> Self {
        Self::of(env::var_os("STATE_DIRECTORY").map(PathBuf::from))
    }

    /// As it was left in this directory. Without one nobody leads.
    pub fn of(directory: Option<PathBuf>) -> Self {
        let file = directory.map(|directory| directory.join(FILE));
        let left = file.as_deref().and_then(left);
        Self(Arc::new(Shared { file, state: Mutex::new(left.map_or(State::Free, State::Led)) }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `session` may lead: it does from now on, unless another one does.
    pub fn claim(&self, session: SessionId) -> bool {
        let mut state = self.lock();
        match &*state {
            _ if self.0.file.is_none() => false,
            State::Free => {
                *state = State::Claimed(session);
                true
            }
            State::Claimed(holder) | State::Led(Record { session: holder, .. }) => *holder == session,
        }
    }

    /// Writes down what was `before` `session` led; true. One that led already keeps what was written first; false.
    ///
    /// # Errors
    /// The disk refuses, or another session leads.
    pub fn remember(&self, session: SessionId, before: Option<String>) -> io::Result<bool> {
        let mut state = self.lock();
        let file = self.0.file.as_ref().ok_or(io::ErrorKind::NotFound)?;
        match &*state {
            State::Led(record) if record.session == session => Ok(false),
            State::Claimed(holder) if *holder == session => {
                let record = Record { session, before };
                keep(file, &record.write())?;
                *state = State::Led(record);
                Ok(true)
            }
            _ => Err(io::ErrorKind::ResourceBusy.into()),
        }
    }

    /// What is to be put back.
    pub fn record(&self) -> Option<Record> {
        match &*self.lock() {
            State::Led(record) => Some(record.clone()),
            _ => None,
        }
    }

    /// What was before `session` is put back; another session may lead.
    pub fn forget(&self, session: SessionId) {
        let mut state = self.lock();
        if !matches!(&*state, State::Led(record) if record.session == session) {
            return;
        }
        let removed = self.0.file.as_ref().map_or(Ok(()), fs::remove_file);
        if let Err(error) = removed {
            // The next incarnation finds that somebody else is the default, and changes nothing.
            tracing::warn!("the record of the default output cannot be removed: {error}");
        }
        *state = State::Free;
    }

    /// `session` is over: its claim is, too. What it moved is still to be put back: whether there is such.
    pub fn give_up(&self, session: SessionId) -> bool {
        let mut state = self.lock();
        if matches!(&*state, State::Claimed(holder) if *holder == session) {
            *state = State::Free;
        }
        matches!(&*state, State::Led(record) if record.session == session)
    }
}

/// What an earlier incarnation wrote.
fn left(file: &Path) -> Option<Record> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!("what the default output was cannot be read: {}: {error}", file.display());
            return None;
        }
    };
    let record = Record::read(&text);
    if record.is_none() {
        tracing::warn!(
            "what the default output was is not in {}; choose one if it is lumen's",
            file.display()
        );
    }
    record
}

/// There whole, or not at all, whatever dies; the machine included.
fn keep(file: &Path, text: &str) -> io::Result<()> {
    let new = file.with_extension("new");
    let mut writer = File::create(&new)?;
    writer.write_all(text.as_bytes())?;
    writer.sync_all()?;
    fs::rename(&new, file)?;
    file.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: SessionId = SessionId([1; 16]);
    const TWO: SessionId = SessionId([2; 16]);
    const SPEAKERS: &str = r#"{ "name": "speakers" }"#;

    /// Sabotage: remember what is the default after a death, which is our own sink; or let any session go on with a record.
    #[test]
    fn what_was_before_the_first_session_outlives_deaths_and_is_nobodys_else() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Lead::of(Some(directory.path().to_owned()));
        let lead = open();
        assert!(lead.claim(ONE) && lead.claim(ONE) && !lead.claim(TWO));
        assert!(lead.remember(TWO, None).is_err());
        assert!(lead.remember(ONE, Some(SPEAKERS.into())).unwrap());
        for _ in 0..2 {
            let heir = open();
            assert!(!heir.claim(TWO) && heir.claim(ONE));
            assert!(!heir.remember(ONE, Some("our own sink".into())).unwrap(), "it was moved before");
            assert!(heir.give_up(ONE), "there is something to put back");
            let before = heir.record().and_then(|record| record.before);
            assert_eq!(before.as_deref(), Some(SPEAKERS));
        }
        let last = open();
        last.forget(TWO);
        assert!(!last.claim(TWO));
        last.forget(ONE);
        assert!(last.claim(TWO) && !last.give_up(TWO) && last.claim(ONE));
        assert_eq!(open().record(), None);
    }

    #[test]
    fn nobody_leads_where_nothing_can_be_remembered() {
        assert!(!Lead::of(None).claim(ONE));
    }

    #[test]
    fn a_machine_whose_default_nobody_chose_is_written_down_as_such() {
        let directory = tempfile::tempdir().unwrap();
        let lead = Lead::of(Some(directory.path().to_owned()));
        assert!(lead.claim(ONE));
        lead.remember(ONE, None).unwrap();
        let record = Lead::of(Some(directory.path().to_owned())).record();
        assert_eq!(record, Some(Record { session: ONE, before: None }));
    }
}
