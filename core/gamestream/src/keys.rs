//! The key of a session and AES-128-GCM with it.
//!
//! The client makes a fresh 16-byte key for every launch and resume (`rikey`) and says it over HTTPS. RTSP, control and
//! video seal with that one key; their nonces differ in the last two bytes, so no two of them can meet.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use std::fmt;

/// Bytes of a key.
pub const KEY_LEN: usize = 16;
/// Bytes of a GCM tag.
pub const TAG_LEN: usize = 16;
/// Bytes of a GCM nonce.
pub const NONCE_LEN: usize = 12;

/// The bytes did not come from the holder of this key, or were changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes were not sealed with this session's key")]
pub struct Forged;

/// `rikey` of a launch or resume. Its bytes are shown to nobody, but the session's record needs them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SessionKey([u8; KEY_LEN]);

impl SessionKey {
    /// From a query or a record.
    pub const fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes)
    }

    /// For the record.
    pub const fn as_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// The cipher of this key.
    pub(crate) fn cipher(&self) -> Cipher {
        let key = UnboundKey::new(&AES_128_GCM, &self.0).expect("AES-128 takes any 16 bytes");
        Cipher(LessSafeKey::new(key))
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(..)")
    }
}

/// AES-128-GCM without additional data, tag apart.
pub(crate) struct Cipher(LessSafeKey);

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher(..)")
    }
}

impl Cipher {
    /// Encrypts in place; the tag.
    pub(crate) fn seal(&self, nonce: [u8; NONCE_LEN], bytes: &mut [u8]) -> [u8; TAG_LEN] {
        let tag = self
            .0
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), bytes)
            .expect("AES-GCM seals all that is shorter than 64 GiB");
        let mut out = [0; TAG_LEN];
        out.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        out
    }

    /// The plaintext.
    ///
    /// # Errors
    /// [`Forged`] if the tag does not fit.
    pub(crate) fn open(&self, nonce: [u8; NONCE_LEN], tag: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Forged> {
        let mut plain = vec![0; sealed.len()];
        self.0
            .open_separate_gather(Nonce::assume_unique_for_key(nonce), Aad::empty(), sealed, tag, &mut plain)
            .map_err(|_| Forged)?;
        Ok(plain)
    }
}

/// Who sealed: the letter in a nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client.
    Client,
    /// This host.
    Host,
}

/// The nonce of message `number` of RTSP (`purpose` = `R`) or control (`C`): number little-endian, six zeroes, the side, the purpose.
pub(crate) fn message_nonce(number: u32, side: Side, purpose: u8) -> [u8; NONCE_LEN] {
    let [a, b, c, d] = number.to_le_bytes();
    let side = match side {
        Side::Client => b'C',
        Side::Host => b'H',
    };
    [a, b, c, d, 0, 0, 0, 0, 0, 0, side, purpose]
}

#[cfg(test)]
mod tests {
    use super::*;

    // Test case 4 of "The Galois/Counter Mode of Operation (GCM)" by McGrew and Viega needs additional data; case 3 has none.
    #[test]
    fn it_is_aes_128_gcm() {
        let key = crate::hex::decode_array("feffe9928665731c6d6a8f9467308308").unwrap();
        let nonce = crate::hex::decode_array("cafebabefacedbaddecaf888").unwrap();
        let plain = crate::hex::decode(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
        )
        .unwrap();
        let cipher = SessionKey::from_bytes(key).cipher();
        let mut bytes = plain.clone();
        let tag = cipher.seal(nonce, &mut bytes);
        assert_eq!(crate::hex::encode(&bytes[..16]), "42831ec2217774244b7221b784d0d49c");
        assert_eq!(crate::hex::encode(&tag), "4d5c2af327cd64a62cf35abd2ba6fab4");
        assert_eq!(cipher.open(nonce, &tag, &bytes), Ok(plain));
        bytes[0] ^= 1;
        assert_eq!(cipher.open(nonce, &tag, &bytes), Err(Forged));
    }

    // Source: the facts of gamestream.md, control v2 and encrypted RTSP.
    #[test]
    fn nonces_are_what_clients_compute() {
        assert_eq!(message_nonce(0x0102_0304, Side::Client, b'C'), *b"\x04\x03\x02\x01\0\0\0\0\0\0CC");
        assert_eq!(message_nonce(1, Side::Host, b'R'), *b"\x01\0\0\0\0\0\0\0\0\0HR");
    }

    #[test]
    fn a_key_is_not_shown() {
        assert_eq!(format!("{:?}", SessionKey::from_bytes([7; 16])), "SessionKey(..)");
    }
}
