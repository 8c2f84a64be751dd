//! Which Outputs are needed, and until when. No kernel, no clock: times are CLOCK_MONOTONIC nanoseconds.
//!
//! ```text
//!            Acquire                      captured ends, Release
//!  (none) ───────────► held by captured ────────────────────────► lease of 10 s ──► over: taken away
//!    │                    ▲        ▲                                  │
//!    └── found after a ───┘        └──────────── Acquire ─────────────┘
//!        restart                       the same captured is back on a new bus
//! ```
//! captured is known by its process id, because its name on the bus changes when the bus itself dies.

use std::{collections::BTreeMap, time::Duration};

use lumen_ipc::{Failure, FailureClass, SessionId};
use lumen_stage::{lease::Lease, sessions::MAX_SESSIONS};

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Process id of the captured that needs the Output; `None` once released.
    holder: Option<u32>,
    lease: Lease,
}

/// All Outputs and who needs them.
#[derive(Debug)]
pub struct Displays {
    length: Duration,
    entries: BTreeMap<SessionId, Entry>,
}

impl Displays {
    /// Leases last `length`.
    pub fn new(length: Duration) -> Self {
        Self { length, entries: BTreeMap::new() }
    }

    /// Whether `session` may have an Output.
    pub fn room(&self, session: SessionId) -> Result<(), Failure> {
        if self.entries.contains_key(&session) || self.entries.len() < MAX_SESSIONS {
            return Ok(());
        }
        Err(Failure::new(
            FailureClass::Request,
            format!("{MAX_SESSIONS} Outputs are in use already"),
            "end one of the sessions that `lumenctl status` lists",
        ))
    }

    /// The captured with process id `pid` has the Output of `session`.
    pub fn handle_acquired(&mut self, session: SessionId, pid: u32) {
        self.put(session, Some(pid));
    }

    /// An Output of an earlier incarnation is there; `holder` is the captured that had not released it.
    pub fn handle_found(&mut self, session: SessionId, holder: Option<u32>, now_ns: u64) {
        self.put(session, holder);
        if holder.is_none() {
            self.handle_release(session, now_ns);
        }
    }

    /// captured does not need the Output any more: it goes now, since captured has kept the lease already. False if
    /// there is none.
    pub fn handle_release(&mut self, session: SessionId, now_ns: u64) -> bool {
        let Some(entry) = self.entries.get_mut(&session) else { return false };
        *entry = Entry { holder: None, lease: Lease::new(Duration::ZERO) };
        entry.lease.start(now_ns);
        true
    }

    /// The captured on the bus is now `pid`, or there is none.
    pub fn handle_captured(&mut self, pid: Option<u32>, now_ns: u64) {
        for entry in self.entries.values_mut() {
            match entry.holder {
                Some(holder) if pid == Some(holder) => entry.lease.stop(),
                _ => entry.lease.start(now_ns),
            }
        }
    }

    /// Forgets the Output of `session`, which is not there any more.
    pub fn handle_gone(&mut self, session: SessionId) {
        self.entries.remove(&session);
    }

    /// The next Output whose lease is over; it is forgotten here and to be taken away.
    pub fn poll_over(&mut self, now_ns: u64) -> Option<SessionId> {
        let (session, _) = self.entries.iter().find(|(_, entry)| entry.lease.is_over(now_ns))?;
        let session = *session;
        self.entries.remove(&session);
        Some(session)
    }

    /// Time until [`poll_over`](Self::poll_over) has something; `None` while no lease runs.
    pub fn next_over(&self, now_ns: u64) -> Option<Duration> {
        self.entries.values().filter_map(|entry| entry.lease.left(now_ns)).min()
    }

    /// Seconds left of the lease of `session`, `None` while captured holds its Output.
    pub fn left(&self, session: SessionId, now_ns: u64) -> Option<Duration> {
        self.entries.get(&session)?.lease.left(now_ns)
    }

    /// All sessions that have an Output.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.entries.keys().copied()
    }

    /// Whether no session has an Output.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn put(&mut self, session: SessionId, holder: Option<u32>) {
        self.entries.insert(session, Entry { holder, lease: Lease::new(self.length) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;
    const ONE: SessionId = SessionId([1; 16]);
    const TWO: SessionId = SessionId([2; 16]);

    fn held() -> Displays {
        let mut displays = Displays::new(Duration::from_secs(10));
        displays.handle_acquired(ONE, 100);
        displays
    }

    #[test]
    fn held_output_stays_for_ever() {
        let mut displays = held();
        displays.handle_captured(Some(100), S);
        assert_eq!(displays.poll_over(u64::MAX), None);
        assert_eq!(displays.next_over(0), None);
    }

    /// Sabotage: start a lease of ten seconds in `handle_release`.
    #[test]
    fn released_output_goes_at_once() {
        let mut displays = held();
        assert!(displays.handle_release(ONE, S));
        assert_eq!(displays.next_over(S), Some(Duration::ZERO));
        assert_eq!(displays.poll_over(S), Some(ONE));
        assert!(!displays.handle_release(ONE, 2 * S));
    }

    #[test]
    fn captured_that_dies_and_comes_back_must_acquire_again() {
        let mut displays = held();
        displays.handle_captured(None, S);
        displays.handle_captured(Some(101), 2 * S);
        assert_eq!(
            displays.left(ONE, 2 * S),
            Some(Duration::from_secs(9)),
            "another process is not the holder"
        );
        displays.handle_acquired(ONE, 101);
        assert_eq!(displays.poll_over(u64::MAX), None);
    }

    #[test]
    fn death_of_the_bus_costs_nothing() {
        let mut displays = held();
        displays.handle_captured(None, S);
        displays.handle_captured(Some(100), 2 * S);
        assert_eq!(displays.poll_over(u64::MAX), None);
    }

    /// Sabotage: let an Output that was found belong to whichever captured runs.
    #[test]
    fn output_found_after_a_restart_belongs_to_the_captured_that_acquired_it() {
        let mut displays = Displays::new(Duration::from_secs(10));
        displays.handle_found(ONE, Some(7), 0);
        displays.handle_found(TWO, None, 0);
        displays.handle_captured(Some(7), S);
        assert_eq!(displays.poll_over(10 * S), Some(TWO), "it was released before the restart");
        assert_eq!(displays.poll_over(u64::MAX), None);

        displays.handle_found(TWO, Some(6), 0);
        displays.handle_captured(Some(7), S);
        assert_eq!(displays.poll_over(11 * S), Some(TWO), "both were restarted and nobody came back for it");
    }

    #[test]
    fn ninth_output_is_refused_and_a_known_one_never() {
        let mut displays = held();
        for n in 2..=8 {
            displays.handle_acquired(SessionId([n; 16]), 100);
        }
        assert!(displays.room(ONE).is_ok());
        assert_eq!(displays.room(SessionId([9; 16])).unwrap_err().class, FailureClass::Request);
    }
}
