//! The one event loop of a session: a plain thread that polls its mail and its two links, tells [`Session`] what happened and
//! carries out what that says. It never sleeps: what wakes it is a Frame, a message, a letter or a deadline.

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use lumen_ipc::{
    Failure, FailureClass, Generation, Mode, Stage, Timeline,
    bus::StreamSpec,
    capture::{Frame, ToCapture},
    encode::{Codec, FromEncode, ToEncode, UnitKind},
    pointer::Pointer,
};
use lumen_stage::{Link, LinkError, Mail, Seat, clock::now_ns, failpoint, pool::ImportedPool};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{
    backends::Factory,
    board::Board,
    capture::Capture,
    coder::{CodeError, Coder},
    pointer::Sprites,
    recover,
    stage::{Output, Session},
};

mod upstream;
mod wishes;

/// Longest wait. Because the watchdog counts a loop as hung that is silent for 2 s.
const BEAT: Duration = Duration::from_millis(900);
/// Less would not carry the headers of 60 pictures a second.
pub const MIN_BITRATE_BPS: u32 = 100_000;
/// Failures of the encoder in a row after which the reader is told.
const PATIENCE: u32 = 3;

/// What all sessions of the stage share.
#[derive(Clone)]
pub struct Common {
    /// Which incarnation of the stage this is.
    pub generation: Generation,
    /// How long a session lasts without a reader.
    pub lease: Duration,
    /// What no session gets more than, in bits a second.
    pub max_bitrate_bps: u32,
    /// Whoever opens before this, on CLOCK_MONOTONIC, goes on with a session of the incarnation before; 0 if there was none.
    pub heir_until_ns: u64,
    /// Who gives Frames.
    pub capture: Arc<dyn Capture>,
    /// Who makes encoders.
    pub factory: Arc<dyn Factory>,
    /// Where the administrator looks.
    pub board: Board,
}

/// What has something to be read.
#[derive(Debug, Clone, Copy)]
struct Ready {
    mail: bool,
    reader: bool,
    upstream: bool,
}

/// Whether the loop goes on.
#[derive(Debug, PartialEq, Eq)]
enum Flow {
    On,
    End,
}

struct Bench {
    seat: Seat<StreamSpec>,
    common: Common,
    session: Session,
    reader: Option<Link>,
    upstream: Option<Link>,
    pool: Option<ImportedPool>,
    /// Number of captured's newest pool, if it cannot be read here.
    unreadable: Option<u32>,
    /// What captured's pointer looks like.
    sprites: Sprites,
    coder: Option<Coder>,
    bitrate_bps: u32,
    /// The reader can be served after a loss without an IDR.
    keeps: bool,
    /// Number of the newest AccessUnit.
    units: u64,
    errors: u64,
    bad_pointers: u64,
    failures: u32,
}

/// The life of one session's thread.
pub fn run(seat: Seat<StreamSpec>, common: Common) {
    let Some(Mail::Attach { link, spec }) = seat.mailbox.take() else {
        return;
    };
    let session = Session::new(spec.clone(), common.lease, now_ns());
    let mut bench = Bench {
        bitrate_bps: spec.bitrate_bps,
        keeps: false,
        seat,
        common,
        session,
        reader: None,
        upstream: None,
        pool: None,
        unreadable: None,
        sprites: Sprites::default(),
        coder: None,
        units: 0,
        errors: 0,
        bad_pointers: 0,
        failures: 0,
    };
    bench.attach(link, spec);
    let mut ready = Ready { mail: true, reader: true, upstream: true };
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
        if ready.reader {
            self.take_from_reader();
        }
        if ready.upstream {
            self.take_from_upstream();
        }
        let flow = self.act();
        self.report();
        flow
    }

    fn wait(&mut self) -> Ready {
        let timeout = self.session.poll_timeout(now_ns()).map_or(BEAT, |due| due.min(BEAT));
        let timeout =
            Timespec { tv_sec: timeout.as_secs().cast_signed(), tv_nsec: timeout.subsec_nanos().into() };
        // A place without a descriptor asks for the mail once more: it then says what is known already.
        let mail = self.seat.mailbox.as_fd();
        let reader = self.reader.as_ref().map_or(mail, AsFd::as_fd);
        let upstream = self.upstream.as_ref().map_or(mail, AsFd::as_fd);
        let mut fds = [mail, reader, upstream].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        // EINTR: nothing is ready then, and the loop comes back here.
        let _ = poll(&mut fds, Some(&timeout));
        let [mail, reader, upstream] = fds.map(|fd| !fd.revents().is_empty());
        Ready { mail, reader, upstream }
    }

    fn take_mail(&mut self) {
        while let Some(letter) = self.seat.mailbox.take() {
            match letter {
                Mail::Attach { link, spec } => self.attach(link, spec),
                Mail::Close => self.session.handle_close(),
            }
        }
    }

    fn attach(&mut self, fd: OwnedFd, spec: StreamSpec) {
        match Link::start(fd, Stage::Encoded, self.common.generation, Stage::Transportd) {
            Ok(link) => {
                self.reader = Some(link);
                failpoint::at(recover::OPENED);
                self.keeps = spec.references.unwrap_or_default();
                self.session.handle_attach(spec, now_ns());
                self.clear_coder();
            }
            Err(error) => self.drop_reader(&error),
        }
    }

    fn take_from_reader(&mut self) {
        while let Some(link) = &mut self.reader {
            let handled = match link.receive::<ToEncode>() {
                Ok(None) => return,
                Ok(Some(received)) => self.session.handle_reader(received.message),
                Err(error) => return self.drop_reader(&error),
            };
            match (handled, &mut self.coder) {
                (Ok(Some(number)), Some(coder)) => coder.ring().free(number),
                (Ok(_), _) => {}
                (Err(fault), _) => {
                    self.warn("the reader broke the contract", &fault);
                    self.reader = None;
                    self.session.handle_hangup(now_ns());
                }
            }
        }
    }

    fn drop_reader(&mut self, error: &LinkError) {
        if !matches!(error, LinkError::Closed) {
            self.warn("the link to the reader ended", error);
        }
        self.reader = None;
        self.session.handle_hangup(now_ns());
    }

    /// Does all that is to be done now.
    fn act(&mut self) -> Flow {
        while let Some(output) = self.session.poll_output(now_ns()) {
            // No encoder is made any more, and without one the reader would be announced to for ever.
            if self.common.factory.is_falling() {
                self.tell(&FromEncode::Closing);
                return Flow::End;
            }
            match output {
                Output::Open(spec) => self.open(&spec),
                Output::Tell(failure) => self.tell(&FromEncode::Failed(failure)),
                Output::Announce(mode) => self.announce(mode),
                Output::Return(id) => {
                    self.answer(&ToCapture::Return { pool: id.pool, buffer: id.buffer });
                }
                Output::Take(frame) => self.take(&frame),
                Output::Point(pointer) => self.point(pointer),
                Output::AnswerPointer => self.answer(&ToCapture::PointerTaken),
                Output::TellBitmap(id) => self.tell_bitmap(id),
                Output::TellPointer(pointer) => self.tell(&FromEncode::Pointer(pointer)),
                Output::Encode { kind, frame, timeline } => self.encode(kind, frame, timeline),
                Output::Lose(first) => self.lose(first),
                Output::SetBitrate(bitrate_bps) => self.set_bitrate(bitrate_bps),
                Output::End { over } => {
                    if over {
                        self.answer(&ToCapture::Close);
                    }
                    self.tell(&FromEncode::Closing);
                    return Flow::End;
                }
            }
        }
        Flow::On
    }

    /// Tells the reader of the mode and where the AccessUnits will lie.
    fn announce(&mut self, mode: Mode) {
        if let Err(error) = self.make_coder(mode) {
            return self.fail(&error);
        }
        let (Some(link), Some(coder)) = (&self.reader, &mut self.coder) else {
            return;
        };
        let ring = coder.ring();
        let ready = FromEncode::Ready { mode, codec: Codec::H264, ring_bytes: ring.size() };
        let sent = link.send(&ready, &[ring.as_fd()]);
        failpoint::at(recover::ANNOUNCED);
        match sent {
            Ok(()) | Err(LinkError::Closed) => {}
            Err(error) => self.drop_reader(&error),
        }
    }

    fn make_coder(&mut self, mode: Mode) -> Result<(), CodeError> {
        if let Some(coder) = &mut self.coder {
            coder.set_refresh(mode.refresh_mhz);
            return Ok(());
        }
        let mut coder = Coder::new(&*self.common.factory, mode, self.bitrate_bps, self.keeps, self.units)?;
        coder.beat(self.seat.pulse.clone());
        if now_ns() < self.common.heir_until_ns {
            coder.resume();
        }
        let (backend, kernel) = coder.describe();
        tracing::info!(SESSION = %self.seat.session, "{backend} encodes {mode}");
        let backend = (backend.to_owned(), kernel);
        self.common.board.write(self.seat.session, |line| line.backend = backend);
        self.coder = Some(coder);
        failpoint::at(recover::MADE);
        Ok(())
    }

    fn take(&mut self, frame: &Frame) {
        let pool = self.pool.as_ref().filter(|pool| pool.number() == frame.buffer.pool);
        let Some((pool, pixels)) = pool.and_then(|pool| Some((pool, pool.picture(frame.buffer.buffer)?)))
        else {
            self.warn("captured broke the contract", &format!("there is no {:?}", frame.buffer));
            return self.lose_upstream();
        };
        let Some(coder) = &mut self.coder else { return };
        let painted = coder.paint(&pixels, pool.layout(), &frame.damage);
        drop(pixels);
        if let Err(error) = painted {
            return self.fail(&error.into());
        }
        self.point(frame.pointer);
    }

    fn point(&mut self, pointer: Option<Pointer>) {
        if let Some(coder) = &mut self.coder {
            coder.point(pointer.and_then(|pointer| self.sprites.placed(pointer)));
        }
    }

    fn tell_bitmap(&mut self, id: u32) {
        let (Some(link), Some(sprite)) = (&self.reader, self.sprites.get(id)) else { return };
        match link.send(&FromEncode::Bitmap(*sprite.bitmap()), &[sprite.memory().as_fd()]) {
            Ok(()) | Err(LinkError::Closed) => {}
            Err(error) => self.drop_reader(&error),
        }
    }

    fn encode(&mut self, kind: UnitKind, frame: u64, timeline: Timeline) {
        let Some(coder) = &mut self.coder else { return };
        failpoint::at(recover::ENCODING);
        match coder.encode(kind, now_ns()) {
            Ok(Some(mut unit)) => {
                (self.failures, self.units) = (0, unit.number);
                unit.frame = frame;
                unit.timeline = Timeline {
                    dequeued_ns: timeline.dequeued_ns,
                    received_ns: timeline.received_ns,
                    ..unit.timeline
                };
                let refine = coder.wants_refinement();
                self.session.handle_encoded(unit.number, unit.kind, refine, now_ns());
                self.tell(&FromEncode::AccessUnit(unit));
                failpoint::at(recover::TOLD);
            }
            Ok(None) => self.session.handle_unchanged(),
            Err(error) => self.fail(&error),
        }
    }

    /// The encoder failed: a new one is made with the next picture, and after some failures the reader hears why.
    fn fail(&mut self, error: &CodeError) {
        if !self.common.factory.is_falling() {
            self.warn("a picture could not be encoded", error);
        }
        self.errors += 1;
        self.failures += 1;
        self.coder = None;
        self.session.handle_encoder_failure();
        if self.failures >= PATIENCE && !self.common.factory.is_falling() {
            let advice = "see `lumenctl status` and `journalctl --user -u lumen-encoded` on the host";
            let failure = Failure::new(FailureClass::Internal, error.to_string(), advice);
            self.session.handle_failure(failure, now_ns());
            (self.upstream, self.pool) = (None, None);
        }
    }

    fn tell(&mut self, message: &FromEncode) {
        match self.reader.as_ref().map(|link| link.send(message, &[])) {
            // What it said last may still lie unread in the link; the hang-up comes after it.
            None | Some(Ok(()) | Err(LinkError::Closed)) => {}
            Some(Err(error)) => self.drop_reader(&error),
        }
    }

    fn report(&self) {
        self.common.board.write(self.seat.session, |line| {
            line.mode = self.session.mode();
            line.read = self.session.is_read();
            line.bitrate_bps = self.bitrate_bps;
            line.counters = self.session.counters();
            (line.errors, line.bad_pointers) = (self.errors, self.bad_pointers);
            if line.failure.as_deref() != self.session.failure().map(|failure| failure.text.as_str()) {
                line.failure = self.session.failure().map(|failure| failure.text.clone());
            }
            if let Some(coder) = &self.coder {
                let figures = coder.figures();
                (line.grain, line.rate) = (figures.grain.number(), figures.rate);
                (line.bytes, line.converted_bytes) = (figures.bytes, figures.converted_bytes);
            }
        });
    }

    fn warn(&self, what: &str, error: &dyn std::fmt::Display) {
        tracing::warn!(SESSION = %self.seat.session, "{what}: {error}");
    }
}
