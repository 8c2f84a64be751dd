//! What the next incarnation must know of a session: one memfd in the fd store for each.
//!
//! ```text
//! 0     magic 8 ‖ version u32 ‖ unused u32
//! 16    slot of [`Fixed`], written once before the descriptor is stored        slot = checksum 8 ‖ length u32 ‖ bytes
//! 2048  sequence u64 ‖ next_frame u64 ‖ bitrate u64 ‖ adoptions u64 ‖ mode u64 ‖ texts u64 ‖ pointer u64 ‖ playing u64 ‖ control u64 ‖
//!       parity u64 ‖ packets of sound u64                                                  each one store, never torn
//! 2136  slot of [`SoundTerms`], written once
//! 2184  channels u64 ‖ microphone u64, each one store
//! 2304  slot of [`Way`]  ‖  2560  slot of [`Way`]: written in turn; the valid one with the higher turn counts
//! 2432, 2688  the same, of the sound
//! 2816  slot of [`Terms`], written once, of a GameStream session
//! 3584  slot of [`Grip`]  ‖  3840  slot of [`Grip`]: written in turn, likewise; of a lumen/1 session
//! 4096  slot of [`Talk`]  ‖  96 KiB on, slot of [`Talk`]: written in turn, likewise; only where there are terms
//! ```
//! **Invariant:** a number is advanced here before anything that carries it is sealed, so that a restart goes on at a
//! number that nobody has seen.
//!
//! Version 1 ended with `adoptions`, version 2 with `texts`, version 3 with the ways, version 4 had no grip, version 5 neither parity nor
//! sound, version 6 no microphone; what came after reads as zero, which means: the mode of the launch, no text yet, the pointer in the
//! picture, lumen/1, nothing held, as little parity as there is, no sound, no microphone.

pub(crate) mod gamestream;
mod slot;
pub(crate) mod sound;

use std::{
    net::{IpAddr, SocketAddr},
    os::fd::AsFd,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use lumen_core::SequenceCounter;
use lumen_ipc::{Mode, SessionId, codec::CodecError};
use lumen_stage::{
    failpoint,
    inherited::{self, Stored},
    memory::{MemoryError, SharedMemory},
};
use serde::{Deserialize, Serialize};

pub use gamestream::{ControlNumbers, Talk, Terms};
use slot::{read, read_slot, write, write_slot};
pub use sound::{PacketNumbers, SoundTerms};

use crate::{peers::hands::Held, recover, video::outlet::Destination};

const BYTES: u64 = 4096;
const MAGIC: [u8; 8] = *b"lumenses";
/// Raised with each change of the layout.
const VERSION: u32 = 7;
/// What the versions before wrote is read as well.
const OLDEST: u32 = 1;

const FIXED: usize = 16;
const SEQUENCE: usize = 2048;
const NEXT_FRAME: usize = 2056;
const BITRATE: usize = 2064;
const ADOPTIONS: usize = 2072;
const MODE: usize = 2080;
const TEXTS: usize = 2088;
const POINTER: usize = 2096;
const PLAYING: usize = 2104;
const CONTROL: usize = 2112;
const PARITY: usize = 2120;
const WAYS: [usize; 2] = [2304, 2560];
const SOUND_WAYS: [usize; 2] = [2432, 2688];
const GRIPS: [usize; 2] = [3584, 3840];

/// Incarnations in a row that may adopt a session without its client coming back: a session on which each of them
/// dies must not be passed on for ever.
const MAX_ADOPTIONS: u64 = 3;

/// Names of records in the fd store start with this; the session's id and its channel follow.
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
    /// Pixels, pixels and mHz, as launched.
    pub mode: (u32, u32, u32),
    /// As launched.
    pub app: Option<String>,
    /// As launched.
    pub parity_percent: u16,
    /// As launched.
    pub datagram_len: u16,
}

/// What goes to a client over a socket of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Road {
    /// Pictures.
    Video,
    /// Sound.
    Sound,
}

impl Road {
    const fn places(self) -> [usize; 2] {
        match self {
            Self::Video => WAYS,
            Self::Sound => SOUND_WAYS,
        }
    }
}

/// Where one of them goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Way {
    turn: u64,
    /// Number of the hello that said so: older ones are not believed.
    hello: u64,
    to: SocketAddr,
    from: Option<IpAddr>,
}

/// What a client of lumen/1 holds down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Grip {
    turn: u64,
    held: Held,
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
    /// The next incarnation goes on with it.
    is_left: AtomicBool,
}

impl Record {
    /// A new session's.
    ///
    /// # Errors
    /// [`RecordError`] if there is no memory, or `fixed` is too long.
    pub fn make(fixed: &Fixed, bitrate_bps: u32) -> Result<Self, RecordError> {
        Self::found(fixed, bitrate_bps, SharedMemory::new("lumen-session", BYTES)?)
    }

    /// Writes into fresh memory what every session has.
    fn found(fixed: &Fixed, bitrate_bps: u32, mut memory: SharedMemory) -> Result<Self, RecordError> {
        write(&mut memory, 0, &MAGIC);
        write(&mut memory, MAGIC.len(), &VERSION.to_le_bytes());
        write_slot(&mut memory, FIXED, fixed)?;
        // With the channel, because one that takes this session over has the same id and its own record.
        let name = format!("{PREFIX}{}-{:08x}", fixed.session, fixed.channel);
        let record = Self::over(name, memory);
        record.set_bitrate(bitrate_bps);
        record.set_mode(launched_mode(fixed));
        Ok(record)
    }

    /// One that an earlier incarnation left.
    ///
    /// # Errors
    /// [`RecordError`]; the session is lost.
    pub fn adopt(stored: Stored) -> Result<(Self, Fixed), RecordError> {
        let mut memory = SharedMemory::adopt(stored.fd, BYTES)?;
        let version = read(&memory, MAGIC.len()).map(u32::from_le_bytes);
        let is_known = version.is_some_and(|version| (OLDEST..=VERSION).contains(&version));
        if read(&memory, 0) != Some(MAGIC) || !is_known {
            return Err(RecordError::Unreadable);
        }
        let fixed: Fixed = read_slot(&memory, FIXED).ok_or(RecordError::Unreadable)?;
        write(&mut memory, MAGIC.len(), &VERSION.to_le_bytes());
        let record = Self::over(stored.name, Self::whole(memory)?);
        if record.number(MODE) == 0 {
            record.set_mode(launched_mode(&fixed));
        }
        let adoptions = record.number(ADOPTIONS);
        if adoptions >= MAX_ADOPTIONS {
            return Err(RecordError::Deadly);
        }
        record.set_number(ADOPTIONS, adoptions + 1);
        Ok((record, fixed))
    }

    fn over(name: String, memory: SharedMemory) -> Self {
        Self { name, memory: Mutex::new(memory), is_left: AtomicBool::new(false) }
    }

    /// Puts it into the fd store; dropping the record takes it out.
    pub fn store(&self) {
        if let Err(error) = inherited::store(&self.name, self.lock().as_fd()) {
            tracing::warn!(STAGE = "transportd", "{} would not survive a restart: {error}", self.name);
        }
    }

    /// Leaves it in the fd store for the next incarnation, which does not count this one as one that died with it.
    pub fn leave(&self) {
        self.forgive();
        self.is_left.store(true, Relaxed);
    }

    /// A copy, as the fd store has it.
    pub fn duplicate(&self) -> std::io::Result<Stored> {
        Ok(Stored { name: self.name.clone(), fd: self.lock().as_fd().try_clone_to_owned()? })
    }

    /// Its client is back: what happened before is forgiven.
    pub fn forgive(&self) {
        self.set_number(ADOPTIONS, 0);
        failpoint::at(recover::FORGIVEN);
    }

    /// Number of the next frame.
    pub fn next_frame(&self) -> u64 {
        self.number(NEXT_FRAME)
    }

    /// To be called before a frame is cut.
    pub fn set_next_frame(&self, next_frame: u64) {
        self.set_number(NEXT_FRAME, next_frame);
        failpoint::at(recover::FRAME_STORED);
    }

    /// Bits a second that the client asked for last.
    pub fn bitrate(&self) -> u32 {
        u32::try_from(self.number(BITRATE)).unwrap_or(u32::MAX)
    }

    /// The client asks for another.
    pub fn set_bitrate(&self, bps: u32) {
        self.set_number(BITRATE, bps.into());
        failpoint::at(recover::BITRATE_STORED);
    }

    /// The mode that was asked for last, and that the pictures have or will have.
    pub fn mode(&self) -> Mode {
        let packed = self.number(MODE);
        Mode {
            width: (packed >> 48) as u32,
            height: (packed >> 32) as u32 & 0xffff,
            refresh_mhz: packed as u32,
        }
    }

    /// The pictures have another one. Width and height are below 2¹⁶, which [`Mode::check`] sees to.
    pub fn set_mode(&self, mode: Mode) {
        let size = u64::from(mode.width & 0xffff) << 48 | u64::from(mode.height & 0xffff) << 32;
        self.set_number(MODE, size | u64::from(mode.refresh_mhz));
        failpoint::at(recover::MODE_STORED);
    }

    /// Number of the text that inputd was told last: one that is told again with it is not typed again.
    pub fn texts(&self) -> u64 {
        self.number(TEXTS)
    }

    /// To be called before inputd is told.
    pub fn set_texts(&self, texts: u64) {
        self.set_number(TEXTS, texts);
    }

    /// Whether the client draws the pointer itself.
    pub fn is_pointer_separate(&self) -> bool {
        self.number(POINTER) != 0
    }

    /// To be called before the record is stored.
    pub fn set_pointer_separate(&self, is_separate: bool) {
        self.set_number(POINTER, is_separate.into());
    }

    /// Where what takes `road` goes, and the number of the hello that said so.
    pub fn way(&self, road: Road) -> Option<(Destination, u64)> {
        let way = newest(&self.lock(), road)?;
        let destination = Destination { to: way.to, from: way.from };
        Some((destination, way.hello))
    }

    /// A hello came.
    pub fn set_way(&self, road: Road, destination: Destination, hello: u64) {
        let mut memory = self.lock();
        let turn = newest(&memory, road).map_or(1, |way| way.turn + 1);
        let way = Way { turn, hello, to: destination.to, from: destination.from };
        let [even, odd] = road.places();
        // An address and a few numbers always fit a slot.
        let _ = write_slot(&mut memory, if turn.is_multiple_of(2) { even } else { odd }, &way);
    }

    /// Keys and buttons that the client holds, as far as it was heard.
    pub fn held(&self) -> Held {
        let talk = self.talk().map(|talk| talk.held);
        talk.or_else(|| newest_grip(&self.lock()).map(|grip| grip.held)).unwrap_or_default()
    }

    /// A client of lumen/1 holds something else.
    pub fn set_held(&self, held: &Held) {
        let mut memory = self.lock();
        let turn = newest_grip(&memory).map_or(1, |grip| grip.turn + 1);
        let [even, odd] = GRIPS;
        // As many codes as there can be, and a number, fit a slot.
        let _ = write_slot(
            &mut memory,
            if turn.is_multiple_of(2) { even } else { odd },
            &Grip { turn, held: held.clone() },
        );
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
        if !self.is_left.load(Relaxed) {
            // Without systemd there is no store to remove it from.
            let _ = inherited::remove(&self.name);
        }
    }
}

impl SequenceCounter for &Record {
    fn reserve(&mut self, count: u64) -> Option<u64> {
        let mut memory = self.lock();
        let first = read(&memory, SEQUENCE).map(u64::from_le_bytes)?;
        write(&mut memory, SEQUENCE, &first.checked_add(count)?.to_le_bytes());
        failpoint::at(recover::SEQUENCE_STORED);
        Some(first)
    }
}

fn launched_mode(fixed: &Fixed) -> Mode {
    let (width, height, refresh_mhz) = fixed.mode;
    Mode { width, height, refresh_mhz }
}

fn newest(memory: &SharedMemory, road: Road) -> Option<Way> {
    let ways = road.places().into_iter().filter_map(|at| read_slot::<Way>(memory, at));
    ways.max_by_key(|way| way.turn)
}

fn newest_grip(memory: &SharedMemory) -> Option<Grip> {
    let grips = GRIPS.into_iter().filter_map(|at| read_slot::<Grip>(memory, at));
    grips.max_by_key(|grip| grip.turn)
}

#[cfg(test)]
pub(crate) mod tests;
