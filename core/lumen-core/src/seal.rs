//! AES-128-GCM for each datagram, with keys from the TLS exporter.
//!
//! ```text
//! prk        = HKDF-Extract-SHA256(salt "lumen/1 video", secret)
//! key(epoch) = HKDF-Expand(prk, "key" ‖ direction u8 ‖ channel u32 ‖ epoch u64, 16)
//! iv         = HKDF-Expand(prk, "iv"  ‖ direction u8 ‖ channel u32, 12)
//! epoch      = sequence >> 26
//! nonce      = iv XOR (0⁴ ‖ sequence big-endian)
//! ```
//! The key follows from the sequence number, because a channel at 10 Gbit/s outlives what one AES-GCM key may seal within
//! minutes (RFC 9001 § B.1: 2²⁸ short packets) and no message is then needed to change it.
//!
//! **Invariant**: a sequence number is reserved before anything is sealed with it, so a crash can skip numbers, never reuse one.

use crate::replay::{Freshness, ReplayWindow};
use crate::time::Timestamp;
use crate::wire::{
    ChannelId, HEADER_LEN, HELLO_LEN, Header, HelloBody, Kind, Shard, TAG_LEN, WireError,
};
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use zerocopy::IntoBytes;

/// The label with which both sides ask TLS for a channel's secret; the context is the session id (16 bytes).
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-lumen/1 video";
/// Bytes of a channel's secret.
pub const SECRET_LEN: usize = 32;
/// Because 2²⁶ datagrams of at most 8,952 bytes stay below the confidentiality limit of one key.
pub const EPOCH_BITS: u32 = 26;
/// Because each epoch a receiver tries costs a key derivation; more than 2³⁶ datagrams lost in a row is no network.
const EPOCHS_AHEAD: u64 = 1024;

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

/// Why a datagram was not opened. Each is counted in [`OpenCounters`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Its tag is wrong, or its header is not of this channel.
    #[error("a datagram that the peer did not seal")]
    Forged,
    /// Sealed by the peer, but it came before, or is older than the window.
    #[error("datagram {sequence} came before")]
    Replayed {
        /// Its number.
        sequence: u64,
    },
    /// Too short to be judged, or sealed by the peer and yet nonsense.
    #[error(transparent)]
    Malformed(#[from] WireError),
}

/// What became of the datagrams handed to an [`Opener`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenCounters {
    /// Opened.
    pub opened: u64,
    /// Not sealed by the peer.
    pub forged: u64,
    /// Came before.
    pub replayed: u64,
    /// Too short, or nonsense within a good seal.
    pub malformed: u64,
}

/// The keys of one channel and direction.
struct KeySchedule {
    prk: Prk,
    iv: [u8; 12],
    channel: ChannelId,
    direction: Direction,
}

struct IvLen;

impl KeyType for IvLen {
    fn len(&self) -> usize {
        12
    }
}

impl KeySchedule {
    fn new(secret: &ChannelSecret, channel: ChannelId, direction: Direction) -> Self {
        let prk = Salt::new(HKDF_SHA256, b"lumen/1 video").extract(&secret.0);
        let mut iv = [0; 12];
        prk.expand(&[b"iv", &[direction as u8], &channel.0.to_le_bytes()], IvLen)
            .and_then(|okm| okm.fill(&mut iv))
            .expect("12 bytes are within HKDF-SHA256's 8,160, and the buffer has that length");
        Self { prk, iv, channel, direction }
    }

    fn key(&self, epoch: u64) -> EpochKey {
        let info: [&[u8]; 4] =
            [b"key", &[self.direction as u8], &self.channel.0.to_le_bytes(), &epoch.to_le_bytes()];
        let okm =
            self.prk.expand(&info, &AES_128_GCM).expect("16 bytes are within HKDF-SHA256's 8,160 bytes");
        EpochKey { epoch, key: LessSafeKey::new(UnboundKey::from(okm)) }
    }

    fn nonce(&self, sequence: u64) -> Nonce {
        let mut nonce = self.iv;
        for (byte, number) in nonce.iter_mut().skip(4).zip(sequence.to_be_bytes()) {
            *byte ^= number;
        }
        Nonce::assume_unique_for_key(nonce)
    }
}

struct EpochKey {
    epoch: u64,
    key: LessSafeKey,
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

/// A hello that the client really sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// When, on the client's clock.
    pub sent: Timestamp,
    /// Its number.
    pub sequence: u64,
    /// No later hello came before: only then may the host move its path to where this one came from, because a delayed one
    /// could come from a place that the client has left.
    pub is_newest: bool,
}

/// What a datagram held.
#[derive(Clone, Copy, Debug)]
pub enum Opened<'a> {
    /// A shard of a frame.
    Video(Shard<'a>),
    /// The client's path.
    Hello(Hello),
}

/// Opens the datagrams of one channel and direction, each once.
pub struct Opener {
    schedule: KeySchedule,
    /// Keys of the newest authenticated epoch, of the one before it, and of the one tried last.
    keys: [EpochKey; 3],
    window: ReplayWindow,
    counters: OpenCounters,
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("counters", &self.counters).finish_non_exhaustive()
    }
}

impl Opener {
    /// The opener of what comes on `channel` in `direction`.
    pub fn new(secret: &ChannelSecret, channel: ChannelId, direction: Direction) -> Self {
        let schedule = KeySchedule::new(secret, channel, direction);
        let keys = [schedule.key(0), schedule.key(0), schedule.key(0)];
        Self { schedule, keys, window: ReplayWindow::default(), counters: OpenCounters::default() }
    }

    /// What became of all datagrams so far.
    pub fn counters(&self) -> OpenCounters {
        self.counters
    }

    /// Authenticates and opens a datagram in place. A datagram is first authenticated and then looked up in the replay
    /// window, so that a changed sequence number counts as forged, as it should.
    ///
    /// # Errors
    /// [`OpenError`]; the datagram's bytes are then worthless.
    pub fn open<'a>(&mut self, datagram: &'a mut [u8]) -> Result<Opened<'a>, OpenError> {
        let result = self.open_uncounted(datagram);
        match &result {
            Ok(_) => self.counters.opened += 1,
            Err(OpenError::Forged) => self.counters.forged += 1,
            Err(OpenError::Replayed { .. }) => self.counters.replayed += 1,
            Err(OpenError::Malformed(_)) => self.counters.malformed += 1,
        }
        result
    }

    fn open_uncounted<'a>(&mut self, datagram: &'a mut [u8]) -> Result<Opened<'a>, OpenError> {
        let kind = self.kind();
        let header = match Header::parse(datagram) {
            Ok((header, _)) => header,
            Err(short @ WireError::TooShort { .. }) => return Err(short.into()),
            // Whatever the peer seals has this version, so another one is somebody else's.
            Err(_) => return Err(OpenError::Forged),
        };
        if header.channel() != self.schedule.channel || header.kind() != Ok(kind) {
            return Err(OpenError::Forged);
        }
        let sequence = header.sequence();
        let body = self.authenticate(sequence, datagram)?;
        let freshness = self.window.insert(sequence);
        match (freshness, kind) {
            (Freshness::Replayed, _) => Err(OpenError::Replayed { sequence }),
            (_, Kind::Video) => Ok(Opened::Video(Shard::parse(body)?)),
            (_, Kind::Hello) => Ok(Opened::Hello(Hello {
                sent: HelloBody::parse(body)?,
                sequence,
                is_newest: freshness == Freshness::Newest,
            })),
        }
    }

    /// The only kind that travels in this direction.
    fn kind(&self) -> Kind {
        match self.schedule.direction {
            Direction::HostToClient => Kind::Video,
            Direction::ClientToHost => Kind::Hello,
        }
    }

    fn authenticate<'a>(&mut self, sequence: u64, datagram: &'a mut [u8]) -> Result<&'a [u8], OpenError> {
        let slot = self.key_slot(sequence >> EPOCH_BITS).ok_or(OpenError::Forged)?;
        let nonce = self.schedule.nonce(sequence);
        let key = self.keys.get(slot).ok_or(OpenError::Forged)?;
        let (header, sealed) = datagram.split_at_mut_checked(HEADER_LEN).ok_or(OpenError::Forged)?;
        let body =
            key.key.open_in_place(nonce, Aad::from(&*header), sealed).map_err(|_| OpenError::Forged)?;
        if let [current, _, candidate] = &self.keys
            && candidate.epoch > current.epoch
            && slot == 2
        {
            // The peer has moved on: the candidate is now current, and what was current previous.
            self.keys.rotate_right(1);
        }
        Ok(body)
    }

    /// Where the key of `epoch` lies, derived if it may be the next; `None` if no such datagram can be genuine.
    fn key_slot(&mut self, epoch: u64) -> Option<usize> {
        if let Some(slot) = self.keys.iter().position(|key| key.epoch == epoch) {
            return Some(slot);
        }
        let [current, _, candidate] = &mut self.keys;
        if epoch < current.epoch || epoch - current.epoch > EPOCHS_AHEAD {
            return None;
        }
        *candidate = self.schedule.key(epoch);
        Some(2)
    }
}
