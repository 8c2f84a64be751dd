//! The loop of a session's thread.
//!
//! ```text
//!  turn: letters → the frame on its way → the next message, until nothing can be done → wait for link, bell or pacer
//! ```

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, atomic::Ordering::Relaxed, mpsc},
    time::Duration,
};

use lumen_core::Timestamp;
use lumen_ipc::{
    Stage,
    encode::{AccessUnit, FromEncode, ToEncode},
};
use lumen_stage::{Link, LinkError, Received, clock::now_ns, pulse, ring::RingReader};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    cutter::Cut,
    flight::Progress,
    outlet::Destination,
    pointer,
    sequence::Sequence,
    stream::{Letter, Report, StreamParts},
};

/// Because what takes longer is an IDR that was tried several times, and what follows is none.
const LONGEST_LEAD: Duration = Duration::from_millis(8);

/// A link to encoded and what came over it.
struct Source {
    link: Link,
    ring: Option<RingReader>,
    is_closing: bool,
}

/// An AccessUnit that waits for the client's first hello.
struct Waiting {
    unit: AccessUnit,
    received_ns: u64,
}

/// The thread's state.
pub(super) struct Sender {
    parts: StreamParts,
    mail: mpsc::Receiver<Letter>,
    sequence: Sequence,
    source: Option<Source>,
    waiting: Option<Waiting>,
    /// encoded needs no answer any more about the frame on its way: it has one, or its link is gone.
    is_answered: bool,
    /// Links so far: the number of this one.
    links: u64,
    /// No picture came since encoded said why there are none, or since this link began: encoded may have been away for so
    /// long that the client was told.
    is_failing: bool,
    is_paused: bool,
}

/// Why the thread ends.
struct Stopped;

/// What became of the frame on its way.
enum Flown {
    /// There is none, or nobody knows where to.
    Nothing,
    /// The pacer holds the rest back until then.
    Waits(Timestamp),
    /// It is sent.
    Landed,
}

impl Sender {
    /// Without a link yet.
    pub(super) fn new(parts: StreamParts, mail: mpsc::Receiver<Letter>) -> Self {
        Self {
            sequence: Sequence::starting_at(parts.record.next_frame(), parts.record.bitrate()),
            parts,
            mail,
            source: None,
            waiting: None,
            is_answered: false,
            links: 0,
            is_failing: false,
            is_paused: false,
        }
    }

    /// Until the owner says Stop.
    pub(super) fn run(mut self) {
        let mut has_mail = true;
        while let Ok(wake) = self.turn(has_mail) {
            has_mail = self.wait(wake);
        }
    }

    /// Does all that can be done now; returns when to come again at the latest.
    fn turn(&mut self, has_mail: bool) -> Result<Option<Timestamp>, Stopped> {
        self.parts.pulse.beat();
        if has_mail {
            self.parts.bell.silence();
            while let Ok(letter) = self.mail.try_recv() {
                self.handle(letter)?;
            }
        }
        loop {
            match self.fly()? {
                Flown::Waits(until) => return Ok(Some(until)),
                // encoded sends nothing before it has heard of this one: asking the link now would be a call for nothing.
                Flown::Landed => return Ok(None),
                Flown::Nothing => {}
            }
            if !self.receive() {
                return Ok(None);
            }
        }
    }

    fn handle(&mut self, letter: Letter) -> Result<(), Stopped> {
        match letter {
            Letter::Stop => {
                // Without it encoded would keep the encoder for its lease, as it does for a crash.
                self.send(&ToEncode::Close);
                return Err(Stopped);
            }
            Letter::Leave => return Err(Stopped),
            Letter::Pause(pause) => self.is_paused = pause,
            Letter::PointerTaken { link } if link == self.links => self.send(&ToEncode::PointerTaken),
            // encoded waits for nothing on a link that it did not send it on.
            Letter::PointerTaken { .. } => {}
            Letter::Link(fd) => self.start_link(fd),
            Letter::Loss(loss) => {
                if self.sequence.handle_loss(loss) {
                    self.send_control();
                }
            }
            Letter::Parity(percent) => {
                self.parts.flight.set_parity(percent);
                self.parts.figures.parity_percent.store(percent.into(), Relaxed);
            }
            Letter::Bitrate(bps) => {
                if self.sequence.handle_bitrate(bps) {
                    self.parts.record.set_bitrate(bps);
                    self.parts.flight.set_bitrate(bps, Timestamp::from_ns(now_ns()));
                    self.send_control();
                }
            }
        }
        Ok(())
    }

    fn start_link(&mut self, fd: OwnedFd) {
        // An AccessUnit of the older link lies in its ring, so it cannot wait any longer; one in flight was copied.
        (self.source, self.waiting) = (None, None);
        self.is_answered = self.parts.flight.is_busy();
        self.sequence.start_link();
        self.is_failing = true;
        self.links += 1;
        match Link::start(fd, Stage::Transportd, self.parts.generation, Stage::Encoded) {
            Ok(link) => {
                self.parts.figures.links.fetch_add(1, Relaxed);
                self.source = Some(Source { link, ring: None, is_closing: false });
                self.send_control();
            }
            Err(error) => self.hung_up(error, false),
        }
    }

    fn hung_up(&mut self, error: LinkError, is_closing: bool) {
        (self.source, self.waiting) = (None, None);
        self.report(Report::HungUp { error, is_closing });
    }

    fn report(&self, report: Report) {
        // An owner that is gone has posted Stop.
        let _ = self.parts.reports.send((self.links, report));
    }

    fn send_control(&mut self) {
        self.send(&ToEncode::Control(self.sequence.control()));
    }

    fn send(&mut self, message: &ToEncode) {
        if let Some(source) = &self.source
            && let Err(error) = source.link.send(message, &[])
        {
            let is_closing = source.is_closing;
            self.hung_up(error, is_closing);
        }
    }

    /// Where frames go now; `None` holds them back.
    fn destination(&self) -> Option<Destination> {
        self.parts.path.destination().filter(|_| !self.is_paused)
    }

    /// Moves the frame that is on its way.
    fn fly(&mut self) -> Result<Flown, Stopped> {
        if let (Some(waiting), Some(_)) = (&self.waiting, self.destination()) {
            let (unit, received_ns) = (waiting.unit, waiting.received_ns);
            self.waiting = None;
            self.load(unit, received_ns);
        }
        let Some(destination) = self.destination() else {
            return Ok(Flown::Nothing);
        };
        let StreamParts { flight, outlet, figures, .. } = &mut self.parts;
        match flight.advance(outlet, destination, figures, now_ns) {
            Ok(Progress::Wait { unit, until, end }) => {
                let now = Timestamp::from_ns(now_ns());
                if !self.is_answered && end.is_some_and(|end| end.since(now) <= lead(&unit)) {
                    self.is_answered = true;
                    self.send(&ToEncode::Sent { number: unit.number });
                }
                Ok(Flown::Waits(until))
            }
            Ok(Progress::Landed(unit)) => {
                if !std::mem::take(&mut self.is_answered) {
                    self.send(&ToEncode::Sent { number: unit.number });
                }
                Ok(Flown::Landed)
            }
            Ok(Progress::Idle) => Ok(Flown::Nothing),
            Err(_) => {
                self.report(Report::Exhausted);
                Err(Stopped)
            }
        }
    }

    /// Takes the next message unless an AccessUnit is waiting or on its way; whether there was one.
    fn receive(&mut self) -> bool {
        if self.is_busy() {
            return false;
        }
        let Some(source) = &mut self.source else {
            return false;
        };
        match source.link.receive::<FromEncode>() {
            Ok(None) => false,
            Ok(Some(received)) => {
                self.take_in(received);
                true
            }
            Err(error) => {
                let is_closing = source.is_closing;
                self.hung_up(error, is_closing);
                false
            }
        }
    }

    fn is_busy(&self) -> bool {
        self.waiting.is_some() || self.parts.flight.is_busy()
    }

    fn take_in(&mut self, received: Received<FromEncode>) {
        match received.message {
            FromEncode::AccessUnit(unit) => self.take_unit(unit),
            FromEncode::Ready { mode, codec, ring_bytes } => {
                let ring = received.fds.first().map(|fd| RingReader::import(fd.as_fd(), ring_bytes));
                match (ring, &mut self.source) {
                    (Some(Ok(ring)), Some(source)) => {
                        source.ring = Some(ring);
                        let next_frame = self.parts.record.next_frame();
                        self.report(Report::Ready { mode, codec, next_frame });
                    }
                    (Some(Err(error)), _) => self.hung_up(error.into(), false),
                    // The link checked that the message came with its descriptor.
                    (None, _) | (_, None) => {}
                }
            }
            FromEncode::Failed(failure) => {
                self.is_failing = true;
                self.report(Report::Failed(failure));
            }
            FromEncode::Bitmap(bitmap) => {
                let memory = received.fds.first().map(AsFd::as_fd);
                match memory.and_then(|memory| pointer::shape(&bitmap, memory)) {
                    Some(shape) => self.report(Report::PointerShape(Arc::new(shape))),
                    None => drop(self.parts.figures.bad_shapes.fetch_add(1, Relaxed)),
                }
            }
            FromEncode::Pointer(pointer) => self.report(Report::PointerMoved(pointer::moved(pointer))),
            FromEncode::Closing => {
                if let Some(source) = &mut self.source {
                    source.is_closing = true;
                }
            }
        }
    }

    fn take_unit(&mut self, unit: AccessUnit) {
        let received_ns = now_ns();
        if std::mem::take(&mut self.is_failing) {
            self.report(Report::Pictures);
        }
        if self.destination().is_some() {
            self.load(unit, received_ns);
        } else {
            self.waiting = Some(Waiting { unit, received_ns });
        }
    }

    /// Numbers and cuts an AccessUnit. One that is of no use is given back at once, or encoded would wait for ever.
    fn load(&mut self, unit: AccessUnit, received_ns: u64) {
        let ring = self.source.as_ref().and_then(|source| source.ring.as_ref());
        let Some(bytes) = ring.and_then(|ring| ring.unit(unit.offset, unit.len)) else {
            self.parts.figures.unusable.fetch_add(1, Relaxed);
            return self.send(&ToEncode::Sent { number: unit.number });
        };
        let before = self.sequence.control();
        let loaded = match self.sequence.take(&unit) {
            None => {
                self.parts.figures.headless.fetch_add(1, Relaxed);
                false
            }
            Some(number) => {
                self.parts.record.set_next_frame(number + 1);
                let flight = &mut self.parts.flight;
                let loaded = flight.load(&Cut { unit, bytes, number, received_ns }, now_ns).is_ok();
                self.parts.figures.unusable.fetch_add((!loaded).into(), Relaxed);
                loaded
            }
        };
        if self.sequence.control() != before {
            self.send_control();
        }
        if !loaded {
            self.send(&ToEncode::Sent { number: unit.number });
        }
    }

    /// Whether the bell rang meanwhile.
    fn wait(&self, wake: Option<Timestamp>) -> bool {
        let longest = pulse::SILENCE / 2;
        let pause = wake.map_or(longest, |wake| wake.since(Timestamp::from_ns(now_ns())).min(longest));
        let bell = PollFd::new(&self.parts.bell, PollFlags::IN);
        match &self.source {
            // A link that hung up would wake us for ever while a frame is on its way and nothing is read.
            Some(source) if !self.is_busy() => {
                sleep(&mut [bell, PollFd::new(&source.link, PollFlags::IN)], pause)
            }
            _ => sleep(&mut [bell], pause),
        }
    }
}

/// How long before its last datagram leaves the next picture is begun: that one needs about as long to be encoded, so that
/// pacing costs no pictures and none waits for long.
fn lead(unit: &AccessUnit) -> Duration {
    let marks = &unit.timeline;
    Duration::from_nanos(marks.encode_end_ns.saturating_sub(marks.encode_begin_ns)).min(LONGEST_LEAD)
}

/// Whether the first of `fds` is ready, or may be.
fn sleep(fds: &mut [PollFd<'_>], pause: Duration) -> bool {
    let pause = Timespec { tv_sec: pause.as_secs() as i64, tv_nsec: pause.subsec_nanos().into() };
    poll(fds, Some(&pause)).is_err() || fds.first().is_some_and(|fd| !fd.revents().is_empty())
}
