//! What is remembered of each rung, in memory that outlives the process.
//!
//! ```text
//! memfd: magic u64 ‖ SLOTS × 24 words u64, native order
//!        word 0 inside     calls that are under way           reset by the next incarnation
//!             1 holders    sources or encoders that use it    reset by the next incarnation
//!             2 made       pictures of this incarnation       reset by the next incarnation
//!             3 blow       signal of a crash, or HUNG         reset by the next incarnation, and by a call that ends
//!             4 strikes    deaths in a row inside its calls
//!             5 errors     errors in a row
//!             6 cause      of the newest of both: a signal, HUNG or ERROR
//!             7 newest_ns  when that was, CLOCK_MONOTONIC
//!             8 fell_ns    when it fell; 0: it did not
//!             9 is_last    there is no other rung: it does not fall
//!             10-23        name: `RUNG PURPOSE`, zero-padded
//! ```
//! All words are atomics, because a signal handler writes `blow` while other threads are in their calls.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, SeqCst},
};

use crate::memory::{MemoryError, SharedMemory};

/// Rungs that are remembered at once: eight sessions of two rungs each.
const SLOTS: usize = 16;
const WORDS: usize = 24;
const NAME: std::ops::Range<usize> = 10..WORDS;
/// Longest name in bytes.
pub const MAX_NAME: usize = (NAME.end - NAME.start) * 8;
/// Size of the memfd.
pub const BYTES: u64 = 4096;
const MAGIC: u64 = u64::from_ne_bytes(*b"lumrung1");
/// In place of a signal: the watchdog found the call endless.
pub const HUNG: u64 = 1000;
/// In place of a signal: it returned an error.
pub const ERROR: u64 = 1001;

/// Pictures after which a backend counts as one that works: a crash after them is no strike.
pub const PROVEN: u64 = 60;
/// Strikes, or errors in a row, at which it falls.
pub const MOST: u64 = 3;

/// One rung's memory.
#[derive(Debug, Clone, Copy)]
pub struct Slot(&'static [AtomicU64]);

impl Slot {
    fn word(self, index: usize) -> &'static AtomicU64 {
        // A slot is made of WORDS words, and all indices here are below that.
        self.0.get(index).expect("a word of a slot")
    }

    /// Where it lies, by which it is told from others of this process.
    pub fn address(self) -> usize {
        self.0.as_ptr().addr()
    }

    /// A call begins.
    pub fn enter(self) {
        self.word(0).fetch_add(1, SeqCst);
    }

    /// It ended.
    pub fn leave(self) {
        self.word(3).store(0, Relaxed);
        self.word(0).fetch_sub(1, SeqCst);
    }

    /// Whether a call is under way.
    fn is_inside(self) -> bool {
        self.word(0).load(SeqCst) > 0
    }

    /// The process dies of this while a call is under way. Safe in a signal handler.
    pub fn blow(self, what: u64) {
        if self.is_inside() {
            self.word(3).store(what, SeqCst);
        }
    }

    /// Somebody uses it; `is_last` if there is no other rung to fall to.
    pub fn hold(self, is_last: bool) {
        self.word(9).store(is_last.into(), Relaxed);
        self.word(1).fetch_add(1, Relaxed);
    }

    /// And no longer does.
    pub fn release(self) {
        self.word(1).fetch_sub(1, Relaxed);
    }

    /// It made a picture.
    pub fn made(self) {
        self.word(5).store(0, Relaxed);
        if self.word(2).fetch_add(1, Relaxed) + 1 == PROVEN {
            self.word(4).store(0, Relaxed);
        }
    }

    /// It returned an error. Whether that made it fall.
    pub fn erred(self, now_ns: u64) -> bool {
        let errors = self.word(5).fetch_add(1, Relaxed) + 1;
        self.blame(ERROR, now_ns);
        errors >= MOST && self.fall(now_ns)
    }

    /// It falls, if there is another rung. Whether it does.
    fn fall(self, now_ns: u64) -> bool {
        let falls = self.word(9).load(Relaxed) == 0;
        self.word(8).store(if falls { now_ns } else { 0 }, Relaxed);
        falls
    }

    /// Forgets a fall and all that led to it, if the newest failure is `quiet_ns` ago.
    pub fn forgive(self, quiet_ns: u64, now_ns: u64) {
        if now_ns.saturating_sub(self.word(7).load(Relaxed)) >= quiet_ns {
            (4..=8).for_each(|word| self.word(word).store(0, Relaxed));
        }
    }

    /// Whether it fell, and that is not yet to be forgiven.
    pub fn has_fallen(self, quiet_ns: u64, now_ns: u64) -> bool {
        self.forgive(quiet_ns, now_ns);
        self.word(8).load(Relaxed) != 0
    }

    /// A signal, [`HUNG`] or [`ERROR`].
    pub fn cause(self) -> u64 {
        self.word(6).load(Relaxed)
    }

    fn blame(self, cause: u64, now_ns: u64) {
        self.word(6).store(cause, Relaxed);
        self.word(7).store(now_ns, Relaxed);
    }

    /// What the death of the incarnation before means; the number of strikes, if it was one.
    fn settle(self, now_ns: u64) -> Option<u64> {
        let [inside, _, made, blow] = [0, 1, 2, 3].map(|word| self.word(word).swap(0, SeqCst));
        if inside == 0 || blow == 0 || made >= PROVEN {
            return None;
        }
        self.blame(blow, now_ns);
        let strikes = self.word(4).fetch_add(1, Relaxed) + 1;
        if strikes >= MOST {
            self.fall(now_ns);
        }
        Some(strikes)
    }

    /// `RUNG PURPOSE`; empty if it is free.
    pub fn name(self) -> String {
        let words = self.0.get(NAME).unwrap_or_default();
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.load(Relaxed).to_ne_bytes()).collect();
        String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned()
    }

    /// Whether nothing is lost when another name takes its place.
    fn is_free(self) -> bool {
        [1, 4, 5, 8].iter().all(|word| self.word(*word).load(Relaxed) == 0)
    }

    fn rename(self, name: &str) {
        self.0.iter().for_each(|word| word.store(0, Relaxed));
        for (word, bytes) in self.0.get(NAME).unwrap_or_default().iter().zip(name.as_bytes().chunks(8)) {
            let mut eight = [0; 8];
            eight.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            word.store(u64::from_ne_bytes(eight), Relaxed);
        }
    }
}

/// All of them.
#[derive(Debug, Clone, Copy)]
pub struct Slots(&'static [AtomicU64]);

impl Slots {
    /// Over memory that stays mapped until the process ends, because a signal handler looks into it. Memory of another
    /// layout is begun anew.
    pub fn over(memory: SharedMemory) -> Result<Self, MemoryError> {
        let words = memory.leak();
        let Some((magic, slots)) = words.split_first().filter(|(_, slots)| slots.len() >= SLOTS * WORDS)
        else {
            let got = words.len() as u64 * 8;
            return Err(MemoryError::TooSmall { need: BYTES, got });
        };
        if magic.load(Relaxed) != MAGIC {
            slots.iter().for_each(|word| word.store(0, Relaxed));
            magic.store(MAGIC, Relaxed);
        }
        Ok(Self(slots))
    }

    /// Each of them. Safe in a signal handler.
    pub fn iter(self) -> impl Iterator<Item = Slot> {
        self.0.chunks_exact(WORDS).take(SLOTS).map(Slot)
    }

    /// Judges the death of the incarnation before; those that got a strike, with how many they have.
    pub fn settle(self, now_ns: u64) -> Vec<(Slot, u64)> {
        self.iter().filter_map(|slot| Some((slot, slot.settle(now_ns)?))).collect()
    }

    /// The slot of this name, if there is one.
    pub fn find(self, name: &str) -> Option<Slot> {
        self.iter().find(|slot| slot.name() == name)
    }

    /// The slot of this name, made if there is none; `None` if all are in use.
    pub fn claim(self, name: &str) -> Option<Slot> {
        self.find(name).or_else(|| {
            let slot = self.iter().find(|slot| slot.is_free())?;
            slot.rename(name);
            Some(slot)
        })
    }
}
