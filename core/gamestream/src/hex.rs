//! Bytes as pairs of hexadecimal digits, as GameStream's queries carry them: no order changes, any case.

/// Why a text is no hexadecimal bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HexError {
    /// Not the length it must have.
    #[error("{got} hexadecimal digits stand where {need} must")]
    Length {
        /// Digits needed.
        need: usize,
        /// Characters there.
        got: usize,
    },
    /// An odd number of digits.
    #[error("{got} hexadecimal digits are no whole number of bytes")]
    Odd {
        /// Characters there.
        got: usize,
    },
    /// Something that is no digit.
    #[error("character {position} is no hexadecimal digit")]
    Digit {
        /// Its place in bytes, from 1.
        position: usize,
    },
}

/// Two lower-case digits a byte.
pub fn encode(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The bytes of `text`.
///
/// # Errors
/// [`HexError`] if it has an odd length, or holds anything but digits.
pub fn decode(text: &str) -> Result<Vec<u8>, HexError> {
    if !text.len().is_multiple_of(2) {
        return Err(HexError::Odd { got: text.len() });
    }
    let mut bytes = Vec::with_capacity(text.len() / 2);
    for (pair, at) in text.as_bytes().chunks_exact(2).zip((1..).step_by(2)) {
        let mut byte = 0;
        for (&digit, position) in pair.iter().zip(at..) {
            let value = char::from(digit).to_digit(16).ok_or(HexError::Digit { position })?;
            byte = byte << 4 | value as u8;
        }
        bytes.push(byte);
    }
    Ok(bytes)
}

/// Exactly `N` bytes.
///
/// # Errors
/// [`HexError`] also if there are more or fewer.
pub fn decode_array<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    if text.len() != N * 2 {
        return Err(HexError::Length { need: N * 2, got: text.len() });
    }
    let bytes = decode(text)?;
    bytes.try_into().map_err(|_| HexError::Length { need: N * 2, got: text.len() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_hex_says_where() {
        assert_eq!(decode("0g"), Err(HexError::Digit { position: 2 }));
        assert_eq!(decode("000"), Err(HexError::Odd { got: 3 }));
        assert_eq!(decode_array::<2>("0000ff"), Err(HexError::Length { need: 4, got: 6 }));
        assert_eq!(decode_array::<2>("0Aff"), Ok([0x0a, 0xff]));
        assert_eq!(decode("é0é0"), Err(HexError::Digit { position: 1 }));
    }

    proptest! {
        #[test]
        fn bytes_survive(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let text = encode(&bytes);
            prop_assert_eq!(decode(&text), Ok(bytes.clone()));
            prop_assert_eq!(decode(&text.to_uppercase()), Ok(bytes));
        }

        #[test]
        fn any_text_is_survived(text in "\\PC{0,40}") {
            let _ = decode(&text);
            let _ = decode_array::<16>(&text);
        }
    }
}
