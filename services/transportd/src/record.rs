//! What the next incarnation must know of a session: one memfd in the fd store for each.
//!
//! ```text
//! 0     magic 8 ‖ version u32 ‖ unused u32
//! 16    slot of [`Fixed`], written once before the descriptor is stored        slot = checksum 8 ‖ length u32 ‖ bytes
//! 2048  sequence u64 ‖ next_frame u64 ‖ bitrate u64 ‖ adoptions u64            each one store, so never torn
//! 2304  slot of [`Way`]  ‖  2560  slot of [`Way`]: written in turn; the valid one with the higher turn counts
//! ```
//! **Invariant:** a number is advanced here before anything that carries it is sealed, so that a restart goes on at a
//! number that nobody has seen.

use std::{
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, OwnedFd},
    sync::{Mutex, MutexGuard, PoisonError},
};

use aws_lc_rs::digest::{SHA256, digest};
use lumen_core::SequenceCounter;
use lumen_ipc::{
    SessionId,
    codec::{self, CodecError, MAX_MESSAGE},
};
use lumen_stage::{
    inherited,
    memory::{MemoryError, SharedMemory},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::video::outlet::Destination;

const BYTES: u64 = 4096;
const MAGIC: [u8; 8] = *b"lumenses";
/// Raised with each change of the layout.
const VERSION: u32 = 1;

const FIXED: usize = 16;
const SEQUENCE: usize = 2048;
const NEXT_FRAME: usize = 2056;
const BITRATE: usize = 2064;
const ADOPTIONS: usize = 2072;
const WAYS: [usize; 2] = [2304, 2560];
const CHECKSUM: usize = 8;
const SLOT_HEAD: usize = CHECKSUM + 4;

/// Incarnations in a row that may adopt a session without its client coming back: a session on which each of them
/// dies must not be passed on for ever.
const MAX_ADOPTIONS: u64 = 3;

/// Names of records in the fd store start with this; a session's id follows.
pub const PREFIX: &str = "session-";

/// What never changes in a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fixed {
    /// Its id.
    pub session: SessionId,
    /// Whose it is: the SHA-256 of the certificate.
    pub fingerprint: [u8; 32],
    /// What the client is called.
    pub client: String,
    /// The video channel's number.
    pub channel: u32,
    /// The video channel's secret.
    pub secret: [u8; 32],
    /// Pixels, pixels and mHz.
    pub mode: (u32, u32, u32),
    /// As launched.
    pub app: Option<String>,
    /// As launched.
    pub parity_percent: u16,
    /// As launched.
    pub datagram_len: u16,
}

/// Where video goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Way {
    turn: u64,
    /// Number of the hello that said so: older ones are not believed.
    hello: u64,
    to: SocketAddr,
    from: Option<IpAddr>,
}

/// Why there is no record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// No memory.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// What is to be kept does not fit.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Another version of lumen wrote it, or it is damaged.
    #[error("the record of a session is of another version or damaged")]
    Unreadable,
    /// Too many incarnations died with it.
    #[error("{MAX_ADOPTIONS} incarnations in a row ended with this session")]
    Deadly,
}

/// A session's record.
#[derive(Debug)]
pub struct Record {
    name: String,
    memory: Mutex<SharedMemory>,
}

impl Record {
    /// A new session's.
    ///
    /// # Errors
    /// [`RecordError`] if there is no memory, or `fixed` is too long.
    pub fn make(fixed: &Fixed, bitrate_bps: u32) -> Result<Self, RecordError> {
        let mut memory = SharedMemory::new("lumen-session", BYTES)?;
        write(&mut memory, 0, &MAGIC);
        write(&mut memory, MAGIC.len(), &VERSION.to_le_bytes());
        write_slot(&mut memory, FIXED, fixed)?;
        let record = Self::over(fixed.session, memory);
        record.set_bitrate(bitrate_bps);
        Ok(record)
    }

    /// One that an earlier incarnation left.
    ///
    /// # Errors
    /// [`RecordError`]; the session is lost.
    pub fn adopt(fd: OwnedFd) -> Result<(Self, Fixed), RecordError> {
        let memory = SharedMemory::adopt(fd, BYTES)?;
        let version = read(&memory, MAGIC.len()).map(u32::from_le_bytes);
        if read(&memory, 0) != Some(MAGIC) || version != Some(VERSION) {
            return Err(RecordError::Unreadable);
        }
        let fixed: Fixed = read_slot(&memory, FIXED).ok_or(RecordError::Unreadable)?;
        let record = Self::over(fixed.session, memory);
        let adoptions = record.number(ADOPTIONS);
        if adoptions >= MAX_ADOPTIONS {
            return Err(RecordError::Deadly);
        }
        record.set_number(ADOPTIONS, adoptions + 1);
        Ok((record, fixed))
    }

    fn over(session: SessionId, memory: SharedMemory) -> Self {
        Self { name: format!("{PREFIX}{session}"), memory: Mutex::new(memory) }
    }

    /// Puts it into the fd store; dropping the record takes it out.
    pub fn store(&self) {
        if let Err(error) = inherited::store(&self.name, self.lock().as_fd()) {
            tracing::warn!(STAGE = "transportd", "{} would not survive a restart: {error}", self.name);
        }
    }

    /// A descriptor of the memory, as the fd store has it.
    pub fn duplicate(&self) -> std::io::Result<OwnedFd> {
        self.lock().as_fd().try_clone_to_owned()
    }

    /// Its client is back: what happened before is forgiven.
    pub fn forgive(&self) {
        self.set_number(ADOPTIONS, 0);
    }

    /// Number of the next frame.
    pub fn next_frame(&self) -> u64 {
        self.number(NEXT_FRAME)
    }

    /// To be called before a frame is cut.
    pub fn set_next_frame(&self, next_frame: u64) {
        self.set_number(NEXT_FRAME, next_frame);
    }

    /// Bits a second that the client asked for last.
    pub fn bitrate(&self) -> u32 {
        u32::try_from(self.number(BITRATE)).unwrap_or(u32::MAX)
    }

    /// The client asks for another.
    pub fn set_bitrate(&self, bps: u32) {
        self.set_number(BITRATE, bps.into());
    }

    /// Where video goes, and the number of the hello that said so.
    pub fn way(&self) -> Option<(Destination, u64)> {
        let way = newest(&self.lock())?;
        let destination = Destination { to: way.to, from: way.from };
        Some((destination, way.hello))
    }

    /// A hello came.
    pub fn set_way(&self, destination: Destination, hello: u64) {
        let mut memory = self.lock();
        let turn = newest(&memory).map_or(1, |way| way.turn + 1);
        let way = Way { turn, hello, to: destination.to, from: destination.from };
        let [even, odd] = WAYS;
        // An address and a few numbers always fit a slot.
        let _ = write_slot(&mut memory, if turn.is_multiple_of(2) { even } else { odd }, &way);
    }

    fn number(&self, at: usize) -> u64 {
        read(&self.lock(), at).map(u64::from_le_bytes).unwrap_or_default()
    }

    fn set_number(&self, at: usize, value: u64) {
        write(&mut self.lock(), at, &value.to_le_bytes());
    }

    fn lock(&self) -> MutexGuard<'_, SharedMemory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // Without systemd there is no store to remove it from.
        let _ = inherited::remove(&self.name);
    }
}

impl SequenceCounter for &Record {
    fn reserve(&mut self, count: u64) -> Option<u64> {
        let mut memory = self.lock();
        let first = read(&memory, SEQUENCE).map(u64::from_le_bytes)?;
        write(&mut memory, SEQUENCE, &first.checked_add(count)?.to_le_bytes());
        Some(first)
    }
}

fn newest(memory: &SharedMemory) -> Option<Way> {
    let ways = WAYS.into_iter().filter_map(|at| read_slot::<Way>(memory, at));
    ways.max_by_key(|way| way.turn)
}

fn read<const N: usize>(memory: &SharedMemory, at: usize) -> Option<[u8; N]> {
    memory.bytes().get(at..at + N)?.try_into().ok()
}

fn write(memory: &mut SharedMemory, at: usize, bytes: &[u8]) {
    if let Some(place) = memory.bytes_mut().get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let mut sum = [0; CHECKSUM];
    sum.iter_mut().zip(digest(&SHA256, bytes).as_ref()).for_each(|(to, from)| *to = *from);
    sum
}

fn write_slot<T: Serialize>(memory: &mut SharedMemory, at: usize, value: &T) -> Result<(), RecordError> {
    let mut bytes = [0; MAX_MESSAGE];
    let len = codec::encode(value, &mut bytes)?;
    let bytes = bytes.get(..len).unwrap_or_default();
    write(memory, at, &checksum(bytes));
    write(memory, at + CHECKSUM, &(len as u32).to_le_bytes());
    write(memory, at + SLOT_HEAD, bytes);
    Ok(())
}

fn read_slot<T: DeserializeOwned>(memory: &SharedMemory, at: usize) -> Option<T> {
    let sum: [u8; CHECKSUM] = read(memory, at)?;
    let len = read(memory, at + CHECKSUM).map(u32::from_le_bytes)? as usize;
    let start = at + SLOT_HEAD;
    let bytes = memory.bytes().get(start..start.checked_add(len)?)?;
    (checksum(bytes) == sum).then(|| codec::decode(bytes).ok())?
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub fn fixed(n: u8) -> Fixed {
        Fixed {
            session: SessionId([n; 16]),
            fingerprint: [n; 32],
            client: "living room".into(),
            channel: n.into(),
            secret: [n; 32],
            mode: (1280, 720, 60_000),
            app: Some("x".repeat(256)),
            parity_percent: 20,
            datagram_len: 1400,
        }
    }

    fn way(port: u16) -> Destination {
        Destination { to: ([127, 0, 0, 1], port).into(), from: Some([127, 0, 0, 1].into()) }
    }

    /// Sabotage: keep a number in the process and write it later.
    #[test]
    fn the_next_incarnation_goes_on_at_numbers_nobody_has_seen() {
        let record = Record::make(&fixed(1), 5).unwrap();
        assert_eq!((&record).reserve(10), Some(0));
        assert_eq!((&record).reserve(1), Some(10));
        record.set_next_frame(7);
        record.set_bitrate(6);
        record.set_way(way(1), 3);
        record.set_way(way(2), 4);
        let kept = record.duplicate().unwrap();
        let (next, known) = Record::adopt(kept).unwrap();
        assert_eq!(known, fixed(1));
        assert_eq!((&next).reserve(1), Some(11));
        assert_eq!((next.next_frame(), next.bitrate()), (7, 6));
        assert_eq!(next.way(), Some((way(2), 4)));
    }

    /// Sabotage: leave out the checksum, or use one slot.
    #[test]
    fn a_way_that_was_half_written_is_the_one_before() {
        let record = Record::make(&fixed(1), 5).unwrap();
        record.set_way(way(1), 3);
        record.set_way(way(2), 4);
        record.lock().bytes_mut()[WAYS[0] + SLOT_HEAD] ^= 1;
        assert_eq!(record.way(), Some((way(1), 3)));
    }

    #[test]
    fn foreign_and_damaged_memory_is_no_record() {
        let spoil = |at: usize| {
            let record = Record::make(&fixed(1), 5).unwrap();
            record.lock().bytes_mut()[at] ^= 1;
            Record::adopt(record.duplicate().unwrap())
        };
        for at in [0, 8, FIXED, FIXED + SLOT_HEAD + 3] {
            assert!(matches!(spoil(at), Err(RecordError::Unreadable)), "{at}");
        }
        let null: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
        assert!(matches!(Record::adopt(null), Err(RecordError::Memory(_))));
    }

    /// Sabotage: adopt without end.
    #[test]
    fn a_session_that_kills_its_incarnations_is_given_up() {
        let record = Record::make(&fixed(1), 5).unwrap();
        let adopt = || Record::adopt(record.duplicate().unwrap());
        assert!((0..MAX_ADOPTIONS).all(|_| adopt().is_ok()));
        assert!(matches!(adopt(), Err(RecordError::Deadly)));
        record.forgive();
        assert!(adopt().is_ok());
    }
}
