//! The event loop of a session's sound: a plain thread that polls its mail, its link and PipeWire.
//!
//! It lasts as long as the pictures of its session or its reader do, and a lease longer; then it takes the sink along.

use super::{
    booth::Booth,
    desks::Desks,
    error::SoundError,
    lead::Lead,
    microphone::Microphone,
    monitor::{Monitor, Wish},
    service,
};
use crate::{board::Board, display::Display, recover};
use lumen_ipc::{
    Failure, Generation, SessionId, Stage,
    bus::SinkSpec,
    sound::{FromSink, MAX_CHANNELS, ToSink},
};
use lumen_stage::{Link, LinkError, Mail, Seat, clock::now_ns, failpoint, lease::Lease, pulse::Pulses};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

/// Longest wait. Because the watchdog counts a loop as hung that is silent for 2 s.
const BEAT: Duration = Duration::from_millis(500);
/// Between two tries to get sound.
const RETRY_NS: u64 = 1_000_000_000;

/// Whether the pictures of a session go on.
pub type Lives = Arc<dyn Fn(SessionId) -> bool + Send + Sync>;

/// What the sounds of all sessions share.
#[derive(Clone)]
pub struct Common {
    /// Which incarnation of the stage this is.
    pub generation: Generation,
    /// How long a session lasts without a reader.
    pub lease: Duration,
    /// Who gives connections to PipeWire.
    pub display: Arc<dyn Display>,
    /// Where the administrator looks.
    pub board: Board,
    /// What the pictures know.
    pub desks: Desks,
    /// Who moves the default output.
    pub lead: Lead,
    /// Whether there are pictures.
    pub lives: Lives,
    /// What an earlier constellation left is still to be taken away. Not at the stage's start, because asking for PipeWire
    /// starts it where it is started by its socket.
    pub is_unswept: Arc<AtomicBool>,
    /// Those of the stage's loops.
    pub pulses: Pulses,
}

struct Bench {
    seat: Seat<SinkSpec>,
    common: Common,
    channels: usize,
    lease: Lease,
    link: Option<Link>,
    monitor: Option<Monitor>,
    /// Since when there may be another try.
    due_ns: u64,
    booth: Booth,
    /// What the reader was told last.
    told: Option<Result<(), Failure>>,
    sent: u64,
    /// What a reader that was too slow did not get.
    unread: u64,
    /// The reader needs it no more.
    is_closed: bool,
    /// The stage stops.
    is_over: bool,
    /// Why the default output is not this session's.
    is_not_led: Option<String>,
}

/// The life of one session's thread.
pub fn run(seat: Seat<SinkSpec>, common: Common) {
    let session = seat.session;
    let mut bench = Bench {
        lease: Lease::new(common.lease),
        seat,
        common,
        channels: 2,
        link: None,
        monitor: None,
        due_ns: 0,
        booth: Booth::default(),
        told: None,
        sent: 0,
        unread: 0,
        is_closed: false,
        is_over: false,
        is_not_led: None,
    };
    while bench.turn() {
        bench.wait();
    }
    bench.end();
    tracing::debug!(SESSION = %session, "its sound is over");
}

impl Bench {
    /// Does all that is to be done now; whether it goes on.
    fn turn(&mut self) -> bool {
        self.seat.pulse.beat();
        self.take_mail();
        self.take_messages();
        let is_unread = self.is_closed || self.lease.is_over(now_ns());
        if self.is_over || (is_unread && !(self.common.lives)(self.seat.session)) {
            return false;
        }
        self.listen();
        self.serve_microphone();
        self.report();
        true
    }

    fn wait(&self) {
        let pause = match (&self.monitor, self.lease.left(now_ns())) {
            (None, _) => Duration::from_nanos(self.due_ns.saturating_sub(now_ns())),
            // A lease that ran out while pictures go on is looked at again with each beat.
            (Some(_), Some(left)) if !left.is_zero() => left,
            (Some(_), _) => BEAT,
        };
        let pause = pause.min(self.booth.pause()).min(BEAT);
        let pause = Timespec { tv_sec: pause.as_secs().cast_signed(), tv_nsec: pause.subsec_nanos().into() };
        // A place without a descriptor asks for the mail once more.
        let mail = self.seat.mailbox.as_fd();
        let link = self.link.as_ref().map_or(mail, AsFd::as_fd);
        let monitor = self.monitor.as_ref().map_or(mail, Monitor::descriptor);
        let microphone = self.booth.microphone.as_ref().map_or(mail, Microphone::descriptor);
        let mut fds = [mail, link, monitor, microphone].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        // EINTR: nothing is ready then, and the loop looks anyway.
        let _ = poll(&mut fds, Some(&pause));
    }

    fn take_mail(&mut self) {
        while let Some(letter) = self.seat.mailbox.take() {
            match letter {
                Mail::Attach { link, spec } => self.attach(link, &spec),
                Mail::Close => self.is_over = true,
            }
        }
    }

    fn attach(&mut self, fd: OwnedFd, spec: &SinkSpec) {
        self.channels = (spec.channels as usize).clamp(1, MAX_CHANNELS);
        self.booth.is_wanted = spec.microphone == Some(true);
        match Link::start(fd, Stage::Captured, self.common.generation, Stage::Encoded) {
            Ok(link) => {
                (self.link, self.told, self.is_closed) = (Some(link), None, false);
                self.lease.stop();
                self.watch(true);
                failpoint::at(recover::SOUND_OPENED);
            }
            Err(_) => self.hang_up(),
        }
    }

    fn take_messages(&mut self) {
        while let Some(link) = &mut self.link {
            match link.receive::<ToSink>() {
                Ok(None) => return,
                Ok(Some(received)) => match received.message {
                    ToSink::Close => self.is_closed = true,
                    ToSink::Spoken(samples) => self.booth.speak(&samples),
                },
                Err(LinkError::Closed) => self.hang_up(),
                Err(error) => {
                    tracing::warn!(SESSION = %self.seat.session, "the link to the reader ended: {error}");
                    self.hang_up();
                }
            }
        }
    }

    fn hang_up(&mut self) {
        self.link = None;
        self.lease.start(now_ns());
        self.watch(false);
    }

    /// Without a reader PipeWire need not run for us.
    fn watch(&self, watched: bool) {
        if let Some(monitor) = &self.monitor {
            monitor.watch(watched);
        }
    }

    /// What is to be read as things are now.
    fn wish(&self) -> Wish {
        let is_own = self.leads() || !self.common.desks.is_users(self.seat.session);
        Wish { sink: is_own.then_some(self.seat.session), channels: self.channels }
    }

    /// Whether the default output is to be this session's sink.
    fn leads(&self) -> bool {
        self.is_not_led.is_none()
            && self.common.desks.is_users(self.seat.session)
            && self.common.lead.claim(self.seat.session)
    }

    fn listen(&mut self) {
        let wish = self.wish();
        if let Some(stale) = self.monitor.take_if(|monitor| monitor.wish() != wish) {
            // For other channels the sink stays: of what plays into one that goes, the session manager makes another sink's.
            if stale.wish().sink != wish.sink {
                stale.destroy();
            }
            self.due_ns = 0;
        }
        if self.leads() {
            self.lead();
        }
        let heard = match &mut self.monitor {
            Some(monitor) => monitor.dispatch(),
            None if self.due_ns <= now_ns() => return self.open(wish),
            None => Ok(()),
        };
        match heard {
            Ok(()) => self.pass_on(),
            Err(error) => self.fail(error.into()),
        }
    }

    /// Moves the default output; where that cannot be, what is the default is read from now on.
    fn lead(&mut self) {
        let why = self.monitor.as_mut().and_then(|monitor| monitor.lead(&self.common.lead));
        if let Some(why) = why {
            tracing::warn!(SESSION = %self.seat.session, "the default output is not this session's: {why}");
            self.is_not_led = Some(why.to_owned());
            self.common.lead.give_up(self.seat.session);
        }
    }

    fn open(&mut self, wish: Wish) {
        let socket = self.common.display.sound(self.seat.session, &self.seat.pulse);
        if socket.is_ok() && self.common.is_unswept.swap(false, Relaxed) {
            self.sweep(Some(self.seat.session));
        }
        let opened = socket
            .and_then(|socket| Monitor::open(socket, wish).map_err(|error: SoundError| Failure::from(error)));
        match opened {
            Ok(monitor) => self.monitor = Some(monitor),
            Err(failure) => self.fail(failure),
        }
    }

    /// Sees to the source of the client's microphone, where the session has one.
    fn serve_microphone(&mut self) {
        let open = || {
            let socket = self.common.display.sound(self.seat.session, &self.seat.pulse)?;
            Ok(Microphone::open(socket, self.seat.session)?)
        };
        if let Some(failure) = self.booth.turn(open) {
            tracing::warn!(SESSION = %self.seat.session, "{failure}");
        }
    }

    /// Takes away what sessions left that are over, but for what `own` has.
    fn sweep(&self, own: Option<SessionId>) {
        let Common { display, lives, lead, pulses, .. } = self.common.clone();
        let lives = move |session| Some(session) == own || lives(session);
        service::clean(display, pulses.register(), lives, lead);
    }

    /// There is no sound for now.
    fn fail(&mut self, failure: Failure) {
        self.monitor = None;
        self.due_ns = now_ns() + RETRY_NS;
        self.common.desks.settle(self.seat.session);
        if self.told.as_ref() != Some(&Err(failure.clone())) {
            tracing::warn!(SESSION = %self.seat.session, "{failure}");
            self.tell(&FromSink::Failed(failure.clone()));
            self.told = Some(Err(failure));
        }
    }

    fn pass_on(&mut self) {
        let Some(monitor) = &self.monitor else { return };
        if monitor.is_settled() {
            failpoint::at(recover::SOUND_SINK);
            self.common.desks.settle(self.seat.session);
        }
        if monitor.is_reading() && self.link.is_some() && self.told != Some(Ok(())) {
            failpoint::at(recover::SOUND_READING);
            self.tell(&FromSink::Ready { channels: self.channels as u32 });
            self.told = Some(Ok(()));
        }
        while let Some(pcm) = self.monitor.as_mut().and_then(Monitor::pop) {
            self.tell(&FromSink::Pcm(pcm));
        }
    }

    fn tell(&mut self, message: &FromSink) {
        let Some(link) = &self.link else { return };
        let is_pcm = matches!(message, FromSink::Pcm(_));
        match link.send(message, &[]) {
            Ok(()) => self.sent += u64::from(is_pcm),
            // Late sound is worse than none: it is not kept for a reader that does not read.
            Err(LinkError::Full) if is_pcm => self.unread += 1,
            // Its last words may lie unread in the link; the hang-up comes after them.
            Err(LinkError::Closed) => {}
            Err(_) => self.hang_up(),
        }
    }

    fn report(&self) {
        let text = match (&self.told, &self.monitor) {
            (Some(Err(failure)), _) => failure.to_string(),
            (_, Some(monitor)) => {
                let what = match (monitor.wish().sink, &self.is_not_led) {
                    (Some(_), _) => "the session's sink".to_owned(),
                    (None, Some(why)) => format!("the default sink ({why})"),
                    (None, None) => "the default sink".to_owned(),
                };
                let state = if monitor.is_reading() { "read" } else { "waits" };
                format!(
                    "{what}, {} channels: {state}, {} pieces of 5 ms sent, {} unread",
                    self.channels, self.sent, self.unread
                )
            }
            (_, None) => "waits for PipeWire".to_owned(),
        };
        let microphone = self.booth.said();
        self.common
            .board
            .change(self.seat.session, |line| (line.sound, line.microphone) = (text, microphone));
    }

    /// Where only this process ends, all stays as it is: the next one goes on with it, and if there is none, the sweep that is a part
    /// of the constellation's stop takes it away.
    fn end(&mut self) {
        self.tell(&FromSink::Closing);
        if self.is_over {
            return;
        }
        if let Some(monitor) = self.monitor.take() {
            monitor.destroy();
        }
        self.booth.close();
        if self.common.lead.give_up(self.seat.session) {
            // Without PipeWire, or one that does not answer: once it does.
            self.sweep(None);
        }
        self.common.desks.forget(self.seat.session);
    }
}
