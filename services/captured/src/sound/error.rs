//! Why there is no sound, and what a person can do about it. Each begins with "no sound", because the pictures go on.

use crate::backends::SourceError;
use lumen_ipc::{Failure, FailureClass};

/// Why there is no sound now. Each ends the [`super::monitor::Monitor`]: make a new one.
#[derive(Debug, thiserror::Error)]
pub enum SoundError {
    /// libpipewire or the kernel.
    #[error("no sound: {0}")]
    Source(#[from] SourceError),
    /// The connection to the daemon broke.
    #[error("no sound: PipeWire is gone ({message})")]
    Gone {
        /// What libpipewire says.
        message: String,
    },
    /// Somebody destroyed the sink.
    #[error("no sound: the session's sink is gone from PipeWire")]
    SinkGone,
    /// The daemon does not make the sink.
    #[error("no sound: PipeWire made no sink within {ms} ms")]
    NoSink {
        /// How long it was waited for.
        ms: u128,
    },
    /// The daemon does not make the source, or does not link it.
    #[error("no microphone: PipeWire made no source, or no link to it, within {ms} ms")]
    NoSource {
        /// How long it was waited for.
        ms: u128,
    },
    /// Somebody destroyed the source.
    #[error("no microphone: the session's source is gone from PipeWire")]
    SourceGone,
    /// Nobody links the sink to its reader.
    #[error("no sound: nobody linked the sink's monitor within {ms} ms")]
    NotLinked {
        /// How long it was waited for.
        ms: u128,
    },
    /// The stream broke.
    #[error("no sound: the stream from the sink's monitor failed ({message})")]
    Stream {
        /// What libpipewire says.
        message: String,
    },
}

impl From<SoundError> for Failure {
    fn from(error: SoundError) -> Self {
        let advice = match &error {
            SoundError::Source(_) => {
                "install libpipewire's modules (Debian: libpipewire-0.3-modules, libspa-0.2-modules)"
            }
            SoundError::Gone { .. } => {
                "it comes back by itself with PipeWire; start that with `systemctl --user start pipewire.service`"
            }
            SoundError::SinkGone | SoundError::SourceGone | SoundError::Stream { .. } => {
                "lumen tries again by itself"
            }
            SoundError::NoSink { .. } | SoundError::NoSource { .. } | SoundError::NotLinked { .. } => {
                "start a session manager with `systemctl --user start wireplumber.service`; lumen tries again by itself"
            }
        };
        Self::new(FailureClass::Temporary, error.to_string(), advice)
    }
}
