//! What the video and the decoder's thread tell the control thread.

use crate::video::NetworkSummary;

/// Told, never awaited: no thread waits for the control thread.
#[derive(Clone, Copy, Debug)]
pub enum Notice {
    /// So many pictures were decoded.
    Pictures(u64),
    /// Nothing can be decoded before an IDR with a number above this.
    NeedIdr {
        /// The newest frame lost.
        after_frame: u64,
    },
    /// What came so far, about each second.
    Network(NetworkSummary),
    /// Nothing listens on the host's video port any more.
    HostStopped,
    /// The decoder has ended, because no more frames come or a file could not be written.
    DecoderEnded,
    /// The video thread has ended.
    VideoEnded,
}
