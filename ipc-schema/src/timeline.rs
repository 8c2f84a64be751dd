//! When one picture passed each stage.

use serde::{Deserialize, Serialize};

/// CLOCK_MONOTONIC nanoseconds of the host at which a picture passed each step; 0 = not yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// The compositor handed the picture to captured.
    pub dequeued_ns: u64,
    /// encoded got the Frame from the link.
    pub received_ns: u64,
    /// The encoder library's encode call began (conversion is done).
    pub encode_begin_ns: u64,
    /// The encode call returned.
    pub encode_end_ns: u64,
}
