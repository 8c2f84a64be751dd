//! Explicit sync: no picture is looked at before its producer's GPU has drawn it, and each buffer's release is signalled
//! once, when nobody looks at it any more.
//!
//! ```text
//!            came                     its point is reached
//!   Away ───────────► Waiting ───────────────────────────────────► Ready (the picture goes on)
//!    ▲                   │ a later picture's came first: Overtaken     │
//!    │                   │ not within a second:          Late          │
//!    └───── release ◄────┴─────────────────────────────────────────────┘
//! ```
//! Whoever reads the picture has no part in this: a reader that dies gives its leases back, and with them the release
//! follows. A gate that is dropped releases all that is due. What never came is released too: before 1.6 PipeWire loses a
//! buffer, and nobody tells its producer, where the next one is given before its reader took it.

use crate::backends::SourceError;
use arrayvec::ArrayVec;
use lumen_ipc::pool::MAX_BUFFERS;
use rustix::{
    event::{EventfdFlags, eventfd},
    io::Errno,
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How long a picture is waited for, and a buffer that was given, ns. Because one that takes longer is of no use to somebody who looks at it live, and a
/// GPU that takes longer has been reset.
const PATIENCE_NS: u64 = 1_000_000_000;
/// Pictures in a row that may be late. Because a producer that never signals would show nothing at all.
const MOST_LATE: u32 = 3;
/// Time between two looks where the kernel cannot ring (before Linux 6.6), ns.
const LOOK_NS: u64 = 2_000_000;

/// What is needed of a timeline. Nothing here waits.
pub(super) trait Points {
    /// Whether the point is reached.
    fn has_reached(&self, point: u64) -> Result<bool, Errno>;
    /// Adds one to the eventfd `bell` once the point is reached.
    fn ring(&self, point: u64, bell: BorrowedFd<'_>) -> Result<(), Errno>;
    /// Raises the timeline to the point.
    fn signal(&self, point: u64) -> Result<(), Errno>;
}

/// What a producer says of a buffer that it gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    /// It may be looked at from here on; 0: at once.
    pub acquire: u64,
    /// To be signalled when nobody looks at it any more; 0: nothing is.
    pub release: u64,
}

/// What became of a picture that was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passage {
    /// It may be looked at.
    Ready,
    /// A later one may be looked at already.
    Overtaken,
    /// It took too long.
    Late,
}

#[derive(Debug)]
struct Entry<B, T> {
    buffer: B,
    acquire: T,
    release: T,
    /// To be signalled.
    due: Option<u64>,
    /// The last point that was signalled. Because a producer that gives a buffer without a picture leaves the points in it.
    released: u64,
    /// It came, and is not released yet.
    is_ours: bool,
    /// Its producer wants it released at this point although it did not come, and from when on that is so.
    lost: Option<(u64, u64)>,
}

#[derive(Debug)]
struct Waiting<B> {
    buffer: B,
    point: u64,
    until_ns: u64,
}

/// The buffers `B` of a stream that have timelines `T`.
#[derive(Debug)]
pub(super) struct Gate<B: Copy + PartialEq, T: Points> {
    entries: ArrayVec<Entry<B, T>, MAX_BUFFERS>,
    /// The oldest first.
    waiting: ArrayVec<Waiting<B>, MAX_BUFFERS>,
    bell: OwnedFd,
    timer: OwnedFd,
    /// The kernel does not ring.
    is_mute: bool,
    late: u32,
}

impl<B: Copy + PartialEq, T: Points> Gate<B, T> {
    /// Without buffers.
    ///
    /// # Errors
    /// The kernel gives no descriptor.
    pub fn new() -> Result<Self, SourceError> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(system)?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).map_err(system)?;
        let (entries, waiting) = (ArrayVec::new(), ArrayVec::new());
        Ok(Self { entries, waiting, bell, timer, is_mute: false, late: 0 })
    }

    /// Readable when [`Self::next`] may have something to say.
    pub fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.bell.as_fd(), self.timer.as_fd()]
    }

    /// `buffer` has these timelines. More than a pool may have are not used, and then not seen again.
    pub fn add(&mut self, buffer: B, acquire: T, release: T) {
        let (due, released, is_ours, lost) = (None, 0, false, None);
        let _ = self.entries.try_push(Entry { buffer, acquire, release, due, released, is_ours, lost });
    }

    /// `buffer` is gone.
    ///
    /// # Errors
    /// As [`Self::release`].
    pub fn remove(&mut self, buffer: B) -> Result<(), Errno> {
        let released = self.release(buffer).map(drop);
        self.entries.retain(|entry| entry.buffer != buffer);
        released
    }

    /// All of them are gone.
    pub fn clear(&mut self) {
        self.release_all();
        self.entries.clear();
        self.late = 0;
    }

    /// Nothing is waited for any more: the buffers will be removed.
    pub fn forget_waiting(&mut self) {
        self.waiting.clear();
    }

    /// Whether no buffer has timelines.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether `buffer` has timelines.
    pub fn knows(&self, buffer: B) -> bool {
        self.entries.iter().any(|entry| entry.buffer == buffer)
    }

    /// `buffer` came with this; whether it may be looked at now. Else [`Self::next`] names it.
    ///
    /// # Errors
    /// The kernel knows no such timeline, or no timer.
    pub fn came(&mut self, buffer: B, ticket: Ticket, now_ns: u64) -> Result<bool, Errno> {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.buffer == buffer) else {
            return Ok(true);
        };
        entry.due = Some(ticket.release).filter(|&point| point > entry.released);
        (entry.is_ours, entry.lost) = (true, None);
        if ticket.acquire == 0 || entry.acquire.has_reached(ticket.acquire)? {
            // The ones before it are older.
            let is_first = self.waiting.is_empty();
            if is_first {
                self.late = 0;
                return Ok(true);
            }
        } else if !self.is_mute {
            self.is_mute = entry.acquire.ring(ticket.acquire, self.bell.as_fd()).is_err();
        }
        let until_ns = now_ns.saturating_add(PATIENCE_NS);
        // A buffer waits once, so there is room for each.
        let _ = self.waiting.try_push(Waiting { buffer, point: ticket.acquire, until_ns });
        self.set_timer(now_ns)?;
        Ok(false)
    }

    /// The next picture that is waited for no more, in the order in which they came.
    ///
    /// # Errors
    /// The kernel knows a timeline no more, or no timer.
    pub fn next(&mut self, now_ns: u64) -> Result<Option<(B, Passage)>, Errno> {
        // What they tell is asked for by itself below, so both are only emptied.
        for fd in [&self.bell, &self.timer] {
            let _ = rustix::io::read(fd, &mut [0; 8]);
        }
        let Some(first) = self.waiting.first() else { return Ok(None) };
        let mut passage = if first.until_ns <= now_ns { Some(Passage::Late) } else { None };
        for (place, waiting) in self.waiting.iter().enumerate() {
            if self.is_reached(waiting)? {
                passage = Some(if place == 0 { Passage::Ready } else { Passage::Overtaken });
                break;
            }
        }
        match passage {
            Some(Passage::Ready) => self.late = 0,
            Some(Passage::Late) => self.late += 1,
            Some(Passage::Overtaken) | None => {}
        }
        Ok(passage.and_then(|passage| Some((self.waiting.pop_at(0)?.buffer, passage))))
    }

    /// Releases the buffers that were lost on their way here: those of which `ticket`, which reads what their producer says of
    /// them at this moment, has told the same for a second. How many they were. To be called when nothing is
    /// [next](Self::next).
    ///
    /// # Errors
    /// As [`Self::release`], or no timer.
    pub fn release_lost(&mut self, ticket: impl Fn(B) -> Option<Ticket>, now_ns: u64) -> Result<u64, Errno> {
        let mut count = 0;
        for entry in self.entries.iter_mut().filter(|entry| !entry.is_ours) {
            let wanted = ticket(entry.buffer).map_or(0, |ticket| ticket.release);
            entry.lost = match entry.lost {
                _ if wanted <= entry.released => None,
                Some((point, since_ns)) if point == wanted => Some((point, since_ns)),
                _ => Some((wanted, now_ns)),
            };
            if entry.lost.is_some_and(|(_, since_ns)| now_ns >= since_ns.saturating_add(PATIENCE_NS)) {
                (entry.lost, entry.released) = (None, wanted);
                entry.release.signal(wanted)?;
                count += 1;
            }
        }
        self.set_timer(now_ns)?;
        Ok(count)
    }

    /// Whether its pictures are late time and again.
    pub fn is_hopeless(&self) -> bool {
        self.late >= MOST_LATE
    }

    /// Nobody looks at `buffer` any more, and it is waited for no more; whether that was to be signalled.
    ///
    /// # Errors
    /// The kernel refuses, and the producer will not know.
    pub fn release(&mut self, buffer: B) -> Result<bool, Errno> {
        self.waiting.retain(|waiting| waiting.buffer != buffer);
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.buffer == buffer) else {
            return Ok(false);
        };
        entry.is_ours = false;
        let Some(point) = entry.due.take() else { return Ok(false) };
        entry.released = point;
        entry.release.signal(point).map(|()| true)
    }

    fn release_all(&mut self) {
        self.waiting.clear();
        for Entry { release, due, .. } in &mut self.entries {
            // One that the kernel refuses is of a device that is gone.
            let _ = due.take().map(|point| release.signal(point));
        }
    }

    fn is_reached(&self, waiting: &Waiting<B>) -> Result<bool, Errno> {
        let entry = self.entries.iter().find(|entry| entry.buffer == waiting.buffer);
        match entry {
            Some(entry) if waiting.point > 0 => entry.acquire.has_reached(waiting.point),
            _ => Ok(true),
        }
    }

    fn set_timer(&self, now_ns: u64) -> Result<(), Errno> {
        let waiting = self.waiting.first().map(|first| match self.is_mute {
            true => now_ns + LOOK_NS,
            false => first.until_ns,
        });
        let lost = self.entries.iter().filter_map(|entry| entry.lost);
        let lost = lost.map(|(_, since_ns)| since_ns.saturating_add(PATIENCE_NS));
        // 0: never.
        let due_ns = waiting.into_iter().chain(lost).min().unwrap_or(0);
        let it_value = Timespec {
            tv_sec: (due_ns / 1_000_000_000).cast_signed(),
            tv_nsec: (due_ns % 1_000_000_000).cast_signed(),
        };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once).map(drop)
    }
}

impl<B: Copy + PartialEq, T: Points> Drop for Gate<B, T> {
    fn drop(&mut self) {
        self.release_all();
    }
}

fn system(errno: Errno) -> SourceError {
    SourceError::System { what: "making a place to wait for the GPU", errno }
}

#[cfg(test)]
mod tests;
