//! What a GameStream session's record has beside what every session's has.

use std::net::{IpAddr, SocketAddr};

use arrayvec::ArrayVec;
use lumen_core::SequenceCounter;
use lumen_gamestream::{control::ReplayWindow, enet, keys::SessionKey, rtsp::StreamConfig};
use lumen_ipc::input::MAX_HELD;
use lumen_stage::memory::SharedMemory;
use serde::{Deserialize, Serialize};

use super::{
    BYTES, CONTROL, Fixed, PARITY, PLAYING, Record, RecordError,
    slot::{read_slot, write_long_slot, write_slot},
};
use crate::video::outlet::Destination;

/// What never changes in a GameStream session, and no lumen/1 session has.
const TERMS: usize = 2816;

/// Bytes of a slot of [`Talk`], of which there are two.
const TALK_BYTES: usize = 96 << 10;
const _: () = assert!(enet::MAX_RECORD_BYTES + 4096 <= TALK_BYTES, "whatever ENet records has its place");

/// Bytes of a record with its talk.
const LONG_BYTES: u64 = BYTES + 2 * TALK_BYTES as u64;

/// What RTSP agreed on.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// `rikey` of the launch or resume.
    pub key: [u8; 16],
    /// The app's number in the list.
    pub app: i32,
    /// What the client's pings to the video port carry.
    pub video: [u8; 16],
    /// What its ENet connect carries.
    pub control: u32,
    /// All else.
    pub config: StreamConfig,
}

impl std::fmt::Debug for Terms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terms").field("app", &self.app).field("config", &self.config).finish_non_exhaustive()
    }
}

impl Terms {
    /// The key that all is sealed with.
    pub fn key(&self) -> SessionKey {
        SessionKey::from_bytes(self.key)
    }
}

/// How far the control connection is. Written before anything of it is acknowledged or acted upon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Talk {
    /// ENet's state.
    pub peer: enet::Record,
    /// Which of the client's messages were seen.
    pub window: ReplayWindow,
    /// Keys and buttons that are down.
    pub held: ArrayVec<u16, MAX_HELD>,
    /// Where the client is.
    pub to: SocketAddr,
    /// To which of our addresses it speaks.
    pub from: Option<IpAddr>,
}

impl Talk {
    /// Where the client is.
    pub fn place(&self) -> Destination {
        Destination { to: self.to, from: self.from }
    }
}

impl Record {
    /// A new GameStream session's: its frames are numbered from 1.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn make_gamestream(fixed: &Fixed, terms: &Terms, bitrate_bps: u32) -> Result<Self, RecordError> {
        let mut memory = SharedMemory::new("lumen-session", LONG_BYTES)?;
        write_slot(&mut memory, TERMS, terms)?;
        let record = Self::found(fixed, bitrate_bps, memory)?;
        record.set_next_frame(1);
        Ok(record)
    }

    /// All of the memory of which `memory` is the first page.
    pub(super) fn whole(memory: SharedMemory) -> Result<SharedMemory, RecordError> {
        if read_slot::<Terms>(&memory, TERMS).is_none() {
            return Ok(memory);
        }
        let fd = std::os::fd::AsFd::as_fd(&memory).try_clone_to_owned();
        Ok(SharedMemory::adopt(fd.map_err(|_| RecordError::Unreadable)?, LONG_BYTES)?)
    }

    /// What RTSP agreed on; `None` for a lumen/1 session.
    pub fn terms(&self) -> Option<Terms> {
        read_slot(&self.lock(), TERMS)
    }

    /// Whether the client has said PLAY: before, nothing of it can be gone on with.
    pub fn is_playing(&self) -> bool {
        self.number(PLAYING) != 0
    }

    /// The client said PLAY.
    pub fn set_playing(&self) {
        self.set_number(PLAYING, 1);
    }

    /// Parity of the frames, in percent, as the client's losses asked for it last; 0 before.
    pub fn parity(&self) -> u8 {
        u8::try_from(self.number(PARITY)).unwrap_or(u8::MAX)
    }

    /// It is another.
    pub fn set_parity(&self, percent: u8) {
        self.set_number(PARITY, percent.into());
    }

    /// How far the control connection is; `None` before its first datagram.
    pub fn talk(&self) -> Option<Talk> {
        newest(&self.lock()).map(|(_, talk)| talk)
    }

    /// To be called before what it stands for is acknowledged or done; `turn` rises by one with each.
    pub fn set_talk(&self, turn: u64, talk: &Talk) {
        // What ENet records is bounded, and has its place.
        let _ = write_long_slot(&mut self.lock(), talk_at(turn), TALK_BYTES, &(turn, talk));
    }

    /// The turn of the newest talk.
    pub fn talk_turn(&self) -> u64 {
        newest(&self.lock()).map_or(0, |(turn, _)| turn)
    }

    /// Numbers for control messages to the client.
    pub fn control_numbers(&self) -> ControlNumbers<'_> {
        ControlNumbers(self)
    }
}

fn talk_at(turn: u64) -> usize {
    BYTES as usize + if turn.is_multiple_of(2) { 0 } else { TALK_BYTES }
}

fn newest(memory: &SharedMemory) -> Option<(u64, Talk)> {
    let talks = (0..2).filter_map(|turn| read_slot::<(u64, Talk)>(memory, talk_at(turn)));
    talks.max_by_key(|(turn, _)| *turn)
}

/// Each one is taken before it is used.
#[derive(Debug)]
pub struct ControlNumbers<'a>(&'a Record);

impl SequenceCounter for ControlNumbers<'_> {
    fn reserve(&mut self, count: u64) -> Option<u64> {
        let first = self.0.number(CONTROL);
        self.0.set_number(CONTROL, first.checked_add(count)?);
        Some(first)
    }
}

#[cfg(test)]
pub(crate) mod tests;
