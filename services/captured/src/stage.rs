//! The brain of one session: what to do next, given what happened. It holds no descriptor, no clock and no
//! thread; `run.rs` tells it what happened and then carries out what [`Session::poll_output`] says, until it
//! says nothing.
//!
//! ```text
//!  Waiting ── its time came ──► Acquiring ── a source came ──► Capturing ── the source failed ──► Waiting
//!     ▲                             │
//!     └──────── it failed ──────────┘      Refused: the request itself can never work; only a new request leads out
//! ```
//! While no reader is attached the source gets no buffer to fill, and when the lease has run out the session
//! ends.

use crate::{
    backends::Event,
    newest::{Counters, MIN_BUFFERS, Newest, SlotError},
    pointer::Pointers,
};
use lumen_ipc::{
    Failure, FailureClass, Mode,
    bus::OutputSpec,
    capture::{Frame, FromCapture, ToCapture},
    pointer::PointerBitmap,
    pool::{BufferId, Layout},
};
use lumen_stage::lease::Lease;
use std::time::Duration;

/// Pause before each attempt at a source after failures in a row; the last one stays. Because a compositor or
/// a stage that restarts is back within the first two, and a machine without one shall not be kept busy.
const BACKOFF: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(50), Duration::from_millis(200), Duration::from_secs(1)];
/// Failures in a row after which a reader is told of those that may pass by themselves.
const PATIENCE: u32 = 3;

/// What `run.rs` is to do now.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Ask vdisplayd for a source of this, then [`Session::handle_acquired`] or [`Session::handle_failure`].
    Acquire(OutputSpec),
    /// Make this pool and give it to the source, then [`Session::handle_pool`].
    MakePool {
        /// Its layout.
        layout: Layout,
        /// How many buffers.
        buffers: usize,
    },
    /// Send this to the reader.
    Tell(FromCapture),
    /// Announce the pool of this moment to the reader.
    Announce,
    /// Send this Frame to the reader.
    Send(Frame),
    /// Send this pointer bitmap, with its pixels, to the reader.
    Show(PointerBitmap),
    /// Give this buffer to the source.
    Fill(u32),
    /// Tell the source whether anybody looks.
    Watch(bool),
    /// Tell the source that the reader cannot read its memory.
    RefuseMemory,
    /// Drop everything and end.
    End {
        /// Whether vdisplayd is to be told that the Output is not needed any more.
        release: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting { until_ns: u64 },
    Acquiring,
    Capturing,
    Refused,
}

/// What the reader of this link has been told.
#[derive(Debug, Default)]
struct Told {
    mode: Option<Mode>,
    pool: Option<u32>,
    failure: Option<Failure>,
}

/// One session.
#[derive(Debug)]
pub struct Session {
    spec: OutputSpec,
    phase: Phase,
    lease: Lease,
    told: Option<Told>,
    mode: Option<Mode>,
    failure: Option<Failure>,
    failures: u32,
    /// A layout whose pool is not yet made.
    wanted: Option<Layout>,
    newest: Option<Newest>,
    pointers: Pointers,
    /// Whether the source was told that somebody looks.
    watched: bool,
    /// The reader cannot read this pool.
    unreadable: Option<u32>,
    /// The stage stops.
    ended: bool,
    /// The reader said that the session is over.
    over: bool,
}

impl Session {
    /// A session that wants this and has no reader yet. `lease` is how long it then lasts.
    pub fn new(spec: OutputSpec, lease: Duration, now_ns: u64) -> Self {
        let mut lease = Lease::new(lease);
        lease.start(now_ns);
        Self {
            spec,
            phase: Phase::Waiting { until_ns: now_ns },
            lease,
            told: None,
            mode: None,
            failure: None,
            failures: 0,
            wanted: None,
            newest: None,
            pointers: Pointers::default(),
            watched: true,
            unreadable: None,
            ended: false,
            over: false,
        }
    }

    /// A reader opened (again), asking for `spec`; the reader before is gone.
    pub fn handle_attach(&mut self, spec: OutputSpec, now_ns: u64) {
        self.lease.stop();
        self.told = Some(Told::default());
        self.pointers.attach();
        if let Some(newest) = &mut self.newest {
            newest.attach();
        }
        if spec != self.spec {
            self.spec = spec;
            self.restart(now_ns);
        } else if self.phase == Phase::Refused {
            self.restart(now_ns);
        }
    }

    /// The reader hung up.
    pub fn handle_hangup(&mut self, now_ns: u64) {
        self.told = None;
        self.lease.start(now_ns);
        if let Some(newest) = &mut self.newest {
            newest.detach();
        }
    }

    /// The reader said something.
    ///
    /// # Errors
    /// It returned what it did not have: its fault, and the end of its link.
    pub fn handle_message(&mut self, message: ToCapture) -> Result<(), SlotError> {
        match (message, &mut self.newest) {
            (ToCapture::Close, _) => self.over = true,
            (ToCapture::Return { pool, buffer }, Some(newest)) => {
                return newest.returned(BufferId { pool, buffer });
            }
            (ToCapture::Return { pool, buffer }, None) => return Err(SlotError::Unknown { pool, buffer }),
            (ToCapture::PointerTaken, _) => self.pointers.taken(),
            (ToCapture::Unreadable { pool }, _) => self.unreadable = Some(pool),
        }
        Ok(())
    }

    /// A source for the request is there.
    pub fn handle_acquired(&mut self) {
        self.watched = true;
        self.phase = Phase::Capturing;
    }

    /// No source for the request, or the one that was there failed; there is none now.
    pub fn handle_failure(&mut self, failure: Failure, now_ns: u64) {
        self.failures = self.failures.saturating_add(1);
        let pause = BACKOFF.get(self.failures as usize - 1).or(BACKOFF.last()).copied().unwrap_or_default();
        self.phase = match failure.class {
            FailureClass::Request => Phase::Refused,
            _ => Phase::Waiting { until_ns: now_ns.saturating_add(pause.as_nanos() as u64) },
        };
        self.wanted = None;
        self.pointers.hide();
        let passing = failure.class == FailureClass::Temporary && self.failures < PATIENCE;
        self.failure = (!passing).then_some(failure);
    }

    /// The source said something.
    ///
    /// # Errors
    /// It named a buffer that it was not given: a fault of ours.
    pub fn handle_event(&mut self, event: Event) -> Result<(), SlotError> {
        match event {
            Event::Mode(mode) => {
                let refresh_mhz =
                    Some(mode.refresh_mhz).filter(|&mhz| mhz > 0).unwrap_or(self.spec.refresh_mhz);
                self.mode = Some(Mode { refresh_mhz, ..mode });
            }
            Event::Layout(layout) => self.wanted = Some(layout),
            Event::Pointer { spot, dequeued_ns } => self.pointers.moved(spot, dequeued_ns),
            // Their descriptors are `run.rs`'s, which says `handle_lent` and `handle_bitmap` instead.
            Event::Pool(_) | Event::Bitmap(_) => {}
            Event::Filled { buffer, picture, .. } => {
                self.pointers.moved(picture.spot, picture.dequeued_ns);
                // Only a picture shows that the source works, so only now are the failures before forgotten.
                (self.failures, self.failure) = (0, None);
                return self.newest.as_mut().map_or(Ok(()), |newest| newest.filled(buffer, &picture));
            }
            Event::Missed { buffer } => {
                return self.newest.as_mut().map_or(Ok(()), |newest| newest.missed(buffer));
            }
        }
        Ok(())
    }

    /// The pool that was asked for is made and the source has it.
    pub fn handle_pool(&mut self, number: u32, layout: Layout) {
        self.wanted = None;
        self.newest = Some(self.renewed(number, MIN_BUFFERS, layout));
    }

    /// The source came with `count` buffers of its own.
    pub fn handle_lent(&mut self, number: u32, layout: Layout, count: usize) {
        self.wanted = None;
        self.newest = Some(self.renewed(number, count, layout).lent());
    }

    fn renewed(&mut self, number: u32, count: usize, layout: Layout) -> Newest {
        let Layout { width, height, .. } = layout;
        self.pointers.renew();
        match self.newest.take() {
            Some(older) => older.renewed(number, count, width, height),
            None => {
                let mut newest = Newest::new(number, count, width, height);
                if self.told.is_some() {
                    newest.attach();
                }
                newest
            }
        }
    }

    /// The pointer looks like this from now on.
    pub fn handle_bitmap(&mut self, bitmap: PointerBitmap) {
        self.pointers.changed(bitmap);
    }

    /// The stage stops.
    pub fn handle_close(&mut self) {
        self.ended = true;
    }

    /// The next thing to do. `wants_buffer`: the source can take a buffer now.
    pub fn poll_output(&mut self, wants_buffer: bool, now_ns: u64) -> Option<Output> {
        if self.ended || self.over || self.lease.is_over(now_ns) {
            // A stage that is stopped may come back within the lease, so the Output is left to vdisplayd's
            // own.
            return Some(Output::End { release: !self.ended });
        }
        if let Phase::Waiting { until_ns } = self.phase
            && now_ns >= until_ns
        {
            self.phase = Phase::Acquiring;
            return Some(Output::Acquire(self.spec.clone()));
        }
        if let Some(layout) = self.wanted.take() {
            return Some(Output::MakePool { layout, buffers: MIN_BUFFERS });
        }
        if let Some(output) = self.poll_reader() {
            return Some(output);
        }
        if self.phase != Phase::Capturing {
            return None;
        }
        self.poll_source(wants_buffer)
    }

    /// What the source is to be told or given.
    fn poll_source(&mut self, wants_buffer: bool) -> Option<Output> {
        let read = self.told.is_some();
        if std::mem::replace(&mut self.watched, read) != read {
            return Some(Output::Watch(read));
        }
        let newest = self.newest.as_mut()?;
        if self.unreadable.take() == Some(newest.pool()) {
            return Some(Output::RefuseMemory);
        }
        // A buffer of the source's own goes back to it whether or not anybody reads.
        let gives = wants_buffer && (read || newest.is_lent());
        if gives { newest.take_free().map(Output::Fill) } else { None }
    }

    /// Nothing is due before this time, unless something happens; CLOCK_MONOTONIC ns.
    pub fn poll_timeout(&self, now_ns: u64) -> Option<Duration> {
        let attempt = match self.phase {
            Phase::Waiting { until_ns } => Some(Duration::from_nanos(until_ns.saturating_sub(now_ns))),
            Phase::Acquiring | Phase::Capturing | Phase::Refused => None,
        };
        [attempt, self.lease.left(now_ns)].into_iter().flatten().min()
    }

    /// What the source shows, once it said so.
    pub fn mode(&self) -> Option<Mode> {
        self.mode
    }

    /// What happened to pictures so far.
    pub fn counters(&self) -> Counters {
        self.newest.as_ref().map(Newest::counters).unwrap_or_default()
    }

    /// What the reader lacks, in the order in which it must hear it: a failure or the mode, the pool, the
    /// newest picture.
    fn poll_reader(&mut self) -> Option<Output> {
        let told = self.told.as_mut()?;
        if let Some(failure) = self.failure.as_ref().filter(|failure| told.failure.as_ref() != Some(failure))
        {
            *told = Told { failure: Some(failure.clone()), ..Told::default() };
            return Some(Output::Tell(FromCapture::Failed(failure.clone())));
        }
        if let Some(mode) = self.mode.filter(|mode| self.failure.is_none() && told.mode != Some(*mode)) {
            *told = Told { mode: Some(mode), failure: None, pool: told.pool };
            return Some(Output::Tell(FromCapture::Ready { mode }));
        }
        let newest = self.newest.as_mut()?;
        if told.mode.is_some() && told.pool != Some(newest.pool()) {
            told.pool = Some(newest.pool());
            return Some(Output::Announce);
        }
        told.pool?;
        if let Some(bitmap) = self.pointers.poll_bitmap() {
            return Some(Output::Show(bitmap));
        }
        match newest.poll_frame() {
            Some(frame) => Some(Output::Send(Frame { pointer: self.pointers.with_frame(), ..frame })),
            None => self.pointers.poll_moved().map(Output::Tell),
        }
    }

    fn restart(&mut self, now_ns: u64) {
        self.phase = Phase::Waiting { until_ns: now_ns };
        (self.failures, self.failure) = (0, None);
        self.mode = None;
    }
}

#[cfg(test)]
mod tests;
