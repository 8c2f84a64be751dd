//! Sealing and opening control messages.

use super::outgoing::Outgoing;
use super::replay::{Freshness, ReplayWindow};
use crate::fields::Fields;
use crate::keys::{Cipher, SessionKey, Side, TAG_LEN, message_nonce};
use lumen_core::SequenceCounter;

/// The type of a sealed message.
const SEALED: u16 = 0x0001;
const NUMBER_LEN: usize = 4;
const PLAIN_HEAD: usize = 4;

/// Why a message of a client is not read. None of it ends the session: anyone can send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// Its length is not what it says, or too short for its parts.
    #[error("a control message of {got} bytes contradicts itself")]
    Length {
        /// Bytes there.
        got: usize,
    },
    /// It is not sealed.
    #[error("a control message of type {got:#06x} came unsealed")]
    NotSealed {
        /// Its type.
        got: u16,
    },
    /// Its tag does not fit.
    #[error("a control message was not sealed with this session's key")]
    Forged,
    /// Its number was seen.
    #[error("control message {number} came again")]
    Replayed {
        /// Its number.
        number: u32,
    },
    /// The payload of its type is too short.
    #[error("a control message of type {kind:#06x} has a payload of {got} bytes, too short for it")]
    Payload {
        /// Its type.
        kind: u16,
        /// Bytes of payload.
        got: usize,
    },
    /// Its frames are no range.
    #[error("frames {first} to {last} are no range")]
    Range {
        /// The first.
        first: u32,
        /// The last.
        last: u32,
    },
    /// The input event in it cannot be.
    #[error(transparent)]
    Input(#[from] crate::input::InputError),
}

/// The counter has no numbers left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("2³² control messages were sent with one key; resume the session for a new one")]
pub struct SealError;

/// Seals what the host says.
#[derive(Debug)]
pub struct Sealer {
    cipher: Cipher,
}

impl Sealer {
    /// With the session's key.
    pub fn new(key: &SessionKey) -> Self {
        Self { cipher: key.cipher() }
    }

    /// One message, with the next number of `counter`, which is advanced first.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(
        &mut self,
        message: &Outgoing,
        counter: &mut impl SequenceCounter,
    ) -> Result<Vec<u8>, SealError> {
        let number = counter.reserve(1).and_then(|number| u32::try_from(number).ok()).ok_or(SealError)?;
        Ok(seal(&self.cipher, Side::Host, number, message.kind(), &message.payload()))
    }
}

/// The bytes of a sealed message.
pub(super) fn seal(cipher: &Cipher, side: Side, number: u32, kind: u16, payload: &[u8]) -> Vec<u8> {
    let len = |bytes: usize| u16::try_from(bytes).expect("payloads have at most 64 bytes");
    let mut body = [&kind.to_le_bytes()[..], &len(payload.len()).to_le_bytes(), payload].concat();
    let tag = cipher.seal(message_nonce(number, side, b'C'), &mut body);
    let length = len(NUMBER_LEN + TAG_LEN + body.len());
    [&SEALED.to_le_bytes()[..], &length.to_le_bytes(), &number.to_le_bytes(), &tag, &body].concat()
}

/// Opens what the client says.
#[derive(Debug)]
pub struct Opener {
    cipher: Cipher,
    window: ReplayWindow,
}

impl Opener {
    /// With the session's key; `window` is empty, or what an earlier incarnation recorded.
    pub fn new(key: &SessionKey, window: ReplayWindow) -> Self {
        Self { cipher: key.cipher(), window }
    }

    /// For the session's record: what was seen.
    pub fn window(&self) -> ReplayWindow {
        self.window
    }

    /// The type and the payload of a message that ENet delivered.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn open(&mut self, message: &[u8]) -> Result<(u16, Vec<u8>), ControlError> {
        let wrong = ControlError::Length { got: message.len() };
        let mut fields = Fields(message);
        let (kind, length) = (fields.u16().ok_or(wrong)?, fields.u16().ok_or(wrong)?);
        if kind != SEALED {
            return Err(ControlError::NotSealed { got: kind });
        }
        if usize::from(length) != fields.0.len() || fields.0.len() < NUMBER_LEN + TAG_LEN + PLAIN_HEAD {
            return Err(wrong);
        }
        let (number, tag) = (fields.u32().ok_or(wrong)?, fields.array::<TAG_LEN>().ok_or(wrong)?);
        let nonce = message_nonce(number, Side::Client, b'C');
        let plain = self.cipher.open(nonce, &tag, fields.0).map_err(|_| ControlError::Forged)?;
        if self.window.insert(number) == Freshness::Replayed {
            return Err(ControlError::Replayed { number });
        }
        let mut fields = Fields(&plain);
        let (kind, length) = (fields.u16().ok_or(wrong)?, fields.u16().ok_or(wrong)?);
        if usize::from(length) != fields.0.len() {
            return Err(wrong);
        }
        Ok((kind, fields.0.to_vec()))
    }
}
