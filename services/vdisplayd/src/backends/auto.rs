//! The backend *auto*: the desktop that the user is running and has not locked, else a headless sway.
//!
//! Looked for at each Acquire of a session without an Output, so a desktop that started since is found and one that
//! is gone is not missed. A session that has an Output stays where its app runs, even if another desktop starts; in
//! the user's own desktop it waits while that is locked.

use std::collections::BTreeMap;

use lumen_ipc::{Failure, Mode, SessionId, bus::SeatSource};

use super::{
    Acquired, Backend, Made,
    mutter::{
        Mutter,
        desk::{self, Presence},
    },
    sway::Sway,
};

/// Both compositors that lumen can have Outputs in.
#[derive(Debug)]
pub struct Auto {
    mutter: Mutter,
    sway: Sway,
}

impl Auto {
    /// GNOME first, because a sway inside of it would be a toy.
    pub fn new(mutter: Mutter, sway: Sway) -> Self {
        Self { mutter, sway }
    }

    /// Waits for what has to be settled before `session` gets an Output; the sessions whose app can be started since.
    pub async fn await_others(&mut self, session: SessionId) -> Vec<SessionId> {
        if self.is_ready(session) {
            return Vec::new();
        }
        self.mutter.await_others(session).await
    }

    /// Whether an app can be started on the Output of `session`.
    pub fn is_ready(&self, session: SessionId) -> bool {
        self.mutter.is_ready(session) || self.sway.has(session)
    }

    /// Takes away what would cover the app of `session`. True if that goes on for a while.
    pub fn make_way(&self, session: SessionId) -> bool {
        let in_gnome = self.mutter.has(session);
        if in_gnome {
            self.mutter.make_way(session);
        }
        in_gnome
    }

    /// Looks at the user's desktop after a change; the sessions whose app can be started since now.
    pub async fn look(&mut self) -> Vec<SessionId> {
        self.mutter.look().await
    }

    /// Where input for the Output of `session` goes.
    ///
    /// # Errors
    /// Why nothing can be typed there.
    pub async fn seat(&self, session: SessionId) -> Result<SeatSource, Failure> {
        if self.mutter.has(session) {
            return self.mutter.seat(session).await;
        }
        self.sway.seat(session).await
    }

    /// The Output that `session` has, at `mode`; `None` if it has none any more.
    async fn again(&mut self, session: SessionId, mode: Mode) -> Result<Option<Acquired>, Failure> {
        let again = if self.mutter.has(session) {
            self.mutter.again(session, mode).await?
        } else if self.sway.has(session) {
            self.sway.again(session, mode).await?
        } else {
            None
        };
        if again.is_none() {
            self.release(session).await?;
        }
        Ok(again)
    }
}

impl Backend for Auto {
    async fn acquire(&mut self, session: SessionId, mode: Mode) -> Result<Acquired, Failure> {
        if let Some(acquired) = self.again(session, mode).await? {
            return Ok(acquired);
        }
        match desk::look(&self.mutter.bus()).await {
            Presence::Usable(desk) => self.mutter.make(session, mode, &desk).await,
            Presence::Locked => self.sway.make(session, mode, &["GNOME: is locked".to_owned()]).await,
            Presence::Absent => self.sway.make(session, mode, &[]).await,
        }
    }

    fn has(&self, session: SessionId) -> bool {
        self.mutter.has(session) || self.sway.has(session)
    }

    async fn release(&mut self, session: SessionId) -> Result<(), Failure> {
        if self.mutter.has(session) {
            return self.mutter.release(session).await;
        }
        self.sway.release(session).await
    }

    async fn adopt(&mut self) -> Result<BTreeMap<SessionId, Made>, Failure> {
        let mut found = self.mutter.adopt().await?;
        found.extend(self.sway.adopt().await?);
        Ok(found)
    }
}
