//! Opening: authenticate, then look up in the replay window, then read.

use super::keys::{ChannelSecret, Direction, EPOCH_BITS, EpochKey, KeySchedule};
use crate::replay::{Freshness, ReplayWindow};
use crate::time::Timestamp;
use crate::wire::{ChannelId, HEADER_LEN, Header, HelloBody, Kind, Shard, WireError};
use aws_lc_rs::aead::Aad;
use std::fmt;

/// Because each epoch a receiver tries costs a key derivation; more than 2³⁶ datagrams lost in a row is no network.
const EPOCHS_AHEAD: u64 = 1024;

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

    /// An opener that takes every datagram below `next` for seen: for a successor, which must not believe a hello that its
    /// predecessor believed before.
    pub fn resuming_at(secret: &ChannelSecret, channel: ChannelId, direction: Direction, next: u64) -> Self {
        let mut opener = Self::new(secret, channel, direction);
        // Of the last that was seen: what its epoch repeats is then told from what nobody sealed.
        opener.keys[0] = opener.schedule.key(next.saturating_sub(1) >> EPOCH_BITS);
        opener.window = ReplayWindow::resuming_at(next);
        opener
    }

    /// One past the highest sequence number opened: what a successor needs. Store it before acting on what was opened.
    pub fn next_sequence(&self) -> u64 {
        self.window.end()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::{LocalCounter, Sealer};
    use crate::wire::HELLO_LEN;

    fn secret() -> ChannelSecret {
        ChannelSecret::from_bytes(std::array::from_fn(|index| index as u8))
    }

    fn hello(sealer: &mut Sealer, sequence: u64) -> [u8; HELLO_LEN] {
        sealer.seal_hello(Timestamp::from_ns(1), &mut LocalCounter::starting_at(sequence)).unwrap()
    }

    #[test]
    fn only_a_newer_hello_moves_the_path() {
        let (channel, direction) = (ChannelId(9), Direction::ClientToHost);
        let mut sealer = Sealer::new(&secret(), channel, direction);
        let mut opener = Opener::new(&secret(), channel, direction);
        let mut newest = |opener: &mut Opener, sequence| match opener.open(&mut hello(&mut sealer, sequence))
        {
            Ok(Opened::Hello(hello)) => Some(hello.is_newest),
            _ => None,
        };
        assert_eq!(newest(&mut opener, 5), Some(true));
        assert_eq!(newest(&mut opener, 4), Some(false));
        assert_eq!(newest(&mut opener, 5), None);
        let next = opener.next_sequence();
        // Sabotage: a successor with an empty window, and the next line finds a replayed hello believed.
        let mut successor = Opener::resuming_at(&secret(), channel, direction, next);
        assert_eq!(newest(&mut successor, 5), None);
        assert_eq!(newest(&mut successor, 6), Some(true));
    }

    #[test]
    fn a_successor_knows_the_key_of_a_later_epoch() {
        let (channel, direction, late) = (ChannelId(9), Direction::ClientToHost, 5000 << EPOCH_BITS);
        let mut sealer = Sealer::new(&secret(), channel, direction);
        let mut opener = Opener::resuming_at(&secret(), channel, direction, late);
        assert!(opener.open(&mut hello(&mut sealer, late + 1)).is_ok());
        // Sabotage: the key of `late` alone, which took what was seen just before it for forged.
        let mut opener = Opener::resuming_at(&secret(), channel, direction, late);
        let seen = opener.open(&mut hello(&mut sealer, late - 1)).err();
        assert_eq!(seen, Some(OpenError::Replayed { sequence: late - 1 }));
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", secret()), "ChannelSecret(…)");
    }
}
