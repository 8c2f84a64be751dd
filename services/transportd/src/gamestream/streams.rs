//! What those who come ask of what streams: the one seam between the two halves of GameStream.

use std::{
    fmt,
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::Pin,
};

use lumen_core::trust::Fingerprint;
use lumen_gamestream::http::{
    LaunchQuery, ResumeQuery,
    answers::{self, Codecs},
};

/// Who asks over TLS, proven to be a Client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// SHA-256 of the certificate that TLS proved.
    pub fingerprint: Fingerprint,
    /// What the administrator calls it; may be empty.
    pub name: String,
    /// Where it reached us. RTSP is spoken on this IP.
    pub local: SocketAddr,
    /// Where it comes from.
    pub remote: IpAddr,
}

/// An app of `/applist`, which exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    /// Its number, its title, and whether it can be HDR.
    pub listed: answers::App,
    /// What vdisplayd calls it; `None` is the desktop, or vdisplayd's default.
    pub name: Option<String>,
}

/// A session waits for RTSP, sealed with the key that was asked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    /// TCP port of RTSP.
    pub rtsp: u16,
}

/// Why there is no session. The text is the client's to show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The client has one.
    #[error("A session of this client runs already. Resume it, or quit it and launch again.")]
    Running,
    /// It has none.
    #[error("There is no session to resume: it ended, or the host was restarted. Launch again.")]
    Nothing,
    /// Too many run.
    #[error(
        "This host serves {limit} sessions at once and has no room. Quit one on another client, then try again."
    )]
    Full {
        /// How many may.
        limit: usize,
    },
    /// A stage failed.
    #[error("{text} {advice}")]
    Failed {
        /// What happened and why: a sentence.
        text: String,
        /// What to do: a sentence.
        advice: String,
    },
}

impl Refused {
    /// The status that clients obey.
    pub fn status(&self) -> u16 {
        match self {
            Self::Running => 400,
            Self::Nothing | Self::Full { .. } | Self::Failed { .. } => 503,
        }
    }
}

/// An answer that may take as long as its client waits: 120 s for a launch, 30 s for what resumes.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Started, Refused>> + Send + 'a>>;

/// All sessions, as HTTPS sees them.
pub trait Streams: fmt::Debug + Send + Sync + 'static {
    /// A new session of `app` for `client`, with the key of `launch`.
    fn launch<'a>(&'a self, client: &'a Caller, app: &'a App, launch: &'a LaunchQuery) -> Answer<'a>;

    /// The session of `client` that runs or is kept goes on with the fresh key of `resume`.
    fn resume<'a>(&'a self, client: &'a Caller, resume: &'a ResumeQuery) -> Answer<'a>;

    /// Ends what `client` has here, told with `reason`; whether there was anything. It is over within 1 s.
    fn cancel(&self, client: &Fingerprint, reason: &str) -> bool;

    /// Number of the app that `client` has running or kept.
    fn current(&self, client: &Fingerprint) -> Option<i32>;

    /// What the encoders that are really there can make.
    fn codecs(&self) -> Codecs;
}
