//! How long a stage waits before it is READY, so that one that dies again and again keeps no core busy.
//!
//! systemd restarts at once and without a limit (`RestartSec=0`, `StartLimitIntervalSec=0`), because a crash in mid-stream
//! is to cost a blink. What the stock limit is for is done here: the times of the last starts lie in a memfd in systemd's
//! fd store, and the more crashes are recent the longer the pause, longest where none ever was READY. What lived for half a
//! second counts as no crash here: its restart keeps no core busy, and a stream would only wait for it. An orderly stop
//! takes its own start out again.
//!
//! ```text
//! memfd: count u64 ‖ SLOTS × start u64      start n lies in slot n mod SLOTS: CLOCK_MONOTONIC ns, and the highest bit
//!                                           once it was READY; native order
//! ```

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::{
    clock::now_ns,
    inherited::{self, Stored},
    memory::{MemoryError, SharedMemory},
};

/// Name in the fd store.
const NAME: &str = "starts";
/// More than the most deaths that make a difference.
const SLOTS: usize = 32;
const BYTES: u64 = 4096;
/// What lies longer ago is forgiven.
const RECENT_NS: u64 = 10_000_000_000;
/// A life no longer than this was a crash of its own making.
const SHORT_NS: u64 = 500_000_000;
/// Pause from so many recent deaths on: two quick ones cost nothing, because a stream is waiting.
const PAUSES: [(usize, Duration); 3] =
    [(10, Duration::from_secs(1)), (6, Duration::from_millis(200)), (3, Duration::from_millis(50))];

/// So many starts of the last minute that never were READY ask for the long pause: promise C9 is 20 starts a minute.
const UNREADY: usize = 10;
const UNREADY_NS: u64 = 60_000_000_000;
const LONG_PAUSE: Duration = Duration::from_secs(10);
const READY: u64 = 1 << 63;

fn pause(deaths: usize, unready: usize) -> Duration {
    if unready >= UNREADY {
        return LONG_PAUSE;
    }
    PAUSES.iter().find(|(least, _)| deaths >= *least).map_or(Duration::ZERO, |(_, pause)| *pause)
}

/// This process's own.
static OURS: Mutex<Option<Starts>> = Mutex::new(None);

/// Counts the start of this process, and says how long to wait before READY. Once, at the start.
///
/// # Errors
/// No memory.
pub fn count(stored: &mut Vec<Stored>) -> Result<Duration, MemoryError> {
    let mut starts = Starts::take(stored)?;
    let pause = starts.count_at(now_ns());
    *OURS.lock().unwrap_or_else(PoisonError::into_inner) = Some(starts);
    Ok(pause)
}

/// This process has paused: its life begins now, or the pause would count as one.
pub fn awake() {
    if let Some(starts) = &mut *OURS.lock().unwrap_or_else(PoisonError::into_inner) {
        starts.begin_at(now_ns());
    }
}

/// This process is READY.
pub fn ready() {
    if let Some(starts) = &mut *OURS.lock().unwrap_or_else(PoisonError::into_inner) {
        starts.ready();
    }
}

/// This process ends because it was asked to: its start is no death.
pub fn forgive() {
    if let Some(starts) = &mut *OURS.lock().unwrap_or_else(PoisonError::into_inner) {
        starts.forgive();
    }
}

/// The times of the last starts of this stage.
#[derive(Debug)]
struct Starts {
    memory: SharedMemory,
}

impl Starts {
    /// What the incarnations before left in the fd store, or none. A record that cannot be read counts as none.
    fn take(stored: &mut Vec<Stored>) -> Result<Self, MemoryError> {
        let memory = inherited::memory(stored, NAME, BYTES, "restarts are not paced")?;
        Ok(Self { memory })
    }

    fn count_at(&mut self, now_ns: u64) -> Duration {
        let starts = self.word(0);
        let kept = starts.min(SLOTS as u64);
        let (mut deaths, mut unready, mut later) = (0, 0, now_ns);
        for nth in (starts - kept..starts).rev() {
            let word = self.word(nth % SLOTS as u64 + 1);
            let start = word & !READY;
            let (since, lived) = (now_ns.saturating_sub(start), later.saturating_sub(start));
            deaths += usize::from(since < RECENT_NS && lived < SHORT_NS);
            unready += usize::from(since < UNREADY_NS && word & READY == 0);
            later = start;
        }
        self.set(starts % SLOTS as u64 + 1, now_ns);
        self.set(0, starts.wrapping_add(1));
        pause(deaths, unready)
    }

    /// Slot of this incarnation's start.
    fn ours(&self) -> u64 {
        self.word(0).wrapping_sub(1) % SLOTS as u64 + 1
    }

    fn begin_at(&mut self, now_ns: u64) {
        self.set(self.ours(), now_ns);
    }

    fn ready(&mut self) {
        let start = self.word(self.ours());
        self.set(self.ours(), start | READY);
    }

    fn forgive(&mut self) {
        self.set(self.ours(), READY);
        self.set(0, self.word(0).wrapping_sub(1));
    }

    fn word(&self, index: u64) -> u64 {
        let at = index as usize * 8;
        let bytes = self.memory.bytes().get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u64::from_ne_bytes)
    }

    fn set(&mut self, index: u64, value: u64) {
        let at = index as usize * 8;
        if let Some(bytes) = self.memory.bytes_mut().get_mut(at..at + 8) {
            bytes.copy_from_slice(&value.to_ne_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    const S: u64 = 1_000_000_000;

    fn starts() -> Starts {
        Starts { memory: SharedMemory::new("test", BYTES).unwrap() }
    }

    fn start_and_be_ready(starts: &mut Starts, at_ns: u64) -> Duration {
        let pause = starts.count_at(at_ns);
        starts.ready();
        pause
    }

    /// Sabotage: never pause, or never forget.
    #[test]
    fn the_more_it_died_lately_the_longer_it_waits() {
        let mut starts = starts();
        let pauses: Vec<u128> =
            (0..14).map(|n| start_and_be_ready(&mut starts, 100 * S + n).as_millis()).collect();
        assert_eq!(pauses, [0, 0, 0, 50, 50, 50, 200, 200, 200, 200, 1000, 1000, 1000, 1000]);
        assert_eq!(starts.count_at(111 * S), Duration::ZERO, "ten quiet seconds are enough");
    }

    /// Sabotage: count a start that was READY like one that was not, or neither.
    #[test]
    fn a_stage_that_never_is_ready_starts_at_most_twenty_times_a_minute() {
        let (mut starts, mut now, mut times) = (starts(), 100 * S, Vec::new());
        while now < 400 * S {
            times.push(now);
            now += 30_000_000 + starts.count_at(now).as_nanos() as u64;
        }
        for (index, first) in times.iter().enumerate() {
            let minute = times[index..].iter().take_while(|time| **time < first + 60 * S).count();
            assert!(minute <= 20, "{minute} starts in a minute");
        }
    }

    /// Sabotage: count every death alike, and each kill of a stream that is killed again and again costs 50 ms more.
    #[test]
    fn who_lived_for_a_while_is_restarted_at_once() {
        let mut starts = starts();
        for n in 0..20 {
            assert_eq!(start_and_be_ready(&mut starts, 100 * S + n * S / 2), Duration::ZERO);
        }
    }

    /// Sabotage: leave `begin_at` out, and a pause of a second looks like a life of a second.
    #[test]
    fn a_pause_is_no_life() {
        let (mut starts, mut now) = (starts(), 100 * S);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let pause = starts.count_at(now);
            now += pause.as_nanos() as u64;
            starts.begin_at(now);
            starts.ready();
            // What crashes in its first tenth of a second.
            now += S / 10;
            pauses.push(pause.as_millis());
        }
        assert_eq!(pauses[..11], [0, 0, 0, 50, 50, 50, 200, 200, 200, 200, 1000]);
    }

    #[test]
    fn orderly_restarts_are_no_deaths() {
        let mut starts = starts();
        for n in 0..20 {
            assert_eq!(starts.count_at(100 * S + n), Duration::ZERO);
            starts.forgive();
        }
    }

    /// Sabotage: make a new record at every start.
    #[test]
    fn the_record_outlives_the_process() {
        let mut first = starts();
        assert_eq!((0..6).map(|n| first.count_at(100 * S + n)).max(), Some(Duration::from_millis(50)));
        let fd = first.memory.as_fd().try_clone_to_owned().unwrap();
        drop(first);
        let mut stored = vec![
            Stored { name: "socket".into(), fd: fd.try_clone().unwrap() },
            Stored { name: NAME.into(), fd },
        ];
        let mut second = Starts::take(&mut stored).unwrap();
        assert_eq!(second.count_at(100 * S + S / 10), Duration::from_millis(200), "six deaths");
        assert_eq!(stored.len(), 1, "what belongs to the stage is left to it");
    }
}
