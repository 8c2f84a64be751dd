//! The ladder: a backend that fails three times is set aside, and the next best takes its place.
//!
//! Each stage has its backends in an order, best first: its rungs. What is remembered is remembered for one rung and one
//! purpose (codec and mode), in a memfd in systemd's fd store, since the process dies of it:
//!
//! ```text
//!         begin          the call returns             60 pictures
//! resting ─────► inside ─────────────────► made += 1 ────────────► strikes = 0
//!                  │                └ Err ► errors += 1 ─┐
//!                  │ a crash of its own                  ├─ three in a row ► fallen: the process ends,
//!                  └ or the watchdog ─────► strikes += 1 ┘                   the next one opens the next rung
//!                                                       fallen ── ten quiet minutes ──► resting
//! ```
//! **Invariant:** a process that somebody kills judges no backend. Only a signal of its own making counts ([`crash`]), or
//! a call that the watchdog found endless while the rest of the process lived.

mod calls;
mod crash;
mod slots;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::sync::Notify;

use crate::{
    Exit,
    clock::now_ns,
    inherited::{self, Stored},
    memory::{MemoryError, SharedMemory},
    rehearsal,
};
use slots::{BYTES, ERROR, HUNG, MAX_NAME, MOST, Slot, Slots};

/// Name in the fd store.
const NAME: &str = "rungs";
/// How long a rung that fell is set aside, from its newest failure on.
pub const QUIET: Duration = Duration::from_secs(600);

/// All that is known of a stage's rungs. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Ladder {
    slots: Slots,
    quiet: Duration,
    falling: Arc<Falling>,
    /// Held while a slot is looked for and taken, because two sessions may want one.
    claims: Arc<Mutex<()>>,
}

#[derive(Debug, Default)]
struct Falling {
    is: AtomicBool,
    bell: Notify,
}

/// A loop did not beat for long: if one is in a backend's call for `limit`, that is what the process will die of. Calls that
/// others happen to be in are not to blame.
pub fn hung(limit: Duration) {
    calls::blame(crash::watched(), HUNG, limit, now_ns());
}

impl Ladder {
    /// What the incarnations before left in the fd store, with their deaths judged, or a new one. From now on crashes are
    /// written down. A rung that fell is set aside until `quiet` has passed without a failure of it.
    ///
    /// # Errors
    /// No memory.
    pub fn take(stored: &mut Vec<Stored>, quiet: Duration) -> Result<Self, MemoryError> {
        let memory = inherited::memory(stored, NAME, BYTES, "backends that crash will not be set aside")?;
        let ladder = Self::over(memory, quiet)?;
        crash::watch(ladder.slots);
        Ok(ladder)
    }

    fn over(memory: SharedMemory, quiet: Duration) -> Result<Self, MemoryError> {
        let slots = Slots::over(memory)?;
        let ladder = Self::of(slots, quiet);
        // What is forgiven is no part of "three in a row".
        for slot in slots.iter() {
            slot.forgive(ladder.quiet_ns(), now_ns());
        }
        for (slot, strikes) in slots.settle(now_ns()) {
            tracing::warn!("{}: it {} ({strikes} of {MOST} in a row)", slot.name(), text_of(slot.cause()));
        }
        Ok(ladder)
    }

    fn of(slots: Slots, quiet: Duration) -> Self {
        Self { slots, quiet, falling: Arc::default(), claims: Arc::default() }
    }

    fn quiet_ns(&self) -> u64 {
        u64::try_from(self.quiet.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Whether `rung` is set aside for `purpose` now.
    pub fn has_fallen(&self, rung: &str, purpose: &str) -> bool {
        self.slots
            .find(&name_of(rung, purpose))
            .is_some_and(|slot| slot.has_fallen(self.quiet_ns(), now_ns()))
    }

    /// The first of `rungs` that is not set aside for `purpose`, else the last, and its place among them. `None` if there
    /// are none.
    pub fn choose(&self, rungs: &[&'static str], purpose: &str) -> Option<(usize, Rung)> {
        let last = rungs.len().checked_sub(1)?;
        let place = rungs.iter().position(|rung| !self.has_fallen(rung, purpose)).unwrap_or(last);
        Some((place, self.hold(rungs.get(place)?, purpose, place == last)))
    }

    /// `rung` as it is used for `purpose` from now on. The last one never falls.
    pub fn hold(&self, rung: &'static str, purpose: &str, is_last: bool) -> Rung {
        let claimed = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = self.slots.claim(&name_of(rung, purpose));
        slot.inspect(|slot| slot.hold(is_last));
        drop(claimed);
        Rung { name: rung, is_last, slot, ladder: self.clone() }
    }

    /// Whether the process is about to end because a rung fell: nothing is to be opened any more.
    pub fn is_falling(&self) -> bool {
        self.falling.is.load(Relaxed)
    }

    /// Ends when a rung falls, and then the process is to end.
    pub async fn fallen(&self) -> Exit {
        while !self.is_falling() {
            self.falling.bell.notified().await;
        }
        let what = self.descents().join("; ");
        Exit::Restart(format!("ends, so that its next incarnation opens the next best backend: {what}"))
    }

    /// What is set aside and why, for people.
    pub fn descents(&self) -> Vec<String> {
        let down = self.slots.iter().filter(|slot| slot.has_fallen(self.quiet_ns(), now_ns()));
        down.map(|slot| {
            let name = slot.name();
            let (rung, purpose) = name.split_once(' ').unwrap_or((&name, "all"));
            format!(
                "{rung} is set aside for {purpose}, because it {} {MOST} times in a row; it is tried again when {} s \
                 have passed without a failure",
                text_of(slot.cause()),
                self.quiet.as_secs()
            )
        })
        .collect()
    }
}

/// Cut to what fits, which keeps rungs apart, since they come first.
fn name_of(rung: &str, purpose: &str) -> String {
    let mut name = format!("{rung} {purpose}");
    let mut end = MAX_NAME.min(name.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    name
}

fn text_of(cause: u64) -> String {
    match cause {
        HUNG => "did not return from a call".to_owned(),
        ERROR => "returned an error".to_owned(),
        signal => format!("crashed with {}", crash::name(signal)),
    }
}

/// One backend in use for one purpose.
#[derive(Debug)]
pub struct Rung {
    name: &'static str,
    is_last: bool,
    slot: Option<Slot>,
    ladder: Ladder,
}

/// A call of a backend is under way; dropping it says that it ended.
#[derive(Debug)]
pub struct Inside {
    slot: Option<Slot>,
    call: Option<calls::Place>,
}

impl Rung {
    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether there is no other way when this one fails.
    pub fn is_last(&self) -> bool {
        self.is_last
    }

    /// A call of the backend's code begins.
    pub fn begin(&self) -> Inside {
        self.slot.inspect(|slot| slot.enter());
        let call = self.slot.and_then(|slot| calls::begin(slot, now_ns()));
        rehearsal::of(self.name);
        Inside { slot: self.slot, call }
    }

    /// It made a picture.
    pub fn made(&self) {
        self.slot.inspect(|slot| slot.made());
    }

    /// It returned an error that is its own fault. The third in a row ends the process, if there is another rung.
    pub fn erred(&self) {
        if self.slot.is_some_and(|slot| slot.erred(now_ns())) {
            self.ladder.falling.is.store(true, Relaxed);
            self.ladder.falling.bell.notify_one();
        }
    }
}

impl Drop for Rung {
    fn drop(&mut self) {
        self.slot.inspect(|slot| slot.release());
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        drop(self.call.take());
        self.slot.inspect(|slot| slot.leave());
    }
}

#[cfg(test)]
mod tests;
