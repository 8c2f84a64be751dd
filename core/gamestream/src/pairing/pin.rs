//! The four digits that a client shows.

use crate::identity::sha256;
use std::fmt;
use std::str::FromStr;

/// Four decimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pin([u8; 4]);

/// A text that is no PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a PIN has four digits, 0 to 9: type the one that the client shows")]
pub struct PinError;

impl Pin {
    /// The key of the pairing: the first half of SHA-256(salt ‖ digits).
    pub(super) fn key(&self, salt: &[u8; 16]) -> [u8; 16] {
        let mut key = [0; 16];
        key.iter_mut().zip(sha256(&[salt, &self.0])).for_each(|(to, from)| *to = from);
        key
    }
}

impl FromStr for Pin {
    type Err = PinError;

    /// Exactly four ASCII digits; white space around them is ignored.
    fn from_str(text: &str) -> Result<Self, PinError> {
        let digits: [u8; 4] = text.trim().as_bytes().try_into().map_err(|_| PinError)?;
        if digits.iter().all(u8::is_ascii_digit) { Ok(Self(digits)) } else { Err(PinError) }
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Sabotage: take letters, other scripts' digits, or another length.
    #[test]
    fn only_four_digits_are_a_pin() {
        for wrong in ["", "123", "12345", "12a4", "abcd", "１２３４", "-123", "1 34", "٣٣"] {
            assert_eq!(wrong.parse::<Pin>(), Err(PinError), "{wrong:?}");
        }
        assert_eq!(" 0042\n".parse::<Pin>(), Ok(Pin(*b"0042")));
        assert_eq!(format!("{:?}", Pin(*b"1234")), "Pin(..)");
    }

    // Source: computed apart with Python's hashlib, sha256(bytes(range(16)) + b"1234")[:16].
    #[test]
    fn the_key_is_half_a_hash() {
        let salt = std::array::from_fn(|index| index as u8);
        let key = Pin(*b"1234").key(&salt);
        assert_eq!(crate::hex::encode(&key), "bad0b4f7cae08eb7c1b5acc763a8ed25");
    }
}
