//! Where pictures come from: one trait, one file or folder per backend.
//!
//! A source owns a file descriptor to poll and no buffer. It says which layout it needs, is given a pool of
//! such buffers and then, one by one, buffers to fill; what it gives back is the brain's to keep
//! (`newest.rs`). It never waits and never sleeps.

pub mod pattern;
pub mod wlroots;

use crate::newest::Picture;
use lumen_ipc::{
    Failure, FailureClass, Mode,
    pool::{Layout, LayoutError},
};
use std::os::fd::BorrowedFd;

/// Copies refused in a row before a source gives up. Because one or two are refused at each change of mode.
const MOST_REFUSED: u32 = 16;

/// What a source has to say.
#[expect(clippy::large_enum_variant, reason = "a box would be an allocation for each picture")]
#[derive(Debug, PartialEq)]
pub enum Event {
    /// Its Output shows this mode now. A `refresh_mhz` of 0 means that the compositor does not know.
    Mode(Mode),
    /// It needs buffers of this layout: all it was given before are void, those being filled too.
    Layout(Layout),
    /// `buffer` holds a new picture.
    Filled {
        /// The buffer, one that it was given.
        buffer: u32,
        /// The picture.
        picture: Picture,
        /// Its rows lie from the bottom up and must be turned before anybody reads it.
        upside_down: bool,
    },
    /// `buffer` comes back empty; the source will take another.
    Missed {
        /// The buffer, one that it was given.
        buffer: u32,
    },
}

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
            SourceError::Layout(_) => (FailureClass::Environment, "give the output a smaller mode"),
            SourceError::System { .. } => (
                FailureClass::Temporary,
                "lumen tries again by itself; see `journalctl --user -u lumen-captured`",
            ),
        };
        Self::new(class, error.to_string(), advice)
    }
}

/// Something that gives pictures.
pub trait Source: Send {
    /// Name of the way in which it takes pictures, for Status.
    fn name(&self) -> &'static str;

    /// Why it takes them in this way, for Status.
    fn why(&self) -> &'static str;

    /// The file descriptor to poll for reading; [`Source::dispatch`] when it is ready, and once at the start.
    fn descriptor(&self) -> BorrowedFd<'_>;

    /// The next event, reading whatever arrived; `None` when there is nothing more for now. Does not block.
    ///
    /// # Errors
    /// The source is at its end.
    fn dispatch(&mut self) -> Result<Option<Event>, SourceError>;

    /// Takes the memfds of a pool of the layout last asked for, in the order of their numbers.
    ///
    /// # Errors
    /// The source is at its end.
    fn use_pool(&mut self, layout: Layout, buffers: &[BorrowedFd<'_>]) -> Result<(), SourceError>;

    /// Whether it can take one more buffer to fill now.
    fn wants_buffer(&self) -> bool;

    /// Gives it a buffer to fill. Only when it [wants](Source::wants_buffer) one.
    ///
    /// # Errors
    /// The source is at its end.
    fn fill(&mut self, buffer: u32) -> Result<(), SourceError>;
}
