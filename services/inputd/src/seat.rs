//! One session's thread: reads the link of transportd until the lease after its hang-up is over.
//!
//! ```text
//!  Attach ──► linked ── hang-up ──► lease (10 s) ── over, Close ──► everything goes up, end
//!               ▲                      │
//!               └────── Attach ────────┘
//! ```

use std::{os::fd::OwnedFd, time::Duration};

use lumen_ipc::{
    Generation, Stage,
    bus::SeatSpec,
    input::{FromInput, ToInput},
};
use lumen_stage::{Link, LinkError, Mail, Seat, clock::now_ns, failpoint, lease::Lease, pulse::SILENCE};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{backends::Backend, recover, stage::Hands};

/// Messages read before mail and lease are looked at again, because a mouse sends up to 8,000 a second.
const MESSAGES_PER_TURN: usize = 64;

/// Everything of one session.
struct Sitting<B> {
    seat: Seat<SeatSpec>,
    generation: Generation,
    link: Option<Link>,
    lease: Lease,
    hands: Hands,
    backend: B,
}

/// The body of a session's thread.
pub fn sit<B: Backend>(seat: Seat<SeatSpec>, generation: Generation, lease: Duration, backend: B) {
    let mut lease = Lease::new(lease);
    lease.start(now_ns());
    let mut sitting = Sitting { seat, generation, link: None, lease, hands: Hands::default(), backend };
    while sitting.turn() {}
    sitting.hands.handle_end();
    sitting.play();
}

impl<B: Backend> Sitting<B> {
    /// One turn of the loop; false at the end.
    fn turn(&mut self) -> bool {
        self.wait();
        self.seat.pulse.beat();
        while let Some(mail) = self.seat.mailbox.take() {
            match mail {
                Mail::Attach { link, .. } => self.attach(link),
                Mail::Close => {
                    self.tell(&FromInput::Closing);
                    return false;
                }
            }
        }
        self.read();
        self.play();
        failpoint::at(recover::PLAYED);
        !self.lease.is_over(now_ns())
    }

    /// Sleeps until mail or a message comes, the lease is over, or the pulse wants its next beat.
    fn wait(&self) {
        let limit = self.lease.left(now_ns()).map_or(SILENCE / 4, |left| left.min(SILENCE / 4));
        let limit =
            Timespec { tv_sec: limit.as_secs().cast_signed(), tv_nsec: i64::from(limit.subsec_nanos()) };
        let mail = PollFd::new(&self.seat.mailbox, PollFlags::IN);
        // An interrupted wait is a short one.
        let _ = match &self.link {
            Some(link) => poll(&mut [mail, PollFd::new(link, PollFlags::IN)], Some(&limit)),
            None => poll(&mut [mail], Some(&limit)),
        };
    }

    fn attach(&mut self, fd: OwnedFd) {
        match Link::start(fd, Stage::Inputd, self.generation, Stage::Transportd) {
            Ok(link) => {
                self.link = Some(link);
                failpoint::at(recover::OPENED);
                self.lease.stop();
                let first = self.backend.failure().map_or(FromInput::Ready, FromInput::Failed);
                self.tell(&first);
                failpoint::at(recover::ANSWERED);
            }
            Err(error) => self.hang_up(&error),
        }
    }

    fn tell(&mut self, message: &FromInput) {
        if let Some(link) = &self.link
            && let Err(error) = link.send(message, &[])
        {
            self.hang_up(&error);
        }
    }

    fn read(&mut self) {
        for _ in 0..MESSAGES_PER_TURN {
            let Some(link) = &mut self.link else { return };
            match link.receive::<ToInput>() {
                Ok(Some(received)) => self.hands.handle_message(received.message),
                Ok(None) => return,
                Err(error) => return self.hang_up(&error),
            }
        }
    }

    fn hang_up(&mut self, error: &LinkError) {
        if !matches!(error, LinkError::Closed) {
            tracing::warn!(SESSION = %self.seat.session, "the input link ends: {error}");
        }
        self.link = None;
        self.lease.start(now_ns());
    }

    fn play(&mut self) {
        while let Some(event) = self.hands.poll_event() {
            self.backend.play(&event);
        }
        self.backend.lose(self.hands.take_lost_texts());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::log::{Counts, Log};
    use lumen_ipc::SessionId;
    use lumen_stage::{Sessions, pulse::Pulses};
    use std::time::Instant;

    const ID: SessionId = SessionId([5; 16]);
    const SPEC: SeatSpec = SeatSpec { width: 1280, height: 720 };

    fn sessions(counts: &Counts) -> Sessions<SeatSpec> {
        let counts = counts.clone();
        Sessions::new(Pulses::default(), move |seat| {
            sit(seat, Generation(2), Duration::from_millis(300), Log::new(counts.clone()));
        })
    }

    fn open(sessions: &Sessions<SeatSpec>) -> Link {
        let fd = sessions.open(ID, SPEC).unwrap();
        Link::start(fd, Stage::Transportd, Generation(1), Stage::Inputd).unwrap()
    }

    fn until(what: &str, mut done: impl FnMut() -> bool) {
        let start = Instant::now();
        while !done() {
            assert!(start.elapsed() < Duration::from_secs(5), "{what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn count(counts: &Counts, kind: &str) -> u64 {
        counts.read().find(|(name, _)| *name == kind).unwrap().1
    }

    fn held(codes: &[u16]) -> ToInput {
        ToInput::Held(codes.iter().copied().collect())
    }

    /// Sabotage: do not call `handle_end` when the lease is over.
    #[test]
    fn keys_stay_down_over_a_restart_of_transportd_and_go_up_with_the_session() {
        let counts = Counts::default();
        let sessions = sessions(&counts);
        let first = open(&sessions);
        first.send(&held(&[30, 31]), &[]).unwrap();
        until("both keys are down", || count(&counts, "presses") == 2);
        drop(first);
        let second = open(&sessions);
        second.send(&held(&[31]), &[]).unwrap();
        until("one key is up", || count(&counts, "releases") == 1);
        assert_eq!(count(&counts, "presses"), 2, "the other was not pressed again");
        drop(second);
        until("the session ends", || sessions.list().is_empty());
        assert_eq!(count(&counts, "releases"), 2);
    }

    #[test]
    fn transportd_is_told_that_nothing_is_typed_and_why() {
        let sessions = sessions(&Counts::default());
        let mut link = open(&sessions);
        let mut told = None;
        until("inputd speaks", || {
            told = link.receive::<FromInput>().unwrap().map(|received| received.message);
            told.is_some()
        });
        assert!(matches!(told, Some(FromInput::Failed(failure)) if failure.text.contains("cannot type yet")));
        sessions.close(ID).unwrap();
        until("inputd says that it closes", || {
            link.receive::<FromInput>()
                .unwrap()
                .is_some_and(|received| received.message == FromInput::Closing)
        });
    }

    #[test]
    fn stage_that_is_not_transportd_ends_the_link_and_types_nothing() {
        let counts = Counts::default();
        let sessions = sessions(&counts);
        let fd = sessions.open(ID, SPEC).unwrap();
        let link = Link::start(fd, Stage::Captured, Generation(1), Stage::Inputd).unwrap();
        let _ = link.send(&held(&[30]), &[]);
        until("the session ends", || sessions.list().is_empty());
        assert_eq!(count(&counts, "presses"), 0);
    }
}
