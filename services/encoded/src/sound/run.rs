//! The event loop of a session's sound: a plain thread that polls its mail and its two links.

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use lumen_ipc::{
    Failure, FailureClass, Generation, Stage,
    bus::{SinkSpec, SoundSpec},
    sound::{FromOpus, FromSink, Pcm, Spoken, ToOpus, ToSink},
};
use lumen_stage::{Link, LinkError, Mail, Seat, clock::now_ns, failpoint, lease::Lease};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{microphone::Microphone, packer::Packer, resampler::Resampler};
use crate::{board::Board, capture::Capture, recover};

/// Longest wait. Because the watchdog counts a loop as hung that is silent for 3.5 s.
const BEAT: Duration = Duration::from_millis(900);
/// Between two tries to open a link upstream; opening itself waits for a captured that restarts.
const RETRY_NS: u64 = 20_000_000;
/// The same after captured refused.
const REFUSED_NS: u64 = 1_000_000_000;

/// What the sounds of all sessions share.
#[derive(Clone)]
pub struct Common {
    /// Which incarnation of the stage this is.
    pub generation: Generation,
    /// How long a session lasts without a reader.
    pub lease: Duration,
    /// Who gives samples.
    pub capture: Arc<dyn Capture>,
    /// Where the administrator looks.
    pub board: Board,
}

struct Bench {
    seat: Seat<SoundSpec>,
    common: Common,
    spec: SoundSpec,
    lease: Lease,
    reader: Option<Link>,
    upstream: Option<Link>,
    packer: Option<Packer>,
    resampler: Resampler,
    /// Since when there may be another try upstream.
    due_ns: u64,
    /// What captured said last: that there is sound, or why not.
    state: Option<Result<(), Failure>>,
    packets: u64,
    /// What a reader that was too slow did not get.
    unread: u64,
    /// Pieces that could not be encoded.
    errors: u64,
    /// From its first packet on.
    microphone: Option<Microphone>,
    /// Samples of it, in packets, for which captured had no room.
    unplayed: u64,
    is_over: bool,
}

/// The life of one session's thread.
pub fn run(seat: Seat<SoundSpec>, common: Common) {
    let Some(Mail::Attach { link, spec }) = seat.mailbox.take() else {
        return;
    };
    let mut bench = Bench {
        lease: Lease::new(common.lease),
        seat,
        common,
        spec: spec.clone(),
        reader: None,
        upstream: None,
        packer: None,
        resampler: Resampler::new(spec.channels as usize),
        due_ns: 0,
        state: None,
        packets: 0,
        unread: 0,
        errors: 0,
        microphone: None,
        unplayed: 0,
        is_over: false,
    };
    bench.attach(link, spec);
    while bench.turn() {
        bench.wait();
    }
    bench.answer(&ToSink::Close);
    bench.tell(&FromOpus::Closing);
}

impl Bench {
    /// Does all that is to be done now; whether it goes on.
    fn turn(&mut self) -> bool {
        self.seat.pulse.beat();
        while let Some(letter) = self.seat.mailbox.take() {
            match letter {
                Mail::Attach { link, spec } => self.attach(link, spec),
                Mail::Close => self.is_over = true,
            }
        }
        self.take_from_reader();
        if self.is_over || self.lease.is_over(now_ns()) {
            return false;
        }
        if self.upstream.is_none() && self.due_ns <= now_ns() {
            self.open();
        }
        self.take_from_upstream();
        self.report();
        true
    }

    fn wait(&self) {
        let retry = Duration::from_nanos(self.due_ns.saturating_sub(now_ns()));
        let retry = if self.upstream.is_none() { retry } else { BEAT };
        let pause = self.lease.left(now_ns()).unwrap_or(BEAT).min(retry).min(BEAT);
        let pause = Timespec { tv_sec: pause.as_secs().cast_signed(), tv_nsec: pause.subsec_nanos().into() };
        // A place without a descriptor asks for the mail once more.
        let mail = self.seat.mailbox.as_fd();
        let reader = self.reader.as_ref().map_or(mail, AsFd::as_fd);
        let upstream = self.upstream.as_ref().map_or(mail, AsFd::as_fd);
        let mut fds = [mail, reader, upstream].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        // EINTR: nothing is ready then, and the loop looks anyway.
        let _ = poll(&mut fds, Some(&pause));
    }

    fn attach(&mut self, fd: OwnedFd, spec: SoundSpec) {
        if spec != self.spec {
            self.resampler = Resampler::new(spec.channels as usize);
            (self.spec, self.packer) = (spec, None);
            // Other channels are another sink's.
            self.lose_upstream();
        }
        match Link::start(fd, Stage::Encoded, self.common.generation, Stage::Transportd) {
            Ok(link) => {
                self.reader = Some(link);
                self.lease.stop();
                // Another client may speak, whose numbers are its own.
                self.microphone.iter_mut().for_each(Microphone::begin_anew);
                failpoint::at(recover::SOUND_OPENED);
                if let Some(state) = self.state.clone() {
                    self.pass_on(state);
                }
            }
            Err(_) => self.hang_up(),
        }
    }

    fn take_from_reader(&mut self) {
        while let Some(link) = &mut self.reader {
            match link.receive::<ToOpus>() {
                Ok(None) => return,
                Ok(Some(received)) => match received.message {
                    ToOpus::Close => self.is_over = true,
                    ToOpus::Spoken(spoken) => self.speak(spoken),
                },
                Err(LinkError::Closed) => self.hang_up(),
                Err(error) => {
                    self.warn("the link to the reader of the sound ended", &error);
                    self.hang_up();
                }
            }
        }
    }

    fn hang_up(&mut self) {
        self.reader = None;
        self.lease.start(now_ns());
    }

    fn open(&mut self) {
        let spec = SinkSpec { channels: self.spec.channels, microphone: self.spec.microphone };
        let opened = self.common.capture.open_sound(self.seat.session, &spec, &self.seat.pulse);
        let linked = opened.and_then(|fd| {
            Link::start(fd, Stage::Encoded, self.common.generation, Stage::Captured).map_err(|error| {
                Failure::new(FailureClass::Temporary, format!("no sound: {error}"), "see `lumenctl status`")
            })
        });
        match linked {
            Ok(link) => {
                self.upstream = Some(link);
                failpoint::at(recover::SOUND_LINKED);
            }
            Err(failure) => {
                self.lose_upstream();
                self.due_ns = now_ns() + REFUSED_NS;
                self.hear(Err(failure));
            }
        }
    }

    fn lose_upstream(&mut self) {
        self.upstream = None;
        self.due_ns = now_ns() + RETRY_NS;
        // What comes next does not belong to what came last.
        self.resampler = Resampler::new(self.spec.channels as usize);
        if let Some(packer) = &mut self.packer {
            packer.begin_anew();
        }
    }

    fn take_from_upstream(&mut self) {
        while let Some(link) = &mut self.upstream {
            match link.receive::<FromSink>() {
                Ok(None) => return,
                Ok(Some(received)) => match received.message {
                    FromSink::Ready { .. } => self.hear(Ok(())),
                    FromSink::Failed(failure) => self.hear(Err(failure)),
                    FromSink::Pcm(pcm) => self.resample(&pcm),
                    FromSink::Closing => {}
                },
                Err(LinkError::Closed) => self.lose_upstream(),
                Err(error) => {
                    self.warn("the link to captured's sound ended", &error);
                    self.lose_upstream();
                }
            }
        }
    }

    /// There is sound, or there is none; told to the reader where it is news.
    fn hear(&mut self, state: Result<(), Failure>) {
        if self.state.as_ref() != Some(&state) {
            self.pass_on(state.clone());
            self.state = Some(state);
        }
    }

    fn pass_on(&mut self, state: Result<(), Failure>) {
        self.tell(&match state {
            Ok(()) => FromOpus::Ready {
                channels: self.spec.channels,
                // What cannot be encoded is told with the first samples.
                silence: Packer::silence(&self.spec).unwrap_or_default(),
            },
            Err(failure) => FromOpus::Failed(failure),
        });
    }

    fn resample(&mut self, pcm: &Pcm) {
        // Without a reader nobody hears it, and what is kept would be late.
        if self.reader.is_none() {
            return;
        }
        self.resampler.take(pcm);
        while let Some(pcm) = self.resampler.pop() {
            self.encode(&pcm);
        }
    }

    fn encode(&mut self, pcm: &Pcm) {
        let packer = match &mut self.packer {
            Some(packer) => Ok(packer),
            none => Packer::new(&self.spec).map(|packer| none.insert(packer)),
        };
        match packer.and_then(|packer| packer.take(pcm)) {
            Ok(None) => {}
            Ok(Some(packet)) => {
                failpoint::at(recover::SOUND_MADE);
                self.tell(&FromOpus::Packet(packet));
            }
            Err(error) => {
                if self.errors == 0 {
                    self.warn("sound cannot be encoded", &error);
                }
                self.errors += 1;
            }
        }
    }

    /// Hands on what the client's microphone heard.
    fn speak(&mut self, spoken: Spoken) {
        // Of a session that has none.
        if self.spec.microphone != Some(true) {
            return;
        }
        let microphone = match &mut self.microphone {
            Some(microphone) => microphone,
            none => match Microphone::new() {
                Ok(microphone) => none.insert(microphone),
                Err(error) => return self.warn("the client's microphone cannot be decoded", &error),
            },
        };
        microphone.take(spoken);
        while let Some(samples) = self.microphone.as_mut().and_then(Microphone::pop) {
            let sent = self.upstream.as_ref().map(|link| link.send(&ToSink::Spoken(samples), &[]));
            // Late sound is worse than none; a link that broke is seen when it is read.
            self.unplayed += u64::from(!matches!(sent, Some(Ok(()))));
        }
    }

    fn tell(&mut self, message: &FromOpus) {
        let Some(link) = &self.reader else { return };
        let is_packet = matches!(message, FromOpus::Packet(_));
        match link.send(message, &[]) {
            Ok(()) => self.packets += u64::from(is_packet),
            Err(LinkError::Full) if is_packet => self.unread += 1,
            // Its last words may lie unread in the link; the hang-up comes after them.
            Err(LinkError::Closed) => {}
            Err(_) => self.hang_up(),
        }
    }

    fn answer(&self, message: &ToSink) {
        if let Some(link) = &self.upstream {
            // One that has hung up needs no answer.
            let _ = link.send(message, &[]);
        }
    }

    fn report(&self) {
        let text = match &self.state {
            None => "waits for captured".to_owned(),
            Some(Err(failure)) => failure.to_string(),
            Some(Ok(())) => format!(
                "Opus, {} channels, {} bit/s, {} ms: {} packets, {} unread, {} errors",
                self.spec.channels,
                self.spec.bitrate_bps,
                self.spec.packet_ms,
                self.packets,
                self.unread,
                self.errors
            ),
        };
        let microphone = self.microphone.as_ref().map(|microphone| {
            let counts = microphone.counts();
            format!(
                "{} packets decoded, {} made up for, {} late, {} malformed, {} unplayed",
                counts.decoded, counts.missing, counts.late, counts.malformed, self.unplayed
            )
        });
        self.common.board.change(self.seat.session, |line| {
            line.sound = text;
            line.microphone = microphone.unwrap_or_default();
        });
    }

    fn warn(&self, what: &str, error: &dyn std::fmt::Display) {
        tracing::warn!(SESSION = %self.seat.session, "{what}: {error}");
    }
}
