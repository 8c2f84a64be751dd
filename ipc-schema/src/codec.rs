//! The only place that knows how link messages become bytes, and what a stage leaves to its next incarnation: bincode 2,
//! legacy layout (little endian, fixed integers), bounded by [`MAX_MESSAGE`] and [`MAX_STATE`]. Never used on the network.

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use serde::{Serialize, de::DeserializeOwned};

/// Largest message in bytes: one page, so that a stack buffer holds it.
pub const MAX_MESSAGE: usize = 4096;

/// Largest state that a stage leaves to its next incarnation, in bytes.
pub const MAX_STATE: usize = 1 << 17;

/// Why bytes are not a message, or a message does not fit.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The message is larger than [`MAX_MESSAGE`], the state larger than its place, or it cannot be written.
    #[error("it does not fit its place: {0}")]
    Encode(bincode::error::EncodeError),
    /// The bytes are not such a message.
    #[error("{len} bytes are not a message of this link: {source}")]
    Decode {
        /// How many bytes came.
        len: usize,
        /// What was wrong with them.
        source: bincode::error::DecodeError,
    },
    /// More bytes than the message has.
    #[error("{extra} bytes after the message")]
    Trailing {
        /// How many bytes are too many.
        extra: usize,
    },
}

fn layout() -> Configuration<LittleEndian, Fixint, Limit<MAX_MESSAGE>> {
    bincode::config::legacy().with_limit::<MAX_MESSAGE>()
}

/// Writes `message` into `buffer` and returns the number of bytes. Does not allocate.
pub fn encode<T: Serialize>(message: &T, buffer: &mut [u8; MAX_MESSAGE]) -> Result<usize, CodecError> {
    bincode::serde::encode_into_slice(message, buffer.as_mut_slice(), layout()).map_err(CodecError::Encode)
}

fn state_layout() -> Configuration<LittleEndian, Fixint, Limit<MAX_STATE>> {
    bincode::config::legacy().with_limit::<MAX_STATE>()
}

/// Writes what the next incarnation of this stage is to read, into a place of any size, and returns the number of bytes.
pub fn encode_state<T: Serialize>(state: &T, place: &mut [u8]) -> Result<usize, CodecError> {
    bincode::serde::encode_into_slice(state, place, state_layout()).map_err(CodecError::Encode)
}

/// Reads a state that fills `bytes` exactly. Never allocates by a length it did not check.
pub fn decode_state<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let decoded = bincode::serde::decode_from_slice(bytes, state_layout());
    whole(decoded, bytes.len())
}

/// Reads a message that fills `bytes` exactly. Allocates only for messages that carry text or lists, and never
/// by a length it did not check.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    whole(bincode::serde::decode_from_slice(bytes, layout()), bytes.len())
}

fn whole<T>(decoded: Result<(T, usize), bincode::error::DecodeError>, len: usize) -> Result<T, CodecError> {
    let (value, used) = decoded.map_err(|source| CodecError::Decode { len, source })?;
    match len - used {
        0 => Ok(value),
        extra => Err(CodecError::Trailing { extra }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{capture, encode as enc, input, sound};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = decode::<capture::FromCapture>(&bytes);
            let _ = decode::<capture::ToCapture>(&bytes);
            let _ = decode::<enc::FromEncode>(&bytes);
            let _ = decode::<enc::ToEncode>(&bytes);
            let _ = decode::<sound::FromSink>(&bytes);
            let _ = decode::<sound::FromOpus>(&bytes);
            let _ = decode::<input::ToInput>(&bytes);
            let _ = decode::<input::FromInput>(&bytes);
        }
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut buffer = [0; MAX_MESSAGE];
        let n = encode(&capture::ToCapture::Return { pool: 1, buffer: 2 }, &mut buffer).unwrap();
        assert!(decode::<capture::ToCapture>(&buffer[..n]).is_ok());
        assert!(matches!(
            decode::<capture::ToCapture>(&buffer[..n + 1]),
            Err(CodecError::Trailing { extra: 1 })
        ));
        assert!(matches!(decode::<capture::ToCapture>(&buffer[..n - 1]), Err(CodecError::Decode { .. })));
    }

    /// Sabotage: reorder the fields of `ToCapture::Return`. Provenance: written by this codec at schema 1.
    #[test]
    fn golden_bytes_of_a_return() {
        let mut buffer = [0; MAX_MESSAGE];
        let n = encode(&capture::ToCapture::Return { pool: 1, buffer: 2 }, &mut buffer).unwrap();
        assert_eq!(&buffer[..n], [0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0]);
    }
}
