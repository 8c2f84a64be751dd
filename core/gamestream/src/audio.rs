//! Opus as clients get it: RTP, two parity packets after each four, sealed by AES-128-CBC where the client asked for it.
//!
//! ```text
//! RTP       0x80 ‖ 97 ‖ sequence u16 BE ‖ timestamp u32 BE (ms) ‖ 0 (4) ‖ Opus, or its ciphertext
//! parity    0x80 ‖ 127 ‖ sequence u16 BE ‖ 0 (4) ‖ 0 (4) ‖ index ‖ 97 ‖ first sequence u16 BE ‖ its timestamp u32 BE ‖ 0 (4) ‖ parity
//! ```
//! One number counts packets since the key was made; sequence, timestamp and IV all follow from it, so that whoever knows the
//! number alone goes on.

use arrayvec::ArrayVec;
use aws_lc_rs::{
    cipher::{AES_128, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey},
    iv::FixedLength,
};
use fec_rs::galois::{MulSliceFn, detect_mul_slice};
use std::fmt;

use crate::keys::SessionKey;

/// Longest Opus packet: what a client reads in one datagram, less RTP, parity's head and padding.
pub const MAX_OPUS: usize = 1372;
/// Packets that parity is made of.
pub const DATA: usize = 4;
/// Parity packets of those.
pub const PARITY: usize = 2;

/// What clients throw away of what they get first, by count and whatever it is. Because other hosts send what they kept until
/// then. Source: moonlight-common-c, `AudioReceiveThreadProc`.
const UNHEARD_MS: u32 = 500;

const RTP_LEN: usize = 12;
const PARITY_HEAD_LEN: usize = 12;
const BLOCK_LEN: usize = 16;
const MAX_PAYLOAD: usize = MAX_OPUS + BLOCK_LEN;
const OPUS_TYPE: u8 = 97;
const PARITY_TYPE: u8 = 127;

/// Over GF(2⁸) with polynomial 0x11d. Source: moonlight-common-c and Sunshine, which both have these eight numbers.
const MATRIX: [[u8; DATA]; PARITY] = [[0x77, 0x40, 0x38, 0x0e], [0xc7, 0xa7, 0x0d, 0x6c]];

/// One datagram.
pub type Datagram = ArrayVec<u8, { RTP_LEN + PARITY_HEAD_LEN + MAX_PAYLOAD }>;

/// Why a packet cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AudioError {
    /// Longer than a datagram.
    #[error("a packet of {got} bytes does not fit a datagram")]
    TooLong {
        /// Its length.
        got: usize,
    },
    /// Clients give up parity for good where one of four packets has another length.
    #[error("a packet of {got} bytes among packets of {need}")]
    Uneven {
        /// Length of those before.
        need: usize,
        /// Its own.
        got: usize,
    },
}

/// AES-128-CBC with PKCS#7 padding. It proves nothing about who sent a packet, but clients know no other.
struct Cipher {
    key: PaddedBlockEncryptingKey,
    key_id: u32,
}

impl Cipher {
    fn seal(&self, sequence: u16, bytes: &mut Vec<u8>) {
        let mut iv = [0; BLOCK_LEN];
        let number = self.key_id.wrapping_add(sequence.into()).to_be_bytes();
        iv.iter_mut().zip(number).for_each(|(to, from)| *to = from);
        let context = EncryptionContext::Iv128(FixedLength::from(iv));
        self.key.less_safe_encrypt(bytes, context).expect("AES-CBC seals whatever fits a datagram");
    }
}

/// Makes datagrams.
pub struct AudioPacketiser {
    cipher: Option<Cipher>,
    packet_ms: u32,
    multiply: (MulSliceFn, MulSliceFn),
    /// Length of all packets.
    len: Option<usize>,
    /// Payloads of the four that parity is made of, as far as they were sent, and the number of the first.
    first: u64,
    block: ArrayVec<Vec<u8>, DATA>,
}

impl fmt::Debug for AudioPacketiser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AudioPacketiser").field("packet_ms", &self.packet_ms).finish_non_exhaustive()
    }
}

impl AudioPacketiser {
    /// Packets of `packet_ms` milliseconds, sealed if there is a key and `rikeyid`.
    pub fn new(packet_ms: u8, key: Option<(&SessionKey, i32)>) -> Self {
        let cipher = key.map(|(key, key_id)| {
            let key = UnboundCipherKey::new(&AES_128, key.as_bytes()).expect("AES-128 takes any 16 bytes");
            let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).expect("AES-128 has CBC");
            Cipher { key, key_id: key_id.cast_unsigned() }
        });
        Self {
            cipher,
            packet_ms: packet_ms.into(),
            multiply: detect_mul_slice(),
            len: None,
            first: 0,
            block: ArrayVec::new(),
        }
    }

    /// The datagrams of packet `number`, which must rise: one, and after each fourth its parity. A fourth without the three
    /// before it has none, as after a restart.
    ///
    /// # Errors
    /// [`AudioError`]; nothing is sent of it, and its number may be used again.
    pub fn packetise(&mut self, number: u64, opus: &[u8]) -> Result<ArrayVec<Datagram, 3>, AudioError> {
        if opus.len() > MAX_OPUS {
            return Err(AudioError::TooLong { got: opus.len() });
        }
        let need = *self.len.get_or_insert(opus.len());
        if need != opus.len() {
            return Err(AudioError::Uneven { need, got: opus.len() });
        }
        let mut payload = opus.to_vec();
        if let Some(cipher) = &self.cipher {
            cipher.seal(number as u16, &mut payload);
        }
        let mut datagrams = ArrayVec::new();
        datagrams.push(datagram(&rtp(OPUS_TYPE, number as u16, self.timestamp(number)), &[], &payload));
        self.keep(number, payload);
        if self.block.is_full() {
            datagrams.extend((0..PARITY).map(|index| self.parity(index)));
            self.block.clear();
        }
        Ok(datagrams)
    }

    /// How many packets nobody hears at the beginning, made whole blocks, so that the first that is heard begins one.
    pub fn unheard(&self) -> u64 {
        u64::from(UNHEARD_MS / self.packet_ms).next_multiple_of(DATA as u64)
    }

    fn keep(&mut self, number: u64, payload: Vec<u8>) {
        let place = number % DATA as u64;
        let follows = number == self.first + self.block.len() as u64;
        if place == 0 || !follows {
            self.block.clear();
            self.first = number;
        }
        // Clients know blocks by where they begin.
        if place == self.block.len() as u64 {
            self.block.push(payload);
        }
    }

    fn parity(&self, index: usize) -> Datagram {
        let row = MATRIX.get(index).copied().unwrap_or_default();
        let mut parity = vec![0; self.block.first().map_or(0, Vec::len)];
        let (multiply, multiply_add) = self.multiply;
        for (column, (factor, payload)) in row.into_iter().zip(&self.block).enumerate() {
            if column == 0 {
                multiply(factor, payload, &mut parity);
            } else {
                multiply_add(factor, payload, &mut parity);
            }
        }
        let sequence = (self.first as u16).wrapping_add((DATA + index) as u16);
        let [s0, s1] = (self.first as u16).to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp(self.first).to_be_bytes();
        let head = [index as u8, OPUS_TYPE, s0, s1, t0, t1, t2, t3, 0, 0, 0, 0];
        datagram(&rtp(PARITY_TYPE, sequence, 0), &head, &parity)
    }

    fn timestamp(&self, number: u64) -> u32 {
        (number as u32).wrapping_mul(self.packet_ms)
    }
}

fn rtp(kind: u8, sequence: u16, timestamp: u32) -> [u8; RTP_LEN] {
    let ([s0, s1], [t0, t1, t2, t3]) = (sequence.to_be_bytes(), timestamp.to_be_bytes());
    [0x80, kind, s0, s1, t0, t1, t2, t3, 0, 0, 0, 0]
}

fn datagram(rtp: &[u8], head: &[u8], payload: &[u8]) -> Datagram {
    rtp.iter().chain(head).chain(payload).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::cipher::{DecryptionContext, PaddedBlockDecryptingKey};

    fn opus(number: u64) -> Vec<u8> {
        (0..60u64).map(|n| (number * 31 + n * 7) as u8).collect()
    }

    fn send(packetiser: &mut AudioPacketiser, numbers: std::ops::Range<u64>) -> Vec<Datagram> {
        numbers.flat_map(|number| packetiser.packetise(number, &opus(number)).unwrap()).collect()
    }

    /// Bit by bit, with the polynomial of the first line.
    fn multiply(mut a: u8, mut b: u8) -> u8 {
        let mut product = 0;
        while b != 0 {
            product ^= if b & 1 == 1 { a } else { 0 };
            a = (a << 1) ^ if a & 0x80 != 0 { 0x1d } else { 0 };
            b >>= 1;
        }
        product
    }

    // Source: gamestream.md 4.8. Sabotage: count the timestamp in samples, or parity's sequence from the block's first.
    #[test]
    fn four_packets_and_their_parity_are_as_clients_read_them() {
        let datagrams = send(&mut AudioPacketiser::new(5, None), 8..12);
        assert_eq!(datagrams.len(), DATA + PARITY);
        assert_eq!(datagrams[1][..12], [0x80, 97, 0, 9, 0, 0, 0, 45, 0, 0, 0, 0]);
        assert_eq!(datagrams[1][12..], opus(9));
        assert_eq!(
            datagrams[4][..24],
            [0x80, 127, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 97, 0, 8, 0, 0, 0, 40, 0, 0, 0, 0]
        );
        assert_eq!(datagrams[5][..16], [0x80, 127, 0, 13, 0, 0, 0, 0, 0, 0, 0, 0, 1, 97, 0, 8]);
        for (row, parity) in MATRIX.iter().zip(&datagrams[4..]) {
            for at in 0..60 {
                let sum = (0..4).fold(0, |sum, n| sum ^ multiply(row[n], opus(8 + n as u64)[at]));
                assert_eq!(parity[24 + at], sum);
            }
        }
    }

    /// Sabotage: make parity of whatever four packets came last.
    #[test]
    fn a_restart_amid_a_block_costs_its_parity_and_no_other() {
        let kinds = |numbers| -> Vec<u8> {
            send(&mut AudioPacketiser::new(10, None), numbers).iter().map(|datagram| datagram[1]).collect()
        };
        assert_eq!(kinds(2..8), [97, 97, 97, 97, 97, 97, 127, 127]);
        assert_eq!(kinds(65_534..65_540), [97, 97, 97, 97, 97, 97, 127, 127]);
        let mut packetiser = AudioPacketiser::new(5, None);
        send(&mut packetiser, 0..2);
        assert!(send(&mut packetiser, 3..4).iter().all(|datagram| datagram[1] == 97), "2 is missing");
        assert_eq!(send(&mut packetiser, 4..8).len(), 6);
    }

    // Source: gamestream.md 4.8. Sabotage: seal after parity, or take the IV of another number.
    #[test]
    fn sealed_packets_open_with_their_own_iv() {
        let key = SessionKey::from_bytes([7; 16]);
        let mut packetiser = AudioPacketiser::new(5, Some((&key, -2)));
        let datagrams = send(&mut packetiser, 65_536..65_540);
        for (n, datagram) in datagrams[..4].iter().enumerate() {
            let unbound = UnboundCipherKey::new(&AES_128, key.as_bytes()).unwrap();
            let opener = PaddedBlockDecryptingKey::cbc_pkcs7(unbound).unwrap();
            let mut iv = [0; 16];
            iv[..4].copy_from_slice(&(n as u32).wrapping_sub(2).to_be_bytes());
            let mut bytes = datagram[12..].to_vec();
            assert_eq!(bytes.len(), 64);
            let plain = opener.decrypt(&mut bytes, DecryptionContext::Iv128(FixedLength::from(iv))).unwrap();
            assert_eq!(plain, opus(65_536 + n as u64));
        }
        let sum = (0..4).fold(0, |sum, n| sum ^ multiply(MATRIX[1][n], datagrams[n][12]));
        assert_eq!(datagrams[5][24], sum, "parity is that of what is sealed");
    }

    // Sabotage: leave the fiftieth packet of 10 ms the second of a block, of which the client then gets no parity.
    #[test]
    fn what_nobody_hears_is_whole_blocks() {
        assert_eq!([5, 10].map(|ms| AudioPacketiser::new(ms, None).unheard()), [100, 52]);
    }

    /// Sabotage: send a packet of another length.
    #[test]
    fn a_packet_that_would_end_parity_for_good_is_refused() {
        let mut packetiser = AudioPacketiser::new(5, None);
        assert!(packetiser.packetise(0, &[1; 60]).is_ok());
        assert_eq!(packetiser.packetise(1, &[1; 59]).unwrap_err(), AudioError::Uneven { need: 60, got: 59 });
        assert!(packetiser.packetise(1, &[1; 60]).is_ok());
        let mut packetiser = AudioPacketiser::new(5, None);
        assert!(packetiser.packetise(0, &[0; MAX_OPUS + 1]).is_err());
        assert!(packetiser.packetise(0, &[0; MAX_OPUS]).is_ok());
    }
}
