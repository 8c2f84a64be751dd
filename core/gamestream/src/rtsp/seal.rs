//! Sealed RTSP: a 24-byte head and the ciphertext of a whole message.
//!
//! ```text
//! 0   u32 BE   0x8000_0000 | length of the ciphertext
//! 4   u32 BE   number of the message in its direction, from 1
//! 8   16       GCM tag
//! 24  n        AES-128-GCM(session key, nonce = number LE ‖ 0⁶ ‖ 'C' or 'H' ‖ 'R')
//! ```

use super::message::{MAX_MESSAGE, RtspError};
use crate::keys::{Forged, SessionKey, Side, TAG_LEN, message_nonce};

const SEALED: u32 = 0x8000_0000;
const HEAD_LEN: usize = 24;

/// How the bytes of a connection begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Text.
    Plain,
    /// A sealed message of this many bytes, head included.
    Sealed(usize),
    /// Too few bytes to tell.
    Unknown,
}

impl Framing {
    /// Of the first bytes of a connection.
    ///
    /// # Errors
    /// [`RtspError::TooLong`] if the head says so; nothing is allocated by what it says.
    pub fn of(bytes: &[u8]) -> Result<Self, RtspError> {
        let Some(&head) = bytes.first_chunk::<4>() else {
            return Ok(Self::Unknown);
        };
        let word = u32::from_be_bytes(head);
        if word & SEALED == 0 {
            return Ok(Self::Plain);
        }
        let len = (word & !SEALED) as usize;
        if len > MAX_MESSAGE { Err(RtspError::TooLong) } else { Ok(Self::Sealed(HEAD_LEN + len)) }
    }
}

/// The number and the text of a whole sealed message.
///
/// # Errors
/// [`Forged`] also if the bytes are no whole message: no key opens them.
pub fn open(key: &SessionKey, side: Side, record: &[u8]) -> Result<(u32, Vec<u8>), Forged> {
    let (head, sealed) = record.split_at_checked(HEAD_LEN).ok_or(Forged)?;
    let (&length, rest) = head.split_first_chunk::<4>().ok_or(Forged)?;
    let (&number, tag) = rest.split_first_chunk::<4>().ok_or(Forged)?;
    if u32::from_be_bytes(length) != SEALED | u32::try_from(sealed.len()).map_err(|_| Forged)? {
        return Err(Forged);
    }
    let number = u32::from_be_bytes(number);
    let plain = key.cipher().open(message_nonce(number, side, b'R'), tag, sealed)?;
    Ok((number, plain))
}

/// Seals message `number` of `side`. A number must be used once with a key.
pub fn seal(key: &SessionKey, side: Side, number: u32, text: &[u8]) -> Vec<u8> {
    let mut record = vec![0; HEAD_LEN - TAG_LEN];
    let length = u32::try_from(text.len()).expect("answers are shorter than 4 GiB");
    record.splice(..4, (SEALED | length).to_be_bytes());
    record.splice(4.., number.to_be_bytes());
    let mut sealed = text.to_vec();
    let tag = key.cipher().seal(message_nonce(number, side, b'R'), &mut sealed);
    record.extend(tag);
    record.extend(sealed);
    record
}
