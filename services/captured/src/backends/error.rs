//! What ends a source, and what a person can do about it.

use super::wlroots;
use lumen_ipc::{Failure, FailureClass, pool::LayoutError};

/// Why a source gives no more pictures. Each ends it: make a new one.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The connection to the compositor broke, or the compositor refused a request.
    #[error("the connection to the compositor broke: {0}")]
    Lost(#[from] wlroots::WireError),
    /// The compositor did not answer in time.
    #[error("the compositor did not answer within {ms} ms")]
    Silent {
        /// How long it was waited for.
        ms: u128,
    },
    /// There is no such output, or no more.
    #[error("the compositor has no output named {name:?} (it has: {known})")]
    NoOutput {
        /// The output asked for.
        name: String,
        /// Names of those that are there.
        known: String,
    },
    /// The output went away while it was captured.
    #[error("the output {name:?} is gone")]
    OutputGone {
        /// The output.
        name: String,
    },
    /// The compositor speaks no capture protocol.
    #[error(
        "the compositor offers neither ext-image-copy-capture-v1 nor wlr-screencopy-v1 version 3, or no {missing}"
    )]
    NoProtocol {
        /// The interface that is missing.
        missing: &'static str,
    },
    /// The compositor offers only pixel formats that lumen does not read.
    #[error("the compositor offers only pixel formats that cannot be read ({offered})")]
    Format {
        /// The formats offered, as wl_shm numbers.
        offered: String,
    },
    /// The picture lies rotated or mirrored in its buffer.
    #[error("the output {name:?} is rotated or mirrored (wl_output.transform {transform})")]
    Rotated {
        /// The output.
        name: String,
        /// The transform's number.
        transform: u32,
    },
    /// The compositor refused one copy after the other.
    #[error("the compositor refused {count} copies in a row")]
    Refused {
        /// How many.
        count: u32,
    },
    /// libpipewire did not do what it must.
    #[error("libpipewire failed at {what}")]
    PipeWire {
        /// What was being done.
        what: &'static str,
    },
    /// A part of libpipewire is not installed.
    #[error("libpipewire's {name} cannot be loaded")]
    PipeWireModule {
        /// The module.
        name: &'static str,
    },
    /// The connection to PipeWire broke.
    #[error("PipeWire is gone ({message})")]
    PipeWireGone {
        /// What libpipewire says.
        message: String,
    },
    /// There is no such node.
    #[error("PipeWire has no node {node}")]
    NoNode {
        /// Its id.
        node: u32,
    },
    /// The node went away.
    #[error("the PipeWire node {node} is gone")]
    NodeGone {
        /// Its id.
        node: u32,
    },
    /// The stream was not linked to its node.
    #[error("PipeWire did not link the stream to the node {node} within {seconds} s")]
    NotLinked {
        /// The node's id.
        node: u32,
        /// How long it was waited for.
        seconds: u64,
    },
    /// PipeWire ended the stream.
    #[error("PipeWire ended the stream: {message}")]
    Stream {
        /// Its words.
        message: String,
    },
    /// Pictures are shorter than their format says.
    #[error("a buffer has {got} bytes for a picture of {need}")]
    Short {
        /// Bytes of a picture.
        need: u64,
        /// Bytes that are there.
        got: u64,
    },
    /// Pictures suddenly lie elsewhere in their buffers.
    #[error("the rows of the pictures changed from {before} to {stride} bytes without a new format")]
    Moved {
        /// Bytes a row now.
        stride: u32,
        /// Bytes a row before.
        before: u32,
    },
    /// Memory that is not what it says.
    #[error("the producer's memory cannot be used: {0}")]
    Memory(String),
    /// One way of capturing failed, and there is another.
    #[error("capturing by {name} failed, and another way is left: {error}")]
    Way {
        /// The way.
        name: &'static str,
        /// How it failed.
        error: Box<SourceError>,
    },
    /// The compositor names an impossible layout.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A system call failed.
    #[error("{what}: {errno}")]
    System {
        /// What was being done.
        what: &'static str,
        /// How it failed.
        errno: rustix::io::Errno,
    },
}

impl SourceError {
    /// Whether the way of capturing failed, and another one may do better; else there is nothing to capture.
    pub fn is_backends_own(&self) -> bool {
        use wlroots::WireError;
        match self {
            Self::Lost(error) => matches!(error, WireError::Refused { .. } | WireError::Garbage { .. }),
            Self::Format { .. } | Self::Refused { .. } | Self::Layout(_) => true,
            Self::PipeWire { .. } | Self::Short { .. } | Self::Moved { .. } | Self::Memory(_) => true,
            Self::Way { .. } => true,
            Self::Silent { .. } | Self::NoOutput { .. } | Self::OutputGone { .. } => false,
            Self::NoProtocol { .. } | Self::Rotated { .. } | Self::PipeWireModule { .. } => false,
            Self::PipeWireGone { .. } | Self::NoNode { .. } | Self::NodeGone { .. } => false,
            Self::NotLinked { .. } | Self::Stream { .. } | Self::System { .. } => false,
        }
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        let (class, advice) = match &error {
            SourceError::Lost(_) | SourceError::OutputGone { .. } | SourceError::NoOutput { .. } => (
                FailureClass::Temporary,
                "lumen asks for the Output again by itself; if this stays, see `lumenctl status`",
            ),
            SourceError::Silent { .. } | SourceError::Refused { .. } => (
                FailureClass::Temporary,
                "lumen tries again by itself; if this stays, restart the compositor",
            ),
            SourceError::NoProtocol { .. } => (
                FailureClass::Environment,
                "use sway 1.7 or newer, or another compositor that offers one of them",
            ),
            SourceError::Format { .. } => (
                FailureClass::Environment,
                "let the compositor render with 8 bits per colour (XRGB8888 or XBGR8888)",
            ),
            SourceError::Rotated { .. } => (
                FailureClass::Environment,
                "turn the output upright, with sway: `swaymsg output NAME transform normal`",
            ),
            SourceError::PipeWireModule { .. } => {
                (FailureClass::Environment, "install libpipewire's modules (Debian: libpipewire-0.3-modules)")
            }
            SourceError::PipeWireGone { .. } => (
                FailureClass::Temporary,
                "lumen goes on by itself once it is back; start it with `systemctl --user start pipewire.service`",
            ),
            SourceError::NoNode { .. } | SourceError::NodeGone { .. } | SourceError::Stream { .. } => (
                FailureClass::Temporary,
                "lumen asks for the Output again by itself; if this stays, see `lumenctl status`",
            ),
            SourceError::NotLinked { .. } => (
                FailureClass::Temporary,
                "lumen tries again by itself; if this stays, restart WirePlumber (it grants access) and the compositor",
            ),
            SourceError::Short { .. }
            | SourceError::Moved { .. }
            | SourceError::Memory(_)
            | SourceError::PipeWire { .. } => (
                FailureClass::Temporary,
                "lumen tries again by itself; if this stays, update the compositor and PipeWire",
            ),
            SourceError::Way { .. } => (
                FailureClass::Temporary,
                "lumen tries again by itself, and captures in the other way when this stays; see `lumenctl status`",
            ),
            SourceError::Layout(_) => (FailureClass::Environment, "give the output a smaller mode"),
            SourceError::System { .. } => (
                FailureClass::Temporary,
                "lumen tries again by itself; see `journalctl --user -u lumen-captured`",
            ),
        };
        Self::new(class, error.to_string(), advice)
    }
}
