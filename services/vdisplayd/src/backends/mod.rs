//! What can make an Output.
//!
//! A backend owns what it made until `release`, finds it again with `adopt` after a restart of vdisplayd, and never
//! gives up an Output by itself.

pub mod auto;
pub mod mutter;
pub mod pattern;
pub mod sway;

use std::{collections::BTreeMap, os::fd::OwnedFd};

use lumen_ipc::{Failure, FailureClass, Mode, SessionId, bus::SeatSource};

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
    /// Which backend, in one word: `mutter` or `sway` (the user's own), `sway-headless`, `pattern`.
    pub backend: &'static str,
    /// Why this backend, for people.
    pub why: String,
}

/// What [`Backend::acquire`] gives.
#[derive(Debug)]
pub struct Acquired {
    /// The Output.
    pub made: Made,
    /// Where its pictures come from.
    pub pictures: Pictures,
    /// Whether it was made just now, so that nothing runs on it yet.
    pub fresh: bool,
    /// Whether an app can be started; else [`AnyBackend::look`] names the session when it can.
    pub ready: bool,
}

/// Where the pictures of an Output come from; descriptors are owned by the receiver.
#[derive(Debug)]
pub enum Pictures {
    /// A fresh connection to its compositor.
    Wayland(OwnedFd),
    /// A fresh connection to PipeWire.
    PipeWire {
        /// The connection.
        fd: OwnedFd,
        /// Id of the stream's node.
        node: u32,
        /// As in [`lumen_ipc::bus::Source::detour`].
        detour: bool,
    },
    /// captured draws them itself.
    Pattern,
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

/// Why a session whose Output is in the user's own desktop has no picture now.
pub fn locked() -> Failure {
    Failure::new(
        FailureClass::Locked,
        "the desktop is locked",
        "unlock it at the machine; the session goes on then",
    )
}

/// Why input reaches nothing on an Output whose picture is well.
pub fn cannot_type(why: &str, advice: &str) -> Failure {
    Failure::new(FailureClass::Environment, format!("cannot type: {why}"), advice)
}

/// The session has no Output now.
pub fn no_output() -> Failure {
    Failure::new(FailureClass::Temporary, "cannot type: the session has no Output yet", "wait a moment")
}

/// The backend that the configuration names.
#[derive(Debug)]
pub enum AnyBackend {
    /// What the user is running, else a sway of our own.
    Auto(Box<auto::Auto>),
    /// A sway of our own.
    Sway(sway::Sway),
    /// The test picture.
    Pattern(pattern::Pattern),
}

impl AnyBackend {
    /// Waits for what has to be settled before `session` gets an Output; the sessions whose app can be started since.
    pub async fn await_others(&mut self, session: SessionId) -> Vec<SessionId> {
        match self {
            Self::Auto(auto) => auto.await_others(session).await,
            Self::Sway(_) | Self::Pattern(_) => Vec::new(),
        }
    }

    /// Where input for the Output of `session` goes.
    ///
    /// # Errors
    /// Why nothing can be typed there: in a moment, or at all.
    pub async fn seat(&self, session: SessionId) -> Result<SeatSource, Failure> {
        match self {
            Self::Auto(auto) => auto.seat(session).await,
            Self::Sway(sway) => sway.seat(session).await,
            Self::Pattern(_) => Err(cannot_type(
                "the Output is a test picture, without a desktop",
                "remove backend = \"pattern\" from vdisplayd.toml to get a desktop",
            )),
        }
    }

    /// Whether an app can be started on the Output of `session`.
    pub fn is_ready(&self, session: SessionId) -> bool {
        match self {
            Self::Auto(auto) => auto.is_ready(session),
            Self::Sway(sway) => sway.has(session),
            Self::Pattern(_) => false,
        }
    }

    /// Takes away what would cover the app of `session`. True if that goes on for a while, and then the session's file
    /// `app` is removed.
    pub fn make_way(&self, session: SessionId) -> bool {
        match self {
            Self::Auto(auto) => auto.make_way(session),
            Self::Sway(_) | Self::Pattern(_) => false,
        }
    }

    /// Looks at the user's desktop after a change; the sessions whose app can be started since now.
    pub async fn look(&mut self) -> Vec<SessionId> {
        match self {
            Self::Auto(auto) => auto.look().await,
            Self::Sway(_) | Self::Pattern(_) => Vec::new(),
        }
    }
}

impl Backend for AnyBackend {
    async fn acquire(&mut self, session: SessionId, mode: Mode) -> Result<Acquired, Failure> {
        match self {
            Self::Auto(auto) => auto.acquire(session, mode).await,
            Self::Sway(sway) => sway.acquire(session, mode).await,
            Self::Pattern(pattern) => pattern.acquire(session, mode).await,
        }
    }

    fn has(&self, session: SessionId) -> bool {
        match self {
            Self::Auto(auto) => auto.has(session),
            Self::Sway(sway) => sway.has(session),
            Self::Pattern(pattern) => pattern.has(session),
        }
    }

    async fn release(&mut self, session: SessionId) -> Result<(), Failure> {
        match self {
            Self::Auto(auto) => auto.release(session).await,
            Self::Sway(sway) => sway.release(session).await,
            Self::Pattern(pattern) => pattern.release(session).await,
        }
    }

    async fn adopt(&mut self) -> Result<BTreeMap<SessionId, Made>, Failure> {
        match self {
            Self::Auto(auto) => auto.adopt().await,
            Self::Sway(sway) => sway.adopt().await,
            Self::Pattern(pattern) => pattern.adopt().await,
        }
    }
}
