//! What encodes: one file per backend; each is chosen by name and says who it is. And what converts for it.

pub mod kernel;
pub mod openh264;
pub mod opus;

use std::fmt;

use arrayvec::ArrayVec;
use kernel::Kernel;
use lumen_stage::ladder::Inside;

use crate::picture::Picture;

/// H.264's quantiser: 0 is nearly lossless, 51 the coarsest. Six steps double the step size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Qp(u8);

impl Qp {
    /// The coarsest there is.
    pub const COARSEST: Self = Self(51);

    /// The quantiser `number`, or the coarsest for numbers beyond it.
    pub fn new(number: u8) -> Self {
        Self(number).min(Self::COARSEST)
    }

    /// Its number, 0 to 51.
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Qp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a picture may be coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// It may use the picture before.
    Predicted,
    /// It uses of all pictures before only the one that was kept and settled last.
    Recovered,
    /// A decoder can begin here.
    Idr,
}

/// A picture that is kept as a reference beside the newest one, until another is in its place and settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// The one that says so.
    This,
    /// The one before it.
    Before,
}

/// Parts an AccessUnit's bytes lie in: parameter sets and slices.
pub const MAX_CHUNKS: usize = 16;

/// One encoded picture, still in the encoder's memory until the next call.
pub struct Encoded<'a> {
    /// Annex B bytes, in order.
    pub chunks: ArrayVec<&'a [u8], MAX_CHUNKS>,
    /// Whether a decoder can begin here.
    pub idr: bool,
    /// Which picture is kept from now on, to be settled; an IDR is settled at once.
    pub kept: Option<Kept>,
}

impl Encoded<'_> {
    /// Bytes in all.
    pub fn size(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.len()).sum()
    }

    /// All bytes in one piece, joined in `room` if they lie in several.
    pub fn in_one<'b>(&'b self, room: &'b mut Vec<u8>) -> &'b [u8] {
        if let [chunk] = self.chunks.as_slice() {
            return chunk;
        }
        room.clear();
        self.chunks.iter().for_each(|chunk| room.extend_from_slice(chunk));
        room
    }
}

/// Why a picture was not encoded, or an encoder not made.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The library is not there, or not one we can talk to.
    #[error("the openh264 library cannot be used: {0}")]
    Library(String),
    /// The library refused a step.
    #[error("openh264 refused to {step} (code {code})")]
    Refused {
        /// What it was asked to do.
        step: &'static str,
        /// Its answer.
        code: i32,
    },
    /// A picture of another size than the encoder was made for.
    #[error("a {got_width}x{got_height} picture for a {width}x{height} encoder")]
    WrongSize {
        /// The encoder's width.
        width: usize,
        /// The encoder's height.
        height: usize,
        /// The picture's width.
        got_width: usize,
        /// The picture's height.
        got_height: usize,
    },
    /// More pieces than an AccessUnit may have.
    #[error("openh264 returned {0} layers for one picture")]
    TooManyLayers(i32),
    /// This process ends, and the next one opens the next rung of the ladder.
    #[error("the encoder is set aside, and the next incarnation takes another one")]
    Falling,
}

impl EncodeError {
    /// Whether it is the backend that failed.
    pub fn is_backends_own(&self) -> bool {
        matches!(self, Self::Library(_) | Self::Refused { .. } | Self::TooManyLayers(_))
    }
}

/// What an encoder is made for. A new size is a new encoder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Even, 16 to 3840.
    pub width: usize,
    /// Even, 16 to 2160.
    pub height: usize,
    /// Pictures a second at most.
    pub rate: f32,
    /// Keeps pictures for [`Coding::Recovered`]; decoders then need room for two more.
    pub keeps: bool,
}

/// An encoder: one picture in, one AccessUnit out, nothing kept back.
pub trait Encoder: Send {
    /// Encodes `picture` at `qp`; an IDR may be asked again for the same picture, and only the last one sent.
    ///
    /// # Errors
    /// A picture of another size, or the library's refusal.
    fn encode(&mut self, picture: &Picture, coding: Coding, qp: Qp) -> Result<Encoded<'_>, EncodeError>;

    /// A picture that shows what the newest one showed, which must have been sent: some bytes, and no work. `None` where it
    /// has to be encoded.
    fn repeat(&mut self) -> Option<Encoded<'_>> {
        None
    }

    /// The picture that was kept last has come, and is the one to recover from after the next predicted picture; or it has not, and
    /// is forgotten.
    ///
    /// # Errors
    /// The library's refusal.
    fn settle(&mut self, _came: bool) -> Result<(), EncodeError> {
        Ok(())
    }

    /// Name and version, for status.
    fn describe(&self) -> &str;

    /// What converts pixels for it.
    fn kernel(&self) -> Kernel {
        Kernel::best()
    }

    /// Work begins that is its own although it is done outside of [`Encoder::encode`], until the answer is dropped.
    fn begin(&self) -> Option<Inside> {
        None
    }
}

/// Makes encoders, all of one backend.
pub trait Factory: Send + Sync {
    /// An encoder of this shape.
    ///
    /// # Errors
    /// The backend refuses the shape.
    fn make(&self, shape: Shape) -> Result<Box<dyn Encoder>, EncodeError>;

    /// Whether the process is about to end for another backend: nothing is to be opened or told any more.
    fn is_falling(&self) -> bool {
        false
    }
}
