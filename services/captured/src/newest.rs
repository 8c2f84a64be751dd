//! The newest picture, and nothing older: which buffer is being filled, which one waits, which ones the
//! reader holds.
//!
//! ```text
//!           take_free            filled                  poll_frame
//!    Free ────────────► Filling ────────► Kept ───────────────────────► LeasedKept
//!     ▲  ▲                 │               │  ▲                          │      │
//!     │  └── missed ───────┘               │  └────── returned ──────────┘      │
//!     │          a newer picture came      │                                    │ a newer picture came
//!     ├────────────────────────────────────┘                                    ▼
//!     └──────────────────────────────── returned ──────────────────────────── Leased
//! ```
//!
//! A reader holds at most [`MAX_FRAMES_OUT`] Frames. While it holds that many, a newer picture replaces the
//! waiting one and the damage of both is united: a slow reader costs pictures, never latency. The newest
//! buffer is kept until a newer one came, so that the reader of a still screen gets a picture at once. Pure:
//! no clock, no file descriptor, no allocation.

use crate::backends::Spot;
use arrayvec::ArrayVec;
use lumen_ipc::{
    Damage, Timeline,
    capture::{Frame, MAX_FRAMES_OUT},
    pool::BufferId,
};

/// Fewest buffers of a pool: two at the reader, one kept, two being filled.
pub const MIN_BUFFERS: usize = 5;
/// Most buffers of a pool: as many as a link announces. Our own have [`MIN_BUFFERS`], a producer's what it gives.
pub const MAX_BUFFERS: usize = lumen_ipc::pool::MAX_BUFFERS;

/// What a source says of one picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// What differs from the picture that this source gave before.
    pub damage: Damage,
    /// When this stage had it, CLOCK_MONOTONIC ns.
    pub dequeued_ns: u64,
    /// Where the pointer is to be drawn; `None`: nowhere, or it is in the picture.
    pub spot: Option<Spot>,
}

/// A buffer was named that is not in the state that the call needs. From a reader: its fault, and nothing
/// changed.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SlotError {
    /// There is no such buffer.
    #[error("buffer {buffer} of pool {pool} does not exist")]
    Unknown {
        /// The pool that was named.
        pool: u32,
        /// The buffer that was named.
        buffer: u32,
    },
    /// The reader does not hold it.
    #[error("buffer {buffer} was returned though it is not out")]
    NotOut {
        /// The buffer that was named.
        buffer: u32,
    },
    /// Nobody was given it to fill.
    #[error("buffer {buffer} was filled though nobody was given it")]
    NotFilling {
        /// The buffer that was named.
        buffer: u32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Free,
    Filling,
    /// The newest picture, and nobody reads it.
    Kept,
    /// At the reader, and a newer picture came.
    Leased,
    /// At the reader, and still the newest picture.
    LeasedKept,
}

/// What the reader knows of the newest picture.
#[expect(clippy::large_enum_variant, reason = "a box would be an allocation for each picture")]
#[derive(Debug)]
enum Reader {
    Absent,
    /// Got no Frame of this pool yet: it needs all of the next one.
    Fresh,
    Current,
    /// Lacks this damage.
    Behind(Damage),
}

/// What happened to pictures, for Status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Pictures that the source gave.
    pub taken: u64,
    /// Frames handed to readers.
    pub sent: u64,
    /// Pictures replaced before the reader could take them.
    pub skipped: u64,
    /// Times the damage of a replaced picture went into the next.
    pub united: u64,
    /// Buffers that the source gave back empty.
    pub missed: u64,
}

/// The buffers of one pool and what each is used for.
#[derive(Debug)]
pub struct Newest {
    pool: u32,
    slots: ArrayVec<Slot, MAX_BUFFERS>,
    /// The buffers are the source's own.
    lent: bool,
    whole: Damage,
    newest: Option<(u32, u64)>,
    reader: Reader,
    /// Frames of earlier pools that the reader still holds.
    earlier_out: ArrayVec<BufferId, MAX_FRAMES_OUT>,
    skipped_since_sent: u32,
    counters: Counters,
}

impl Newest {
    /// Pool number `pool` of `count` free buffers (held within [`MIN_BUFFERS`]..=[`MAX_BUFFERS`]), pictures
    /// of this size in pixels, and no reader.
    pub fn new(pool: u32, count: usize, width: u32, height: u32) -> Self {
        let count = count.clamp(MIN_BUFFERS, MAX_BUFFERS);
        Self {
            pool,
            slots: (0..count).map(|_| Slot::Free).collect(),
            lent: false,
            whole: Damage::full(width, height),
            newest: None,
            reader: Reader::Absent,
            earlier_out: ArrayVec::new(),
            skipped_since_sent: 0,
            counters: Counters::default(),
        }
    }

    /// The same buffers, but made by the source, which has all of them now.
    pub fn lent(mut self) -> Self {
        self.slots.iter_mut().for_each(|slot| *slot = Slot::Filling);
        Self { lent: true, ..self }
    }

    /// Whether the buffers are the source's own: it gets each back as soon as it is free.
    pub fn is_lent(&self) -> bool {
        self.lent
    }

    /// The same reader over a new pool of `count` buffers. Those of the old one are never given to a source again, so
    /// what the reader holds of it stays true until it returns it, and what it returns of it is only counted.
    pub fn renewed(self, pool: u32, count: usize, width: u32, height: u32) -> Self {
        let mut new = Self::new(pool, count, width, height);
        new.earlier_out = self.earlier_out.clone();
        for buffer in self.buffers_in(&[Slot::Leased, Slot::LeasedKept]) {
            new.earlier_out.push(BufferId { pool: self.pool, buffer });
        }
        if !matches!(self.reader, Reader::Absent) {
            new.reader = Reader::Fresh;
        }
        Self { counters: self.counters, ..new }
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Number of the pool.
    pub fn pool(&self) -> u32 {
        self.pool
    }

    /// A buffer for the source to fill, if one is free.
    pub fn take_free(&mut self) -> Option<u32> {
        let buffer = self.buffers_in(&[Slot::Free]).next()?;
        self.set(buffer, Slot::Filling);
        Some(buffer)
    }

    /// The source filled `buffer`: it is the newest picture now.
    ///
    /// # Errors
    /// `NotFilling`, `Unknown`: the source named a buffer that it was not given.
    pub fn filled(&mut self, buffer: u32, picture: &Picture) -> Result<(), SlotError> {
        self.check_filling(buffer)?;
        self.counters.taken += 1;
        if let Some((older, _)) = self.newest {
            self.supersede(older);
        }
        self.add_damage(&picture.damage);
        self.set(buffer, Slot::Kept);
        self.newest = Some((buffer, picture.dequeued_ns));
        Ok(())
    }

    /// The source gives `buffer` back empty.
    ///
    /// # Errors
    /// `NotFilling`, `Unknown`: the source named a buffer that it was not given.
    pub fn missed(&mut self, buffer: u32) -> Result<(), SlotError> {
        self.check_filling(buffer)?;
        self.counters.missed += 1;
        self.set(buffer, Slot::Free);
        Ok(())
    }

    /// A new reader: it holds nothing and has seen nothing, so the newest picture goes to it whole.
    pub fn attach(&mut self) {
        self.detach();
        self.reader = Reader::Fresh;
    }

    /// The reader is gone, and with it all it held.
    pub fn detach(&mut self) {
        self.reader = Reader::Absent;
        self.earlier_out.clear();
        self.skipped_since_sent = 0;
        for slot in &mut self.slots {
            *slot = match *slot {
                Slot::Leased => Slot::Free,
                Slot::LeasedKept => Slot::Kept,
                other => other,
            };
        }
    }

    /// The next Frame for the reader, if there is a picture that it has not seen and it holds fewer than it
    /// may.
    pub fn poll_frame(&mut self) -> Option<Frame> {
        let (buffer, dequeued_ns) = self.newest?;
        if self.out() >= MAX_FRAMES_OUT {
            return None;
        }
        let damage = match std::mem::replace(&mut self.reader, Reader::Current) {
            Reader::Fresh => self.whole.clone(),
            Reader::Behind(damage) => damage,
            seen @ (Reader::Absent | Reader::Current) => {
                self.reader = seen;
                return None;
            }
        };
        self.set(buffer, Slot::LeasedKept);
        self.counters.sent += 1;
        Some(Frame {
            number: self.counters.taken,
            buffer: BufferId { pool: self.pool, buffer },
            damage,
            skipped: std::mem::take(&mut self.skipped_since_sent),
            // What it is at the time of sending is known to the brain alone.
            pointer: None,
            timeline: Timeline { dequeued_ns, ..Timeline::default() },
        })
    }

    /// The reader returns a buffer.
    ///
    /// # Errors
    /// `NotOut`, `Unknown`: the reader's fault.
    pub fn returned(&mut self, id: BufferId) -> Result<(), SlotError> {
        let BufferId { pool, buffer } = id;
        if pool != self.pool {
            let known = self.earlier_out.iter().position(|out| *out == id);
            let index = known.ok_or(SlotError::Unknown { pool, buffer })?;
            self.earlier_out.swap_remove(index);
            return Ok(());
        }
        match self.slot(buffer)? {
            Slot::Leased => self.set(buffer, Slot::Free),
            Slot::LeasedKept => self.set(buffer, Slot::Kept),
            Slot::Free | Slot::Filling | Slot::Kept => return Err(SlotError::NotOut { buffer }),
        }
        Ok(())
    }

    /// How many Frames the reader holds, those of earlier pools too.
    pub fn out(&self) -> usize {
        self.buffers_in(&[Slot::Leased, Slot::LeasedKept]).count() + self.earlier_out.len()
    }

    fn add_damage(&mut self, damage: &Damage) {
        match &mut self.reader {
            Reader::Absent => return,
            Reader::Fresh if self.newest.is_none() => return,
            Reader::Fresh => {}
            Reader::Current => {
                self.reader = Reader::Behind(damage.clone());
                return;
            }
            Reader::Behind(lacking) => {
                lacking.unite(damage);
                self.counters.united += 1;
            }
        }
        self.counters.skipped += 1;
        self.skipped_since_sent = self.skipped_since_sent.saturating_add(1);
    }

    fn supersede(&mut self, older: u32) {
        match self.slot(older) {
            Ok(Slot::LeasedKept) => self.set(older, Slot::Leased),
            Ok(Slot::Kept) => self.set(older, Slot::Free),
            _ => {}
        }
    }

    fn check_filling(&self, buffer: u32) -> Result<(), SlotError> {
        match self.slot(buffer)? {
            Slot::Filling => Ok(()),
            _ => Err(SlotError::NotFilling { buffer }),
        }
    }

    fn buffers_in(&self, states: &'static [Slot]) -> impl Iterator<Item = u32> {
        (0u32..).zip(&self.slots).filter(|(_, slot)| states.contains(slot)).map(|(buffer, _)| buffer)
    }

    fn slot(&self, buffer: u32) -> Result<Slot, SlotError> {
        let slot = self.slots.get(buffer as usize).copied();
        slot.ok_or(SlotError::Unknown { pool: self.pool, buffer })
    }

    fn set(&mut self, buffer: u32, to: Slot) {
        if let Some(slot) = self.slots.get_mut(buffer as usize) {
            *slot = to;
        }
    }
}

#[cfg(test)]
mod tests;
