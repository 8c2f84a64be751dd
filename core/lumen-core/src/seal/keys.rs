//! The keys of a channel: one secret, two directions, one AES key per epoch.

use crate::wire::ChannelId;
use aws_lc_rs::aead::{AES_128_GCM, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use std::fmt;

/// The label with which both sides ask TLS for a channel's secret; the context is the session id (16 bytes).
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-lumen/1 video";
/// Bytes of a channel's secret.
pub const SECRET_LEN: usize = 32;
/// Because 2²⁶ datagrams of at most 8,952 bytes stay below the confidentiality limit of one key.
pub const EPOCH_BITS: u32 = 26;

/// The secret of one video channel. Its `Debug` says nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct ChannelSecret([u8; SECRET_LEN]);

impl ChannelSecret {
    /// From the TLS exporter, or from where transportd kept it.
    pub fn from_bytes(bytes: [u8; SECRET_LEN]) -> Self {
        Self(bytes)
    }

    /// To be kept where only this stage reads.
    pub fn as_bytes(&self) -> &[u8; SECRET_LEN] {
        &self.0
    }
}

impl fmt::Debug for ChannelSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChannelSecret(…)")
    }
}

/// Which way datagrams go: each has its own keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// Video.
    HostToClient = 1,
    /// Hellos.
    ClientToHost = 2,
}

/// The keys of one channel and direction.
pub(super) struct KeySchedule {
    prk: Prk,
    iv: [u8; 12],
    pub(super) channel: ChannelId,
    pub(super) direction: Direction,
}

struct IvLen;

impl KeyType for IvLen {
    fn len(&self) -> usize {
        12
    }
}

impl KeySchedule {
    pub(super) fn new(secret: &ChannelSecret, channel: ChannelId, direction: Direction) -> Self {
        let prk = Salt::new(HKDF_SHA256, b"lumen/1 video").extract(&secret.0);
        let mut iv = [0; 12];
        prk.expand(&[b"iv", &[direction as u8], &channel.0.to_le_bytes()], IvLen)
            .and_then(|okm| okm.fill(&mut iv))
            .expect("12 bytes are within HKDF-SHA256's 8,160, and the buffer has that length");
        Self { prk, iv, channel, direction }
    }

    pub(super) fn key(&self, epoch: u64) -> EpochKey {
        let info: [&[u8]; 4] =
            [b"key", &[self.direction as u8], &self.channel.0.to_le_bytes(), &epoch.to_le_bytes()];
        let okm =
            self.prk.expand(&info, &AES_128_GCM).expect("16 bytes are within HKDF-SHA256's 8,160 bytes");
        EpochKey { epoch, key: LessSafeKey::new(UnboundKey::from(okm)) }
    }

    pub(super) fn nonce(&self, sequence: u64) -> Nonce {
        let mut nonce = self.iv;
        for (byte, number) in nonce.iter_mut().skip(4).zip(sequence.to_be_bytes()) {
            *byte ^= number;
        }
        Nonce::assume_unique_for_key(nonce)
    }
}

pub(super) struct EpochKey {
    pub(super) epoch: u64,
    pub(super) key: LessSafeKey,
}
