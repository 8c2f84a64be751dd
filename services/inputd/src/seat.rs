//! One session's thread: reads the link of transportd until the lease after its hang-up is over, and plays what it says.
//!
//! ```text
//!  Attach ──► linked ── hang-up ──► lease (10 s) ── over, Close ──► everything goes up, end
//!               ▲                      │
//!               └────── Attach ────────┘
//!
//!  no backend ── vdisplayd names the Output ──► backend: what is held goes down
//!      ▲  └─ it cannot: told why, asked again ─┘    │
//!      └──────────── its compositor is gone ────────┘
//! ```

use std::{os::fd::OwnedFd, time::Duration};

use lumen_ipc::{
    Failure, FailureClass, Stage,
    bus::SeatSpec,
    input::{FromInput, ToInput},
};
use lumen_stage::{Link, LinkError, Mail, Seat, clock::now_ns, failpoint, lease::Lease, pulse::SILENCE};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{backends::Backend, counts::Refused, office::Office, recover, shown::Line, stage::Hands};

/// Messages read before mail and lease are looked at again, because a mouse sends up to 8,000 a second.
const MESSAGES_PER_TURN: usize = 64;

/// Between two questions for an Output that may be there in a moment.
const SOON: Duration = Duration::from_millis(100);

/// Between two questions where a person has to act first.
const LATER: Duration = Duration::from_secs(3);

/// Everything of one session.
struct Sitting<'a> {
    seat: Seat<SeatSpec>,
    office: &'a Office,
    link: Option<Link>,
    lease: Lease,
    hands: Hands,
    backend: Option<Box<dyn Backend>>,
    /// What transportd was told last.
    told: FromInput,
    /// CLOCK_MONOTONIC nanoseconds before which no backend is asked for.
    ask_at_ns: u64,
}

/// The body of a session's thread.
pub fn sit(seat: Seat<SeatSpec>, office: &Office) {
    let mut lease = Lease::new(office.lease);
    lease.start(now_ns());
    let told = FromInput::Closing;
    let hands = Hands::default();
    let mut sitting = Sitting { seat, office, link: None, lease, hands, backend: None, told, ask_at_ns: 0 };
    while sitting.turn() {}
    sitting.hands.handle_end();
    sitting.play();
    office.shown.remove(sitting.seat.session);
}

impl Sitting<'_> {
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
        self.dispatch();
        // Before anything is read, so that it reaches the fresh Output.
        self.open();
        self.read();
        self.play();
        failpoint::at(recover::PLAYED);
        !self.lease.is_over(now_ns())
    }

    /// Sleeps until mail, a message or a word of the compositor comes, something is due, or the pulse wants its next beat.
    fn wait(&self) {
        let now = now_ns();
        let ask = (self.link.is_some() && self.backend.is_none())
            .then(|| Duration::from_nanos(self.ask_at_ns.saturating_sub(now)));
        let events = self.hands.poll_timeout(now).filter(|_| self.is_ready());
        let due = [self.lease.left(now), events, ask, Some(SILENCE / 4)];
        let limit = due.into_iter().flatten().min().unwrap_or(SILENCE / 4);
        let limit =
            Timespec { tv_sec: limit.as_secs().cast_signed(), tv_nsec: i64::from(limit.subsec_nanos()) };
        let mut fds = vec![PollFd::new(&self.seat.mailbox, PollFlags::IN)];
        fds.extend(self.link.iter().map(|link| PollFd::new(link, PollFlags::IN)));
        let said = self.backend.as_ref().and_then(|backend| backend.descriptor());
        let flags = if self.is_ready() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
        fds.extend(said.map(|fd| PollFd::from_borrowed_fd(fd, flags)));
        // An interrupted wait is a short one.
        let _ = poll(&mut fds, Some(&limit));
    }

    fn attach(&mut self, fd: OwnedFd) {
        match Link::start(fd, Stage::Inputd, self.office.generation, Stage::Transportd) {
            Ok(link) => {
                self.link = Some(link);
                failpoint::at(recover::OPENED);
                self.lease.stop();
                // Of a fresh session nothing is known yet; a word follows as soon as its Output was asked for.
                if self.told != FromInput::Closing {
                    let again = self.told.clone();
                    self.tell(&again);
                }
                failpoint::at(recover::ANSWERED);
            }
            Err(error) => self.hang_up(&error),
        }
    }

    /// Asks for a backend if there is none and transportd is here to hear of it.
    fn open(&mut self) {
        if self.backend.is_some() || self.link.is_none() || now_ns() < self.ask_at_ns {
            return;
        }
        match self.office.display.seat(self.seat.session, &self.seat.pulse) {
            Ok(backend) => {
                let failure = backend.failure();
                self.show(backend.name(), backend.why());
                let ready = FromInput::Ready { touch: backend.takes_touch() };
                self.inform(failure.map_or(ready, FromInput::Failed));
                self.hands.handle_output();
                self.backend = Some(backend);
            }
            Err(failure) => self.fail(failure),
        }
    }

    /// There is no way to the Output: says so, and asks again later.
    fn fail(&mut self, failure: Failure) {
        self.backend = None;
        let passes = matches!(failure.class, FailureClass::Temporary);
        let pause = if passes { SOON } else { LATER };
        self.ask_at_ns = now_ns() + u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX);
        self.show("none", failure.to_string());
        self.inform(FromInput::Failed(failure));
    }

    fn show(&self, backend: &'static str, why: String) {
        if self.office.shown.set(self.seat.session, Line { backend, why: why.clone() }) {
            tracing::info!(SESSION = %self.seat.session, "input goes to {backend}: {why}");
        }
    }

    /// Tells transportd, once.
    fn inform(&mut self, word: FromInput) {
        if self.told != word {
            self.told = word.clone();
            self.tell(&word);
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
                Ok(Some(received)) => self.hands.handle_message(received.message, now_ns()),
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
        while self.is_ready()
            && let Some(event) = self.hands.poll_event(now_ns())
        {
            self.office.counts.add(&event);
            let nowhere = Ok(Some(Refused::Nowhere));
            let played = self.backend.as_mut().map_or(nowhere, |backend| backend.play(&event));
            match played {
                Ok(refused) => refused.into_iter().for_each(|refused| self.office.counts.refuse(refused)),
                Err(failure) => self.fail(failure),
            }
        }
        self.office.counts.lose(self.hands.take_losses());
        self.dispatch();
    }

    /// Whether an event can be played. While the compositor takes nothing, events wait where they are bounded and become one.
    fn is_ready(&self) -> bool {
        self.backend.as_ref().is_none_or(|backend| backend.is_ready())
    }

    fn dispatch(&mut self) {
        match self.backend.as_mut().map(|backend| (backend.dispatch(), backend.takes_touch())) {
            Some((Err(failure), _)) => self.fail(failure),
            // A touch screen may come after the first word.
            Some((Ok(()), true)) if self.told == (FromInput::Ready { touch: false }) => {
                self.inform(FromInput::Ready { touch: true });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backends::log::Log,
        counts::Counts,
        display::{Display, Logs},
        event::Event,
        shown::Shown,
    };
    use lumen_ipc::{Generation, SessionId};
    use lumen_stage::{
        Sessions,
        pulse::{Pulse, Pulses},
    };
    use std::{
        os::fd::BorrowedFd,
        sync::{Arc, Mutex},
        time::Instant,
    };

    const ID: SessionId = SessionId([5; 16]);
    const SPEC: SeatSpec = SeatSpec { width: 1280, height: 720 };

    fn sessions(counts: &Counts) -> Sessions<SeatSpec> {
        sessions_on(counts, Arc::new(Logs))
    }

    fn sessions_on(counts: &Counts, display: Arc<dyn Display>) -> Sessions<SeatSpec> {
        let (generation, lease) = (Generation(2), Duration::from_millis(300));
        let office = Office { generation, lease, display, counts: counts.clone(), shown: Shown::default() };
        Sessions::new(Pulses::default(), move |seat| sit(seat, &office))
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
        assert!(matches!(told, Some(FromInput::Failed(failure)) if failure.text.contains("cannot type")));
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

    /// An Output that is there at the second question, and whose compositor dies of the first motion.
    #[derive(Default)]
    struct Fragile {
        asked: Mutex<u32>,
        played: Arc<Mutex<Vec<Event>>>,
    }

    struct Glass(Arc<Mutex<Vec<Event>>>);

    impl Display for Fragile {
        fn seat(&self, _: SessionId, _: &Pulse) -> Result<Box<dyn Backend>, Failure> {
            let mut asked = self.asked.lock().unwrap();
            *asked += 1;
            match *asked {
                1 => Err(Failure::new(FailureClass::Temporary, "not yet", "wait")),
                _ => Ok(Box::new(Glass(self.played.clone()))),
            }
        }
    }

    impl Backend for Glass {
        fn name(&self) -> &'static str {
            "glass"
        }

        fn why(&self) -> String {
            String::new()
        }

        fn play(&mut self, event: &Event) -> Result<Option<Refused>, Failure> {
            self.0.lock().unwrap().push(event.clone());
            match event {
                Event::Motion { .. } => Err(Failure::new(FailureClass::Temporary, "it broke", "wait")),
                _ => Ok(None),
            }
        }

        fn failure(&self) -> Option<Failure> {
            Log.failure().filter(|_| false)
        }

        fn descriptor(&self) -> Option<BorrowedFd<'_>> {
            None
        }

        fn dispatch(&mut self) -> Result<(), Failure> {
            Ok(())
        }
    }

    /// Sabotage: do not call `handle_output`, or ask for an Output once only.
    #[test]
    fn what_is_held_goes_down_on_each_fresh_output() {
        let (counts, fragile) = (Counts::default(), Fragile::default());
        let played = fragile.played.clone();
        let sessions = sessions_on(&counts, Arc::new(fragile));
        let mut link = open(&sessions);
        link.send(&held(&[30]), &[]).unwrap();
        let seen = |count: usize| played.lock().unwrap().len() >= count;
        until("the key is down", || seen(1));
        link.send(&ToInput::Motion { dx: 1, dy: 0 }, &[]).unwrap();
        until("the key is down again", || seen(3));
        link.send(&held(&[]), &[]).unwrap();
        until("the key is up", || seen(4));
        let motion = Event::Motion { dx: 1, dy: 0 };
        let expected = [Event::Press(30), motion, Event::Press(30), Event::Release(30)];
        assert_eq!(*played.lock().unwrap(), expected);
        let mut words = Vec::new();
        while let Some(received) = link.receive::<FromInput>().unwrap() {
            words.push(matches!(received.message, FromInput::Ready { .. }));
        }
        assert_eq!(words, [false, true, false, true]);
    }
}
