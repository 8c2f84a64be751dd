//! Sound: one packet of Opus in each QUIC datagram of the control connection. From host to client what programs play, from client
//! to host what its microphone hears ([`crate::microphone`]).
//!
//! ```text
//! 0xc9 ‖ number u32 ‖ played u64 ‖ Opus
//! ```

use crate::Timestamp;

/// First byte of such a datagram.
pub const KIND: u8 = 0xc9;

/// Bytes before the Opus.
pub const HEAD_LEN: usize = 13;

/// One packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// One more than that of the packet before; from 0 on, modulo 2³².
    pub number: u32,
    /// When its first sample was played, on the host's clock; of a microphone: when it was heard, on the client's.
    pub played: Timestamp,
    /// What libopus decodes.
    pub opus: &'a [u8],
}

impl<'a> Packet<'a> {
    /// The datagram.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_LEN + self.opus.len());
        bytes.push(KIND);
        bytes.extend(self.number.to_le_bytes());
        bytes.extend(self.played.as_ns().to_le_bytes());
        bytes.extend(self.opus);
        bytes
    }

    /// What a datagram has; `None` of another kind, or without Opus.
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let ([kind, n0, n1, n2, n3], rest) = datagram.split_first_chunk()?;
        let (played, opus) = rest.split_first_chunk()?;
        let played = Timestamp::from_ns(u64::from_le_bytes(*played));
        let packet = Self { number: u32::from_le_bytes([*n0, *n1, *n2, *n3]), played, opus };
        (*kind == KIND && !opus.is_empty()).then_some(packet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source: docs/lumen1.md. Sabotage: write big-endian numbers, or take any kind for sound.
    #[test]
    fn a_packet_is_kind_number_time_opus() {
        let packet =
            Packet { number: 0x0403_0201, played: Timestamp::from_ns(0x0c0b_0a09_0807_0605), opus: b"op" };
        let bytes = packet.to_bytes();
        assert_eq!(bytes, *b"\xc9\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0cop");
        assert_eq!(Packet::parse(&bytes), Some(packet));
        for len in 0..=HEAD_LEN {
            assert_eq!(Packet::parse(&bytes[..len]), None);
        }
        assert_eq!(Packet::parse(b"\xc8\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0cop"), None);
    }
}
