//! What clients are told of a frame.

use super::FRAME_HEAD_LEN;
use std::time::Duration;

/// What a frame refers to. Some hosts send 104, which clients take for 1 and this host never sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameType {
    /// The frames before it.
    Predicted = 1,
    /// Nothing.
    Idr = 2,
    /// The frames before it, with a part that refers to nothing.
    IntraRefresh = 4,
    /// None of the frames that the client reported lost.
    AfterInvalidation = 5,
}

/// A frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameMeta {
    /// From 1, one more for each frame: a number left out is a lost frame to the client.
    pub number: u32,
    /// What it refers to.
    pub kind: FrameType,
    /// When it was captured, in 1/90,000 s of any clock; only differences count.
    pub timestamp: u32,
    /// From capture to now; zero if it is not known, or the frame shows what the one before did.
    pub latency: Duration,
    /// The client shall say when it came whole, so that later frames can refer to it.
    pub long_term: bool,
}

impl FrameMeta {
    /// The first bytes of the frame. `last_len` is what its last payload uses.
    pub(super) fn head(&self, last_len: usize) -> [u8; FRAME_HEAD_LEN] {
        let tenths = u16::try_from(self.latency.as_micros() / 100).unwrap_or(u16::MAX).to_le_bytes();
        let last = u16::try_from(last_len).unwrap_or(u16::MAX).to_le_bytes();
        [1, tenths[0], tenths[1], self.kind as u8, last[0], last[1], 0, 0]
    }
}
