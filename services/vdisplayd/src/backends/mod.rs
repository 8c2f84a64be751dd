//! What can make an Output.
//!
//! A backend owns what it made until `release`, finds it again with `adopt` after a restart of vdisplayd, and never
//! gives up an Output by itself.

pub mod pattern;
pub mod sway;

use std::{collections::BTreeMap, os::fd::OwnedFd};

use lumen_ipc::{Failure, Mode, SessionId};

/// An Output that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// What it shows.
    pub mode: Mode,
    /// The wl_output's name; `None` for a picture without a compositor.
    pub output: Option<String>,
    /// Name of the compositor's Wayland socket inside `$XDG_RUNTIME_DIR`.
    pub wayland: Option<String>,
    /// The X display that goes with it.
    pub display: Option<String>,
    /// The unit that it lives in.
    pub unit: Option<String>,
    /// Which backend, in one word: `sway` (the user's own), `sway-headless`, `pattern`.
    pub backend: &'static str,
    /// Why this backend, for people.
    pub why: String,
}

/// What [`Backend::acquire`] gives.
#[derive(Debug)]
pub struct Acquired {
    /// The Output.
    pub made: Made,
    /// A fresh connection to its compositor, if it has one; owned by the receiver.
    pub fd: Option<OwnedFd>,
    /// Whether it was made just now, so that nothing runs on it yet.
    pub fresh: bool,
}

/// A backend.
#[expect(async_fn_in_trait, reason = "only this crate implements and calls it, on one thread")]
pub trait Backend {
    /// Makes the Output of `session`, or gives the one it has the size and rate of `mode`, and connects to its
    /// compositor anew.
    async fn acquire(&mut self, session: SessionId, mode: Mode) -> Result<Acquired, Failure>;

    /// Whether `session` has an Output; a failed [`acquire`](Self::acquire) may have cost it.
    fn has(&self, session: SessionId) -> bool;

    /// Takes the Output of `session` away. One that is not there is fine.
    async fn release(&mut self, session: SessionId) -> Result<(), Failure>;

    /// Finds what earlier incarnations of vdisplayd made and takes care of it from now on.
    async fn adopt(&mut self) -> Result<BTreeMap<SessionId, Made>, Failure>;
}

/// The backend that the configuration names.
#[derive(Debug)]
pub enum AnyBackend {
    /// sway.
    Sway(sway::Sway),
    /// The test picture.
    Pattern(pattern::Pattern),
}

impl Backend for AnyBackend {
    async fn acquire(&mut self, session: SessionId, mode: Mode) -> Result<Acquired, Failure> {
        match self {
            Self::Sway(sway) => sway.acquire(session, mode).await,
            Self::Pattern(pattern) => pattern.acquire(session, mode).await,
        }
    }

    fn has(&self, session: SessionId) -> bool {
        match self {
            Self::Sway(sway) => sway.has(session),
            Self::Pattern(pattern) => pattern.has(session),
        }
    }

    async fn release(&mut self, session: SessionId) -> Result<(), Failure> {
        match self {
            Self::Sway(sway) => sway.release(session).await,
            Self::Pattern(pattern) => pattern.release(session).await,
        }
    }

    async fn adopt(&mut self) -> Result<BTreeMap<SessionId, Made>, Failure> {
        match self {
            Self::Sway(sway) => sway.adopt().await,
            Self::Pattern(pattern) => pattern.adopt().await,
        }
    }
}
