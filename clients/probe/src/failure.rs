//! Why a probe fails, in words for people and an exit status for programs.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use lumen_core::{Fingerprint, control::Refused};

use crate::{
    decode::DecodeError, identity::IdentityError, known_hosts::KnownHostsError, record::RecordError,
    script::ScriptError, video::VideoError,
};

/// Why a probe fails.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The session ran, and nothing could be seen.
    #[error("no picture came within {} s: {frames} frames came whole, {datagrams} datagrams; `lumenctl status` on the host says which stage stands still", .waited.as_secs())]
    NoPicture {
        /// Since the host said that it streams.
        waited: Duration,
        /// Frames that came whole.
        frames: u64,
        /// Datagrams that could be opened.
        datagrams: u64,
    },
    /// Nobody answers.
    #[error(
        "{host} does not answer ({why}): is lumen running there (`lumenctl status`), and does it listen on this address and port?"
    )]
    Unreachable {
        /// The address dialled.
        host: SocketAddr,
        /// What was seen.
        why: String,
    },
    /// The host is another one than was pinned.
    #[error("{host} is not trusted: {why}")]
    NotTrusted {
        /// The address dialled.
        host: SocketAddr,
        /// What it showed.
        why: String,
    },
    /// The host is another one than at first use.
    #[error(
        "{host} is not trusted: {why}. It was remembered in {file}; if the host was really set up anew, remove its line there"
    )]
    Changed {
        /// The address dialled.
        host: SocketAddr,
        /// What it showed.
        why: String,
        /// Where the first fingerprint is.
        file: PathBuf,
    },
    /// This client is not on the host's list.
    #[error("the host does not allow this client ({why}): run `lumenctl allow {client}` on the host")]
    NotAllowed {
        /// Who this client is.
        client: Fingerprint,
        /// What the host said.
        why: String,
    },
    /// The host will not stream.
    #[error("the host refused the launch: {} {}", .0.text, .0.advice)]
    Refused(Refused),
    /// The session ended before its time.
    #[error("the session broke off: {why}")]
    BrokenOff {
        /// What was seen.
        why: String,
    },
    /// The identity cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The hosts seen before are not known.
    #[error(transparent)]
    KnownHosts(#[from] KnownHostsError),
    /// A file could not be written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The script of inputs could not be played.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// What is to be spoken cannot be.
    #[error("cannot speak {path} into the microphone: {why}")]
    Voice {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The decoder failed.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The video socket failed.
    #[error(transparent)]
    Video(#[from] VideoError),
    /// The kernel said no.
    #[error("cannot {act}: {source}")]
    System {
        /// What was tried.
        act: &'static str,
        /// What it said.
        source: std::io::Error,
    },
    /// The identity's key cannot be used for TLS.
    #[error("this client's key cannot be used: {0}")]
    Tls(#[from] rustls::Error),
}

impl Failure {
    /// The exit status; `--help` lists them.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::NoPicture { .. } => 1,
            Self::Unreachable { .. } => 3,
            Self::NotTrusted { .. } | Self::Changed { .. } => 4,
            Self::NotAllowed { .. } => 5,
            Self::Refused(_) => 6,
            Self::BrokenOff { .. } => 7,
            Self::Identity(_)
            | Self::KnownHosts(_)
            | Self::Record(_)
            | Self::Script(_)
            | Self::Voice { .. }
            | Self::Decode(_)
            | Self::Video(_)
            | Self::System { .. }
            | Self::Tls(_) => 8,
        })
    }
}
