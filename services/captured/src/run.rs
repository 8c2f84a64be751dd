//! The one event loop of a session: a plain thread that polls its mail, its link and its source, tells
//! [`Session`] what happened and carries out what that says. It never sleeps: what wakes it is a picture, a
//! message, a letter or a deadline.

use crate::{
    backends::{Bitmap, Event, Foreign, Source, SourceError},
    board::Board,
    display::Display,
    looks::Looks,
    recover,
    sound::Desks,
    stage::{Output, Session},
    turn::turn,
};
use lumen_ipc::{
    Failure, Generation, Stage,
    bus::OutputSpec,
    capture::{FromCapture, ToCapture},
    pointer::PointerBitmap,
    pool::{Layout, PoolDescription},
};
use lumen_stage::{Link, LinkError, Mail, Seat, clock::now_ns, failpoint, pool::Pool};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

/// Longest wait. Because the watchdog counts a loop as hung that is silent for 2 s.
const BEAT: Duration = Duration::from_millis(900);

/// What all sessions of the stage share.
#[derive(Clone)]
pub struct Common {
    /// Which incarnation of the stage this is.
    pub generation: Generation,
    /// How long a session lasts without a reader.
    pub lease: Duration,
    /// Who gives sources.
    pub display: Arc<dyn Display>,
    /// Where the administrator looks.
    pub board: Board,
    /// The number of the next pool, rising over the life of the stage.
    pub pools: Arc<AtomicU32>,
    /// What the pointers look like.
    pub looks: Looks,
    /// What the sounds know.
    pub desks: Desks,
}

/// What has something to be read.
#[derive(Debug, Clone, Copy)]
struct Ready {
    mail: bool,
    link: bool,
    source: bool,
}

/// Whether the loop goes on.
#[derive(Debug, PartialEq, Eq)]
enum Flow {
    On,
    End,
}

struct Bench {
    seat: Seat<OutputSpec>,
    common: Common,
    session: Session,
    link: Option<Link>,
    source: Option<Box<dyn Source>>,
    pool: Option<Pool>,
    /// Its buffers are the compositor's own.
    is_lent: bool,
    /// What the pointer looks like, and how many looks it had.
    bitmap: Option<(PointerBitmap, OwnedFd)>,
    bitmaps: u32,
    /// For pictures that lie upside down.
    scratch: Vec<u8>,
}

/// The life of one session's thread.
pub fn run(seat: Seat<OutputSpec>, common: Common) {
    let Some(Mail::Attach { link, spec }) = seat.mailbox.take() else {
        return;
    };
    let session = Session::new(spec.clone(), common.lease, now_ns());
    let mut bench = Bench {
        seat,
        common,
        session,
        link: None,
        source: None,
        pool: None,
        is_lent: false,
        bitmap: None,
        bitmaps: 0,
        scratch: Vec::new(),
    };
    if let Some(look) = bench.common.looks.claim(bench.seat.session) {
        bench.keep_bitmap(look);
    }
    bench.attach(link, spec);
    let mut ready = Ready { mail: true, link: true, source: true };
    while bench.turn(ready) == Flow::On {
        ready = bench.wait();
    }
    bench.common.board.erase(bench.seat.session);
}

impl Bench {
    /// Handles all that is ready and does all that follows from it.
    fn turn(&mut self, ready: Ready) -> Flow {
        self.seat.pulse.beat();
        if ready.mail {
            self.take_mail();
        }
        if ready.link {
            self.take_messages();
        }
        if self.act() == Flow::End {
            return Flow::End;
        }
        while (ready.source || self.is_pending()) && self.take_picture() {
            if self.act() == Flow::End {
                return Flow::End;
            }
        }
        let flow = self.act();
        self.report();
        flow
    }

    fn is_pending(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.is_pending())
    }

    fn wait(&mut self) -> Ready {
        let timeout = self.session.poll_timeout(now_ns()).map_or(BEAT, |due| due.min(BEAT));
        let timeout =
            Timespec { tv_sec: timeout.as_secs().cast_signed(), tv_nsec: timeout.subsec_nanos().into() };
        // A place without a descriptor asks for the mail once more: it then says what is known already.
        let mail = self.seat.mailbox.as_fd();
        let link = self.link.as_ref().map_or(mail, AsFd::as_fd);
        let source = self.source.as_ref().map_or(mail, |source| source.descriptor());
        let mut fds = [mail, link, source].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        // EINTR: nothing is ready then, and the loop comes back here.
        let _ = poll(&mut fds, Some(&timeout));
        let [mail, link, source] = fds.map(|fd| !fd.revents().is_empty());
        Ready { mail, link, source }
    }

    fn take_mail(&mut self) {
        while let Some(letter) = self.seat.mailbox.take() {
            match letter {
                Mail::Attach { link, spec } => self.attach(link, spec),
                Mail::Close => self.session.handle_close(),
            }
        }
    }

    fn attach(&mut self, fd: OwnedFd, spec: OutputSpec) {
        match Link::start(fd, Stage::Captured, self.common.generation, Stage::Encoded) {
            Ok(link) => {
                self.link = Some(link);
                failpoint::at(recover::OPENED);
                self.session.handle_attach(spec, now_ns());
            }
            Err(error) => self.hang_up(&error),
        }
    }

    fn take_messages(&mut self) {
        while let Some(link) = &mut self.link {
            match link.receive::<ToCapture>() {
                Ok(None) => return,
                Ok(Some(received)) => {
                    if let Err(error) = self.session.handle_message(received.message) {
                        self.warn("the reader broke the contract", &error);
                        self.drop_link();
                    }
                }
                Err(error) => self.hang_up(&error),
            }
        }
    }

    fn hang_up(&mut self, error: &LinkError) {
        if !matches!(error, LinkError::Closed) {
            self.warn("the link to the reader ended", error);
        }
        self.drop_link();
    }

    fn drop_link(&mut self) {
        self.link = None;
        self.session.handle_hangup(now_ns());
    }

    /// Handles one event of the source; whether there was one.
    fn take_picture(&mut self) -> bool {
        let Some(source) = &mut self.source else {
            return false;
        };
        match source.dispatch() {
            Ok(None) => return false,
            Ok(Some(Event::Pool(foreign))) => self.use_foreign(foreign),
            Ok(Some(Event::Bitmap(bitmap))) => self.keep_bitmap(bitmap),
            Ok(Some(event)) => self.handle(event),
            Err(error) => self.fail(error.into()),
        }
        true
    }

    fn handle(&mut self, event: Event) {
        match self.turn_upright(&event).map(|()| self.session.handle_event(event)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.warn("the source broke its contract", &error),
            Err(error) => self.fail(error.into()),
        }
    }

    fn keep_bitmap(&mut self, bitmap: Bitmap) {
        self.bitmaps += 1;
        let Bitmap { width, height, hotspot, pixels } = bitmap;
        let description =
            PointerBitmap { id: self.bitmaps, width, height, hotspot_x: hotspot.x, hotspot_y: hotspot.y };
        self.common.looks.keep(self.seat.session, &description, pixels.as_fd());
        self.bitmap = Some((description, pixels));
        self.session.handle_bitmap(description);
    }

    fn turn_upright(&mut self, event: &Event) -> Result<(), SourceError> {
        let Event::Filled { buffer, upside_down: true, .. } = event else {
            return Ok(());
        };
        let Some(pool) = &self.pool else { return Ok(()) };
        let Layout { stride, height, .. } = pool.description().layout;
        let Some(memfd) = pool.fds().get(*buffer as usize).copied() else {
            return Ok(());
        };
        turn(memfd, stride as usize, height as usize, &mut self.scratch)
            .map_err(|errno| SourceError::System { what: "turning a picture", errno })?;
        self.common.board.write(self.seat.session, |line| line.turned += 1);
        Ok(())
    }

    /// The source is at its end.
    fn fail(&mut self, failure: Failure) {
        self.warn("there is no source", &failure);
        self.source = None;
        self.common.board.write(self.seat.session, |line| line.failure = Some(failure.to_string()));
        self.session.handle_failure(failure, now_ns());
    }

    /// Does all that is to be done now.
    fn act(&mut self) -> Flow {
        loop {
            let wants = self.source.as_ref().is_some_and(|source| source.wants_buffer());
            let Some(output) = self.session.poll_output(wants, now_ns()) else {
                return Flow::On;
            };
            match output {
                Output::Acquire(spec) => self.acquire(&spec),
                Output::MakePool { layout, buffers } => self.make_pool(layout, buffers),
                Output::Tell(message) => self.send(&message),
                Output::Announce => self.announce(),
                Output::Send(frame) => {
                    self.send(&FromCapture::Frame(frame));
                    failpoint::at(recover::SENT);
                }
                Output::Show(bitmap) => self.show(bitmap),
                Output::Fill(buffer) => self.tell(|source| source.fill(buffer)),
                Output::Watch(watched) => self.tell(|source| source.watch(watched)),
                Output::RefuseMemory => self.tell(|source| source.refuse_memory()),
                Output::End { release } => {
                    self.end(release);
                    return Flow::End;
                }
            }
        }
    }

    fn acquire(&mut self, spec: &OutputSpec) {
        self.source = None;
        self.common.desks.await_sink(self.seat.session);
        match self.common.display.acquire(self.seat.session, spec, &self.seat.pulse) {
            Ok(source) => {
                tracing::info!(SESSION = %self.seat.session, "pictures come by {}", source.name());
                self.source = Some(source);
                failpoint::at(recover::ACQUIRED);
                self.session.handle_acquired();
                self.common.board.write(self.seat.session, |line| line.failure = None);
                // What it has to say already came with its greeting, so its descriptor may stay silent.
                while self.take_picture() {}
            }
            Err(failure) => self.fail(failure),
        }
    }

    fn make_pool(&mut self, layout: Layout, buffers: usize) {
        let number = self.common.pools.fetch_add(1, Relaxed);
        let pool = match Pool::new(number, layout, buffers) {
            Ok(pool) => pool,
            Err(error) => return self.fail(error.into()),
        };
        let given = self.source.as_mut().map(|source| source.use_pool(layout, &pool.fds()));
        (self.pool, self.is_lent) = (Some(pool), false);
        failpoint::at(recover::POOLED);
        self.session.handle_pool(number, layout);
        if let Some(Err(error)) = given {
            self.fail(error.into());
        }
    }

    fn use_foreign(&mut self, foreign: Foreign) {
        let number = self.common.pools.fetch_add(1, Relaxed);
        let Foreign { layout, memory, places, fds } = foreign;
        let count = places.len();
        match Pool::foreign(PoolDescription { number, layout, memory, buffers: places }, fds) {
            Ok(pool) => {
                (self.pool, self.is_lent) = (Some(pool), true);
                self.session.handle_lent(number, layout, count);
            }
            Err(error) => self.fail(error.into()),
        }
    }

    fn tell(&mut self, what: impl FnOnce(&mut Box<dyn Source>) -> Result<(), SourceError>) {
        if let Some(Err(error)) = self.source.as_mut().map(what) {
            self.fail(error.into());
        }
    }

    fn show(&mut self, bitmap: PointerBitmap) {
        let (Some(link), Some((kept, pixels))) = (&self.link, &self.bitmap) else {
            return;
        };
        if *kept == bitmap {
            let sent = link.send(&FromCapture::Bitmap(bitmap), &[pixels.as_fd()]);
            self.heed(sent);
        }
    }

    fn announce(&mut self) {
        let (Some(link), Some(pool)) = (&self.link, &self.pool) else {
            return;
        };
        let sent = link.send(&FromCapture::Pool(pool.description().clone()), &pool.fds());
        failpoint::at(recover::ANNOUNCED);
        self.heed(sent);
    }

    fn send(&mut self, message: &FromCapture) {
        if let Some(sent) = self.link.as_ref().map(|link| link.send(message, &[])) {
            self.heed(sent);
        }
    }

    /// A reader that has hung up may have left last words unread in the link: the hang-up is read after them.
    fn heed(&mut self, sent: Result<(), LinkError>) {
        match sent {
            Ok(()) | Err(LinkError::Closed) => {}
            Err(error) => self.hang_up(&error),
        }
    }

    fn end(&mut self, release: bool) {
        self.send(&FromCapture::Closing);
        self.source = None;
        if release {
            self.common.looks.forget(self.seat.session);
            self.common.display.release(self.seat.session, &self.seat.pulse);
        }
    }

    fn report(&self) {
        self.common.board.write(self.seat.session, |line| {
            let source = self.source.as_ref();
            (line.backend, line.why) = source.map_or(("", ""), |source| (source.name(), source.why()));
            line.mode = self.session.mode();
            line.pool = self.pool.as_ref().map(|pool| (pool.description().layout, pool.description().number));
            line.memory = self.pool.as_ref().map(|pool| (pool.description().memory, self.is_lent));
            line.read = self.link.is_some();
            line.counters = self.session.counters();
            line.source = source.map(|source| source.counts()).unwrap_or_default();
        });
    }

    fn warn(&self, what: &str, error: &dyn std::fmt::Display) {
        tracing::warn!(SESSION = %self.seat.session, "{what}: {error}");
    }
}
