//! What the two sides say on the control stream, the first bidirectional stream that the client opens.
//!
//! ```text
//! message = type u16 ‖ length u16 ‖ length bytes of fields          length ≤ 16,384
//! ```
//! A message of an unknown type is skipped, and fields after the known ones are ignored, so a later version may add both. A
//! message whose known fields are wrong ends the session: QUIC delivers what was sent.

mod fields;
mod input;
mod layouts;
mod messages;
mod microphone;
mod news;
mod pointer;

pub use input::{BY_MEANING, Finger, Input};
pub use messages::*;
pub use microphone::Microphone;
pub use news::{ModeChanged, Notice, NoticeKind};
pub use pointer::{MAX_POINTER_SIDE, PointerMoved, PointerRows, PointerShape, PointerSpot, ShapeAssembler};

use fields::{Reader, Writer};

/// The version of the messages, in `Hello`.
pub const PROTOCOL_VERSION: u16 = 1;
/// Bytes of fields in one message.
pub const MAX_MESSAGE_LEN: usize = 16 << 10;
/// Bytes of type and length.
const HEAD_LEN: usize = 4;

/// Why a message cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedMessage {
    /// It ends before its fields do.
    #[error("a control message ends before its fields do")]
    Short,
    /// It says to be longer than [`MAX_MESSAGE_LEN`].
    #[error("a control message of {got} bytes is longer than {MAX_MESSAGE_LEN}")]
    Long {
        /// Its length.
        got: usize,
    },
    /// A text is longer than its limit.
    #[error("a text of {got} bytes is longer than its {limit}")]
    TextLen {
        /// Its length.
        got: u16,
        /// The limit.
        limit: u16,
    },
    /// A text is not UTF-8.
    #[error("a text is not UTF-8")]
    Utf8,
    /// Neither 0 nor 1.
    #[error("a flag is {got}, neither 0 nor 1")]
    Flag {
        /// What it is.
        got: u8,
    },
    /// A list is longer than its limit.
    #[error("a list of {got} is longer than {limit}")]
    ListLen {
        /// Its length.
        got: u8,
        /// The limit.
        limit: u8,
    },
    /// A pointer's shape, or these rows of it, cannot be.
    #[error("rows {top} to {top} + {rows} of a pointer of {width}×{height} pixels")]
    Pointer {
        /// Its width.
        width: u16,
        /// Its height.
        height: u16,
        /// The first row.
        top: u16,
        /// How many there are.
        rows: u16,
    },
    /// The host chose a codec that does not exist.
    #[error("a stream of unknown codec {got}")]
    Codec {
        /// Its code.
        got: u8,
    },
}

impl Message {
    /// Appends the message to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        Writer(out).u16(self.kind()).u16(0);
        self.write(&mut Writer(out));
        let len = u16::try_from(out.len() - start - HEAD_LEN).unwrap_or(u16::MAX);
        if let Some(place) = out.get_mut(start + 2..start + HEAD_LEN) {
            place.copy_from_slice(&len.to_le_bytes());
        }
    }

    /// The message alone.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }
}

/// Cuts the bytes of a stream into messages.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Bytes at the front that were read.
    read: usize,
    skipped: u64,
}

impl Decoder {
    /// At the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Messages of unknown types so far.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Adds what came. Read all messages with [`next_message`](Self::next_message) before the next push: then no more than one message and
    /// one push are ever held.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.read);
        self.read = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message of a known type.
    ///
    /// # Errors
    /// [`MalformedMessage`]: the stream is of no use any more.
    pub fn next_message(&mut self) -> Result<Option<Message>, MalformedMessage> {
        loop {
            let mut reader = Reader(self.buffer.get(self.read..).unwrap_or_default());
            let (Ok(kind), Ok(len)) = (reader.u16(), reader.u16()) else {
                return Ok(None);
            };
            let len = usize::from(len);
            if len > MAX_MESSAGE_LEN {
                return Err(MalformedMessage::Long { got: len });
            }
            let Ok(fields) = reader.slice(len) else {
                return Ok(None);
            };
            let message = Message::read(kind, &mut Reader(fields))?;
            self.read += HEAD_LEN + len;
            match message {
                Some(message) => return Ok(Some(message)),
                None => self.skipped += 1,
            }
        }
    }
}
