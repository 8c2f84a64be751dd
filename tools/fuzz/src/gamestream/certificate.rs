//! A certificate that anyone can send in phase 1 of pairing, or show over TLS.

use lumen_gamestream::hex;
use lumen_gamestream::identity::{Certificate, MAX_PEM};
use lumen_gamestream::pairing::Pin;

use crate::Script;

/// PEM, DER, or another text of pairing.
pub(super) fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let kind = script.u8();
    let bytes = script.rest();
    let read = match kind % 3 {
        0 => Certificate::from_pem(bytes),
        1 => Certificate::from_der(bytes),
        _ => return texts(bytes),
    };
    if let Ok(certificate) = read {
        assert!(certificate.der().len() <= MAX_PEM);
        assert_eq!(Certificate::from_der(certificate.der()), Ok(certificate.clone()));
    }
}

fn texts(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(decoded) = hex::decode(text) {
        assert_eq!(hex::encode(&decoded), text.to_ascii_lowercase());
        assert_eq!(hex::decode_array::<16>(text).is_ok(), decoded.len() == 16);
    }
    if text.parse::<Pin>().is_ok() {
        assert!(text.trim().len() == 4 && text.trim().bytes().all(|digit| digit.is_ascii_digit()));
    }
}
