//! What the brain says to `run.rs`, to the neighbours' faults, and to the administrator.

use lumen_ipc::{
    Failure, Mode, Timeline,
    bus::OutputSpec,
    capture::{Frame, MAX_FRAMES_OUT},
    encode::UnitKind,
    pointer::Pointer,
    pool::BufferId,
};

/// What `run.rs` is to do now.
#[expect(clippy::large_enum_variant, reason = "a box would be an allocation for each Frame")]
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Open a link to captured for this, then [`super::Session::handle_linked`] or [`super::Session::handle_failure`].
    Open(OutputSpec),
    /// Tell the reader.
    Tell(Failure),
    /// Tell the reader of this mode, with the ring.
    Announce(Mode),
    /// Give this buffer back to captured.
    Return(BufferId),
    /// Read this Frame's damaged part; if that fails, [`super::Session::handle_encoder_failure`].
    Take(Frame),
    /// The pointer is there now, or nowhere; the picture taken last is encoded with it.
    Point(Option<Pointer>),
    /// Tell captured that it may send the next movement of the pointer.
    AnswerPointer,
    /// Tell the reader what the pointer of this id looks like.
    TellBitmap(u32),
    /// Tell the reader where the pointer is.
    TellPointer(Option<Pointer>),
    /// Encode the picture taken last, then [`super::Session::handle_encoded`], [`super::Session::handle_unchanged`] or
    /// [`super::Session::handle_encoder_failure`].
    Encode {
        /// What it is to be for a decoder.
        kind: UnitKind,
        /// [`Frame::number`].
        frame: u64,
        /// Its first half; of a picture that is encoded again, the time of that decision.
        timeline: Timeline,
    },
    /// The reader did not get all AccessUnits from this one on: none of them is to be referred to by what is
    /// [`UnitKind::Recovered`].
    Lose(u64),
    /// From now on the encoder has this bitrate, in bits a second.
    SetBitrate(u32),
    /// Drop everything and end.
    End {
        /// The session is over; else only this stage stops, and captured keeps what it has for the next incarnation.
        over: bool,
    },
}

/// A protocol fault of a neighbour: its link ends.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// More Frames are out than a link may have.
    #[error("captured sent a Frame while {MAX_FRAMES_OUT} were out")]
    TooManyFrames,
    /// A movement of the pointer came before the one before was answered.
    #[error("captured sent a movement of the pointer while another was not yet taken")]
    TooManyPointers,
    /// A Frame lies in a buffer that was not announced.
    #[error("captured sent a Frame in buffer {buffer} of pool {pool}, which it has not announced")]
    NoBuffer {
        /// The pool it named.
        pool: u32,
        /// The buffer it named.
        buffer: u32,
    },
    /// The reader confirmed what was not sent to it.
    #[error("the reader confirmed AccessUnit {number}, which it was not sent")]
    NotUnsent {
        /// The number it named.
        number: u64,
    },
}

/// What happened to Frames so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// AccessUnits of new pictures.
    pub encoded: u64,
    /// Of those, and of the repeats, IDRs.
    pub idrs: u64,
    /// Those that refer to an older picture, because newer ones were lost.
    pub recovered: u64,
    /// AccessUnits of a picture that did not change.
    pub repeats: u64,
    /// Frames that were superseded before they were started.
    pub superseded: u64,
    /// Frames without any difference to the one before.
    pub unchanged: u64,
    /// Movements of the pointer alone.
    pub pointers: u64,
    /// Links to captured.
    pub upstream_links: u64,
}
