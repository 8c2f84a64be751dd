//! Sealing, and where the numbers come from.

use super::keys::{ChannelSecret, Direction, EPOCH_BITS, EpochKey, KeySchedule};
use crate::time::Timestamp;
use crate::wire::{ChannelId, HEADER_LEN, HELLO_LEN, Header, HelloBody, Kind, TAG_LEN};
use aws_lc_rs::aead::Aad;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use zerocopy::IntoBytes;

/// Where the next sequence number of a channel and direction lives.
pub trait SequenceCounter {
    /// Moves the counter on by `count` and returns the first number reserved, or `None` when they are used up. The new value
    /// must be where a successor finds it before this returns.
    fn reserve(&mut self, count: u64) -> Option<u64>;
}

/// A counter that dies with its process.
#[derive(Debug, Default)]
pub struct LocalCounter(u64);

impl LocalCounter {
    /// A counter whose next number is `next`.
    pub fn starting_at(next: u64) -> Self {
        Self(next)
    }
}

impl SequenceCounter for LocalCounter {
    fn reserve(&mut self, count: u64) -> Option<u64> {
        let first = self.0;
        self.0 = first.checked_add(count)?;
        Some(first)
    }
}

/// A counter in memory shared with the successor. Only one sealer may use it at a time.
impl SequenceCounter for &AtomicU64 {
    fn reserve(&mut self, count: u64) -> Option<u64> {
        self.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |next| next.checked_add(count)).ok()
    }
}

/// Why nothing was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The counter has no numbers left: the session must end.
    #[error("the channel's sequence numbers are used up; start a new session")]
    Exhausted,
    /// A datagram shorter than header and tag.
    #[error("{got} bytes cannot hold a header and a tag")]
    TooShort {
        /// Bytes there.
        got: usize,
    },
}

/// Seals the datagrams of one channel and direction.
pub struct Sealer {
    schedule: KeySchedule,
    current: EpochKey,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("channel", &self.schedule.channel).finish_non_exhaustive()
    }
}

impl Sealer {
    /// The sealer of `channel` towards `direction`.
    pub fn new(secret: &ChannelSecret, channel: ChannelId, direction: Direction) -> Self {
        let schedule = KeySchedule::new(secret, channel, direction);
        let current = schedule.key(0);
        Self { schedule, current }
    }

    /// Writes header and tag of `datagram` and seals what is between them, in place. `sequence` must have been reserved.
    ///
    /// # Errors
    /// [`SealError::TooShort`] if there is no room for header and tag.
    pub fn seal(&mut self, kind: Kind, sequence: u64, datagram: &mut [u8]) -> Result<(), SealError> {
        let got = datagram.len();
        let too_short = SealError::TooShort { got };
        let (header, rest) = datagram.split_at_mut_checked(HEADER_LEN).ok_or(too_short)?;
        let body_len = rest.len().checked_sub(TAG_LEN).ok_or(too_short)?;
        let (body, tag) = rest.split_at_mut_checked(body_len).ok_or(too_short)?;
        header.copy_from_slice(Header::new(kind, self.schedule.channel, sequence).as_bytes());
        if self.current.epoch != sequence >> EPOCH_BITS {
            self.current = self.schedule.key(sequence >> EPOCH_BITS);
        }
        let nonce = self.schedule.nonce(sequence);
        let made = self
            .current
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(&*header), body)
            .expect("AES-GCM seals anything below 64 GiB");
        tag.copy_from_slice(made.as_ref());
        Ok(())
    }

    /// A hello, sealed and ready to be sent.
    ///
    /// # Errors
    /// [`SealError::Exhausted`].
    pub fn seal_hello(
        &mut self,
        now: Timestamp,
        counter: &mut impl SequenceCounter,
    ) -> Result<[u8; HELLO_LEN], SealError> {
        let sequence = counter.reserve(1).ok_or(SealError::Exhausted)?;
        let mut datagram = [0; HELLO_LEN];
        if let Some(body) = datagram.get_mut(HEADER_LEN..HELLO_LEN - TAG_LEN) {
            body.copy_from_slice(HelloBody::new(now).as_bytes());
        }
        self.seal(Kind::Hello, sequence, &mut datagram)?;
        Ok(datagram)
    }
}
