//! One plain thread per session, found again by the session's id.
//!
//! `Open` is idempotent: for a session that has a thread, the new link is mailed to it and closes the older one;
//! otherwise a thread starts. The thread decides when to end (its [`crate::lease`]) and is then forgotten.

use std::{
    collections::HashMap,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
};

use lumen_ipc::SessionId;
use rustix::event::{EventfdFlags, eventfd};

use crate::{
    link::{self, LinkError},
    pulse::{Pulse, Pulses},
};

/// Sessions that a stage serves at once.
pub const MAX_SESSIONS: usize = 8;

/// What reaches a session's thread from the bus.
#[derive(Debug)]
pub enum Mail<Spec> {
    /// A reader opened (again): this end of the new link replaces the older one.
    Attach {
        /// Our end of the link, not yet greeted.
        link: OwnedFd,
        /// What the reader asks for.
        spec: Spec,
    },
    /// Release everything now.
    Close,
}

/// Why a session cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Too many at once.
    #[error("{MAX_SESSIONS} sessions run already: end one of them first (`lumenctl status` lists them)")]
    TooMany,
    /// The stage stops.
    #[error("the stage is stopping")]
    Stopping,
    /// No such session.
    #[error("there is no session {0}; `lumenctl status` lists the running ones")]
    Unknown(SessionId),
    /// The link cannot be made.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The kernel gave no thread or no eventfd.
    #[error("the session cannot be started: {0}")]
    Kernel(std::io::Error),
}

/// What a session's thread is given.
#[derive(Debug)]
pub struct Seat<Spec> {
    /// Whose thread it is.
    pub session: SessionId,
    /// Its mail; the first letter is waiting.
    pub mailbox: Mailbox<Spec>,
    /// To be beaten by its loop.
    pub pulse: Pulse,
}

/// Mail that can be polled for: [`AsFd`] is readable while a letter may be there.
#[derive(Debug)]
pub struct Mailbox<Spec> {
    letters: mpsc::Receiver<Mail<Spec>>,
    bell: Arc<OwnedFd>,
}

impl<Spec> Mailbox<Spec> {
    /// The next letter. Silences the bell.
    pub fn take(&self) -> Option<Mail<Spec>> {
        let mut count = [0; 8];
        // The bell may be silent (EAGAIN) while a letter of an earlier ring is still here.
        let _ = rustix::io::read(&self.bell, &mut count);
        self.letters.try_recv().ok().inspect(|_| ring(&self.bell))
    }
}

impl<Spec> AsFd for Mailbox<Spec> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

fn ring(bell: &OwnedFd) {
    // EAGAIN means 2⁶⁴ − 1 unread rings: it rings already.
    let _ = rustix::io::write(bell, &1u64.to_ne_bytes());
}

#[derive(Debug)]
struct Entry<Spec> {
    birth: u64,
    letters: mpsc::Sender<Mail<Spec>>,
    bell: Arc<OwnedFd>,
}

impl<Spec> Entry<Spec> {
    fn mail(&self, letter: Mail<Spec>) -> bool {
        let sent = self.letters.send(letter).is_ok();
        ring(&self.bell);
        sent
    }
}

#[derive(Debug)]
struct Table<Spec> {
    births: u64,
    /// The stage stops: no session starts any more.
    closing: bool,
    entries: HashMap<SessionId, Entry<Spec>>,
}

type Shared<Spec> = Arc<Mutex<Table<Spec>>>;
type Run<Spec> = Arc<dyn Fn(Seat<Spec>) + Send + Sync>;

/// All session threads of a stage. Cloning shares them.
pub struct Sessions<Spec> {
    table: Shared<Spec>,
    pulses: Pulses,
    run: Run<Spec>,
}

impl<Spec> Clone for Sessions<Spec> {
    fn clone(&self) -> Self {
        Self { table: self.table.clone(), pulses: self.pulses.clone(), run: self.run.clone() }
    }
}

fn lock<Spec>(table: &Shared<Spec>) -> MutexGuard<'_, Table<Spec>> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<Spec: Send + 'static> Sessions<Spec> {
    /// `run` is the body of each session's thread.
    pub fn new(pulses: Pulses, run: impl Fn(Seat<Spec>) + Send + Sync + 'static) -> Self {
        let table = Table { births: 0, closing: false, entries: HashMap::new() };
        Self { table: Arc::new(Mutex::new(table)), pulses, run: Arc::new(run) }
    }

    /// Opens `session` or attaches to it again; returns the reader's end of the new link.
    pub fn open(&self, session: SessionId, spec: Spec) -> Result<OwnedFd, OpenError> {
        let (ours, theirs) = link::pair()?;
        let letter = Mail::Attach { link: ours, spec };
        let mut table = lock(&self.table);
        if table.closing {
            return Err(OpenError::Stopping);
        }
        if let Some(entry) = table.entries.get(&session) {
            // A thread that ends this very moment drops the letter and with it our end: the reader sees a
            // hang-up and opens again.
            entry.mail(letter);
            return Ok(theirs);
        }
        if table.entries.len() >= MAX_SESSIONS {
            return Err(OpenError::TooMany);
        }
        let entry = self.start(session, table.births, letter)?;
        table.births += 1;
        table.entries.insert(session, entry);
        Ok(theirs)
    }

    fn start(&self, session: SessionId, birth: u64, first: Mail<Spec>) -> Result<Entry<Spec>, OpenError> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let bell = Arc::new(bell.map_err(|error| OpenError::Kernel(error.into()))?);
        let (sender, letters) = mpsc::channel();
        let entry = Entry { birth, letters: sender, bell: bell.clone() };
        // Before the thread starts, because it looks for its first letter at once.
        entry.mail(first);
        let seat = Seat { session, mailbox: Mailbox { letters, bell }, pulse: self.pulses.register() };
        let (run, table) = (self.run.clone(), self.table.clone());
        thread::Builder::new()
            .name(format!("session-{}", session.to_string().get(..7).unwrap_or_default()))
            .spawn(move || {
                run(seat);
                let mut table = lock(&table);
                if table.entries.get(&session).is_some_and(|entry| entry.birth == birth) {
                    table.entries.remove(&session);
                }
            })
            .map_err(OpenError::Kernel)?;
        Ok(entry)
    }

    /// Asks the thread of `session` to release everything.
    pub fn close(&self, session: SessionId) -> Result<(), OpenError> {
        match lock(&self.table).entries.get(&session) {
            Some(entry) => {
                entry.mail(Mail::Close);
                Ok(())
            }
            None => Err(OpenError::Unknown(session)),
        }
    }

    /// The sessions that have a thread.
    pub fn list(&self) -> Vec<SessionId> {
        let mut sessions: Vec<_> = lock(&self.table).entries.keys().copied().collect();
        sessions.sort();
        sessions
    }

    /// Asks all threads to release everything, then waits for them at most `limit`.
    pub async fn close_all(&self, limit: std::time::Duration) {
        {
            let mut table = lock(&self.table);
            table.closing = true;
            for entry in table.entries.values() {
                entry.mail(Mail::Close);
            }
        }
        let all_ended = async {
            while !lock(&self.table).entries.is_empty() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        // Past the limit the process ends anyway and takes the threads along.
        let _ = tokio::time::timeout(limit, all_ended).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, poll};

    const ID: SessionId = SessionId([7; 16]);

    fn echo(letters: mpsc::Sender<u32>) -> Sessions<u32> {
        Sessions::new(Pulses::default(), move |seat| {
            loop {
                let _ = poll(&mut [PollFd::new(&seat.mailbox, PollFlags::IN)], None);
                while let Some(letter) = seat.mailbox.take() {
                    match letter {
                        Mail::Attach { spec, .. } => letters.send(spec).unwrap(),
                        Mail::Close => return,
                    }
                }
            }
        })
    }

    #[test]
    fn opening_again_reaches_the_same_thread() {
        let (sender, letters) = mpsc::channel();
        let sessions = echo(sender);
        sessions.open(ID, 1).unwrap();
        sessions.open(ID, 2).unwrap();
        assert_eq!((letters.recv().unwrap(), letters.recv().unwrap()), (1, 2));
        assert_eq!(sessions.list(), [ID]);
        sessions.close(ID).unwrap();
        while !sessions.list().is_empty() {
            thread::yield_now();
        }
        assert!(matches!(sessions.close(ID), Err(OpenError::Unknown(ID))));
    }

    /// Sabotage: leave `closing` unset, and the session opened then dies with the process.
    #[tokio::test]
    async fn a_stopping_stage_opens_nothing() {
        let (sender, _letters) = mpsc::channel();
        let sessions = echo(sender);
        sessions.open(ID, 0).unwrap();
        sessions.close_all(std::time::Duration::from_secs(5)).await;
        assert!(sessions.list().is_empty());
        assert!(matches!(sessions.open(ID, 0), Err(OpenError::Stopping)));
    }

    #[test]
    fn the_ninth_session_is_refused() {
        let (sender, _letters) = mpsc::channel();
        let sessions = echo(sender);
        for n in 0..MAX_SESSIONS {
            sessions.open(SessionId([n as u8; 16]), 0).unwrap();
        }
        assert!(matches!(sessions.open(ID, 0), Err(OpenError::TooMany)) || sessions.list().contains(&ID));
        assert!(matches!(sessions.open(SessionId([99; 16]), 0), Err(OpenError::TooMany)));
    }
}
