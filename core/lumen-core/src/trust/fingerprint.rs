//! The SHA-256 of a certificate, as people write it.

use aws_lc_rs::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use std::fmt;
use std::str::FromStr;

/// The SHA-256 of a certificate's DER.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

/// Why a text is not a fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FingerprintError {
    /// Not 64 hexadecimal digits.
    #[error("a fingerprint has 64 hexadecimal digits (with or without colons); this has {got}")]
    Length {
        /// How many there are.
        got: usize,
    },
    /// Something that is no digit.
    #[error("a fingerprint has hexadecimal digits and colons only; character {position} is {found:?}")]
    Digit {
        /// The character.
        found: char,
        /// Its place, from 1.
        position: usize,
    },
    /// A colon inside a byte.
    #[error("the colon at character {position} does not stand between two bytes (pairs of digits)")]
    Colon {
        /// Its place, from 1.
        position: usize,
    },
}

impl Fingerprint {
    /// Of a certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let mut bytes = [0; 32];
        bytes.iter_mut().zip(digest(&SHA256, certificate).as_ref()).for_each(|(to, from)| *to = *from);
        Self(bytes)
    }

    /// From where it was kept.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    /// 64 hexadecimal digits of any case, with a colon between all, some or no bytes; white space around is ignored.
    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let mut digits = Vec::with_capacity(64);
        let mut after_byte = false;
        for (found, position) in text.trim().chars().zip(1..) {
            match found.to_digit(16) {
                Some(digit) => digits.push(digit as u8),
                None if found != ':' => return Err(FingerprintError::Digit { found, position }),
                None if !after_byte || digits.len() >= 64 => {
                    return Err(FingerprintError::Colon { position });
                }
                None => {}
            }
            after_byte = found != ':' && digits.len() % 2 == 0;
        }
        if digits.len() != 64 {
            return Err(FingerprintError::Length { got: digits.len() });
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair.iter().fold(0, |byte, digit| byte << 4 | digit);
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    /// 64 lower-case digits without colons: what `lumenctl allow` takes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The SHA-256 of nothing, from FIPS 180-4's example values.
    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn parse(text: &str) -> Result<Fingerprint, FingerprintError> {
        text.parse()
    }

    #[test]
    fn a_fingerprint_is_read_as_people_write_it() {
        let fingerprint = Fingerprint::of(&CertificateDer::from(vec![]));
        assert_eq!(fingerprint.to_string(), HEX);
        let colons = HEX
            .as_bytes()
            .chunks(2)
            .map(|pair| std::str::from_utf8(pair).unwrap())
            .collect::<Vec<_>>()
            .join(":");
        for text in [HEX, &HEX.to_uppercase(), &colons, &colons.to_uppercase(), &format!("  {HEX}\n")] {
            assert_eq!(parse(text), Ok(fingerprint), "{text}");
        }
    }

    // Sabotage: pad or cut what has the wrong length, or skip what is no digit.
    #[test]
    fn a_malformed_fingerprint_says_what_is_wrong() {
        let wrong = |text: String| parse(&text).unwrap_err();
        assert_eq!(wrong(String::new()), FingerprintError::Length { got: 0 });
        assert_eq!(wrong(HEX[..62].into()), FingerprintError::Length { got: 62 });
        assert_eq!(wrong(format!("{HEX}00")), FingerprintError::Length { got: 66 });
        assert_eq!(wrong(HEX.replacen('b', "g", 1)), FingerprintError::Digit { found: 'g', position: 3 });
        assert_eq!(wrong(HEX.replacen('3', ":", 1)), FingerprintError::Colon { position: 2 });
        assert_eq!(wrong(format!("{HEX}:")), FingerprintError::Colon { position: 65 });
        assert_eq!(wrong(format!(":{HEX}")), FingerprintError::Colon { position: 1 });
        assert_eq!(wrong(format!("{}::{}", &HEX[..2], &HEX[2..])), FingerprintError::Colon { position: 4 });
    }
}
