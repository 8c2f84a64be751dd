//! The brain of one session: what to do next, given what happened. It holds no descriptor, no clock, no pixel and no thread;
//! `run.rs` tells it what happened and then carries out what [`Session::poll_output`] says, until it says nothing.
//!
//! ```text
//!  upstream:    Waiting ── its time came ──► Linked ── the link ended ──► Waiting     Refused: only a new request leads out
//!
//!  a picture:   Frame ──► waiting ──► Take, Return, Encode ──► unsent ── Sent ──► the next may start
//!                            │ a newer Frame came, or its pool is gone
//!                            └──► returned, its damage united with the newer one's
//! ```
//! No picture is started while one is unsent. After the last Frame of a movement the same picture is encoded again until it
//! is sharp, then once a second or as often as its reader asks, marked as repeats. Without a reader nothing is encoded, and two waiting Frames stop captured.

use std::time::Duration;

use arrayvec::ArrayVec;
use lumen_ipc::{
    Failure, FailureClass, Mode, Timeline,
    bus::StreamSpec,
    capture::{Frame, FromCapture, MAX_FRAMES_OUT},
    encode::{ToEncode, UnitKind},
    pool::BufferId,
};
use lumen_stage::lease::Lease;

mod frames;
mod output;
mod phase;
mod pointing;
mod reader;

pub use output::{Counters, Fault, Output};

use phase::{Phase, pause};
use pointing::Pointing;
use reader::Reader;

/// Silence after which the picture is repeated, so that a client can tell a still screen from a dead host; a reader may ask for
/// less.
const REPEAT_NS: u64 = 1_000_000_000;
/// Intervals without a Frame after which the screen counts as still, in halves: less, and a late Frame would wait for us.
const STILL_HALVES: u64 = 5;

/// One session.
#[derive(Debug)]
pub struct Session {
    spec: StreamSpec,
    phase: Phase,
    lease: Lease,
    reader: Option<Reader>,
    failure: Option<Failure>,
    failures: u32,
    /// captured has said on this link that the Output is there.
    greeted: bool,
    refresh_mhz: u32,
    /// Refresh rate of an Output whose new size has not come yet.
    coming_mhz: Option<u32>,
    size: Option<(u32, u32)>,
    waiting: ArrayVec<Frame, MAX_FRAMES_OUT>,
    returns: ArrayVec<BufferId, { MAX_FRAMES_OUT * 2 }>,
    /// The next Frame is to be taken in whole.
    all_damaged: bool,
    /// A Frame was taken and is to be encoded.
    taken: Option<Timeline>,
    /// An `Encode` was asked for and not yet answered.
    encoding: bool,
    /// Number of the Frame that was taken last.
    shown: Option<u64>,
    idr: bool,
    /// The reader lost AccessUnits from this one on, which the encoder is to be told.
    lost: Option<u64>,
    /// The next picture refers to none that was lost.
    recovers: bool,
    /// Another pass would make the picture visibly better.
    refine: bool,
    last_frame_ns: u64,
    last_unit_ns: u64,
    bitrate: Option<u32>,
    pointing: Pointing,
    counters: Counters,
    ended: bool,
    /// The reader said that the session is over.
    over: bool,
}

impl Session {
    /// A session that wants this and has no reader yet. `lease` is how long it then lasts.
    pub fn new(spec: StreamSpec, lease: Duration, now_ns: u64) -> Self {
        let mut lease = Lease::new(lease);
        lease.start(now_ns);
        Self {
            phase: Phase::Waiting { until_ns: now_ns },
            lease,
            reader: None,
            failure: None,
            failures: 0,
            greeted: false,
            refresh_mhz: spec.refresh_mhz,
            coming_mhz: None,
            size: None,
            waiting: ArrayVec::new(),
            returns: ArrayVec::new(),
            all_damaged: true,
            taken: None,
            encoding: false,
            shown: None,
            idr: true,
            lost: None,
            recovers: false,
            refine: false,
            last_frame_ns: 0,
            last_unit_ns: 0,
            bitrate: Some(spec.bitrate_bps),
            pointing: Pointing::default(),
            counters: Counters::default(),
            ended: false,
            over: false,
            spec,
        }
    }

    /// A reader opened (again), asking for `spec`; the reader before is gone.
    pub fn handle_attach(&mut self, spec: StreamSpec, now_ns: u64) {
        self.lease.stop();
        self.reader = Some(Reader::default());
        (self.idr, self.lost, self.recovers) = (true, None, false);
        self.bitrate = Some(spec.bitrate_bps);
        if spec.output() != self.spec.output() || self.phase == Phase::Refused {
            self.greeted = true;
            self.handle_upstream_lost(now_ns);
        }
        self.spec = spec;
    }

    /// The reader hung up.
    pub fn handle_hangup(&mut self, now_ns: u64) {
        self.reader = None;
        self.lease.start(now_ns);
    }

    /// The reader said something; returns the number of an AccessUnit whose bytes are free now.
    ///
    /// # Errors
    /// It broke the contract.
    pub fn handle_reader(&mut self, message: ToEncode) -> Result<Option<u64>, Fault> {
        let Some(reader) = &mut self.reader else {
            return Ok(None);
        };
        match message {
            ToEncode::Sent { number } if reader.unsent == Some(number) => {
                reader.unsent = None;
                Ok(Some(number))
            }
            ToEncode::Sent { number } => Err(Fault::NotUnsent { number }),
            ToEncode::Close => {
                self.over = true;
                Ok(None)
            }
            ToEncode::PointerTaken => {
                reader.told.unread = false;
                Ok(None)
            }
            ToEncode::Control(control) => {
                self.handle_control(control);
                Ok(None)
            }
        }
    }

    /// There is a link to captured.
    pub fn handle_linked(&mut self) {
        self.phase = Phase::Linked;
        self.counters.upstream_links += 1;
        self.greeted = false;
    }

    /// The link to captured ended; its Frames are gone with it.
    pub fn handle_upstream_lost(&mut self, now_ns: u64) {
        // A link that ends before it served is a failure like any other, and not tried again without a pause.
        let pause = if self.greeted { Duration::ZERO } else { self.count_failure() };
        self.phase = Phase::Waiting { until_ns: now_ns.saturating_add(pause.as_nanos() as u64) };
        self.waiting.clear();
        self.returns.clear();
        (self.taken, self.all_damaged) = (None, true);
        self.forget_pointer();
    }

    /// There is no link to captured, and it said why.
    pub fn handle_failure(&mut self, failure: Failure, now_ns: u64) {
        let pause = self.count_failure();
        self.phase = match failure.class {
            FailureClass::Request => Phase::Refused,
            _ => Phase::Waiting { until_ns: now_ns.saturating_add(pause.as_nanos() as u64) },
        };
        self.failure = Some(failure);
    }

    /// One more in a row; returns the pause after it.
    fn count_failure(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        pause(self.failures)
    }

    /// captured said something other than a pool.
    ///
    /// # Errors
    /// It broke the contract.
    pub fn handle_capture(&mut self, message: FromCapture, now_ns: u64) -> Result<(), Fault> {
        match message {
            FromCapture::Ready { mode } => {
                self.handle_mode(mode);
                self.greeted = true;
                (self.failure, self.failures) = (None, 0);
            }
            FromCapture::Failed(failure) => self.failure = Some(failure),
            FromCapture::Frame(frame) => return self.handle_frame(frame, now_ns),
            FromCapture::Pointer { pointer, timeline } => {
                return self.handle_pointer(pointer, timeline, now_ns);
            }
            // The hang-up follows, and opening then waits for the next owner. Pools go to `handle_pool`, bitmaps are pixels.
            FromCapture::Closing | FromCapture::Pool(_) | FromCapture::Bitmap(_) => {}
        }
        Ok(())
    }

    /// The picture was encoded and AccessUnit `number` went out. `refine`: another pass would make it visibly better.
    pub fn handle_encoded(&mut self, number: u64, kind: UnitKind, refine: bool, now_ns: u64) {
        if let Some(reader) = &mut self.reader {
            reader.unsent = Some(number);
        }
        (self.idr, self.recovers, self.refine, self.encoding) = (false, false, refine, false);
        self.last_unit_ns = now_ns;
        self.counters.idrs += u64::from(kind == UnitKind::Idr);
        self.counters.recovered += u64::from(kind == UnitKind::Recovered);
        if kind == UnitKind::Repeat {
            self.counters.repeats += 1;
        } else {
            self.counters.encoded += 1;
        }
    }

    /// The Frame did not differ from the picture before, so nothing was encoded.
    pub fn handle_unchanged(&mut self) {
        self.counters.unchanged += 1;
        self.encoding = false;
    }

    /// The picture could not be encoded, or its bytes not be handed on: the next one begins anew.
    pub fn handle_encoder_failure(&mut self) {
        (self.shown, self.taken, self.idr) = (None, None, true);
        (self.all_damaged, self.encoding) = (true, false);
        if let Some(reader) = &mut self.reader {
            // The next encoder has another ring.
            reader.announced = None;
        }
    }

    /// The stage stops.
    pub fn handle_close(&mut self) {
        self.ended = true;
    }

    /// The next thing to do.
    pub fn poll_output(&mut self, now_ns: u64) -> Option<Output> {
        if self.ended || self.over || self.lease.is_over(now_ns) {
            return Some(Output::End { over: !self.ended });
        }
        if let Some(buffer) = self.returns.pop() {
            return Some(Output::Return(buffer));
        }
        if self.pointing.poll_answer() {
            return Some(Output::AnswerPointer);
        }
        if let Phase::Waiting { until_ns } = self.phase
            && now_ns >= until_ns
        {
            self.phase = Phase::Linked;
            return Some(Output::Open(self.spec.output()));
        }
        if let Some(bitrate) = self.bitrate.take() {
            return Some(Output::SetBitrate(bitrate));
        }
        if let Some(first) = self.lost.take() {
            return Some(Output::Lose(first));
        }
        self.poll_reader().or_else(|| self.poll_apart()).or_else(|| self.poll_picture(now_ns))
    }

    /// What the reader lacks: a failure, or the mode.
    fn poll_reader(&mut self) -> Option<Output> {
        let mode = self.mode();
        let reader = self.reader.as_mut()?;
        if reader.failure != self.failure {
            reader.failure.clone_from(&self.failure);
            if let Some(failure) = &self.failure {
                reader.announced = None;
                return Some(Output::Tell(failure.clone()));
            }
        }
        // The reader may still read what is unsent from the ring of before.
        if self.failure.is_none() && reader.announced != mode && reader.unsent.is_none() {
            reader.announced = mode;
            return mode.map(Output::Announce);
        }
        None
    }

    /// Nothing is due before this time, unless something happens.
    pub fn poll_timeout(&self, now_ns: u64) -> Option<Duration> {
        let attempt = match self.phase {
            Phase::Waiting { until_ns } => Some(until_ns),
            Phase::Linked | Phase::Refused => None,
        };
        let reads = self.reader.as_ref().is_some_and(Reader::is_ready);
        let still = self.still_due().filter(|_| reads);
        let pointer = self.pointer_due().filter(|_| reads);
        let due = [attempt, still, pointer].into_iter().flatten().min();
        let due = due.map(|due_ns| Duration::from_nanos(due_ns.saturating_sub(now_ns)));
        [due, self.lease.left(now_ns)].into_iter().flatten().min()
    }

    /// Mode of the pictures, once their size is known.
    pub fn mode(&self) -> Option<Mode> {
        let (width, height) = self.size?;
        Some(Mode { width, height, refresh_mhz: self.refresh_mhz })
    }

    /// What happened to Frames so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether a reader is attached.
    pub fn is_read(&self) -> bool {
        self.reader.is_some()
    }

    /// Why no pictures come, if so.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }
}

#[cfg(test)]
mod invariants;
#[cfg(test)]
mod tests;
