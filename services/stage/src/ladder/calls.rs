//! The calls that are under way in this process, and since when: who hangs is not who just happens to be in a call.

use std::{
    sync::atomic::{
        AtomicU64, AtomicUsize,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
    time::Duration,
};

use super::slots::Slot;

/// Calls at once: eight sessions, each with a backend that takes pictures or makes them, and one to spare.
const MOST: usize = 16;

struct Call {
    /// CLOCK_MONOTONIC; 0 if there is none.
    since_ns: AtomicU64,
    /// Where the slot lies that it is of.
    of: AtomicUsize,
}

static CALLS: [Call; MOST] = [const { Call { since_ns: AtomicU64::new(0), of: AtomicUsize::new(0) } }; MOST];

/// A place among them.
#[derive(Debug)]
pub struct Place(usize);

/// A call of a backend of `slot` begins. `None` if there are more than can be told apart: then nobody is blamed for it.
pub fn begin(slot: Slot, now_ns: u64) -> Option<Place> {
    let free = |call: &Call| call.since_ns.compare_exchange(0, now_ns.max(1), AcqRel, Relaxed).is_ok();
    let place = CALLS.iter().position(free)?;
    CALLS.get(place)?.of.store(slot.address(), Release);
    Some(Place(place))
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(call) = CALLS.get(self.0) {
            call.since_ns.store(0, Release);
        }
    }
}

/// Blames the slots among `slots` whose calls have been under way for `limit`.
pub fn blame(slots: impl Iterator<Item = Slot>, what: u64, limit: Duration, now_ns: u64) {
    let limit_ns = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
    let is_old = |call: &&Call| match call.since_ns.load(Acquire) {
        0 => false,
        since_ns => now_ns.saturating_sub(since_ns) >= limit_ns,
    };
    let old: Vec<usize> = CALLS.iter().filter(is_old).map(|call| call.of.load(Acquire)).collect();
    slots.filter(|slot| old.contains(&slot.address())).for_each(|slot| slot.blow(what));
}
