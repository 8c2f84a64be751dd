//! The control thread: one session from the dial to the farewell, over as many connections as it takes.

use std::{net::SocketAddr, time::Duration};

use lumen_core::{
    ClientConfig, ClientEvent, ClientSession, CloseReason, Timestamp,
    control::{Launched, Stats},
    session::Output,
};
use quinn::ConnectionError;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{
    args::StreamArgs,
    change::{Schedule, Wish},
    clock::Clock,
    connection::Dialer,
    ear::{Ear, EarSummary},
    failure::Failure,
    link::{Coming, Link},
    mouth::{Mouth, MouthSummary},
    notice::Notice,
    pulse::Pulse,
    record::Recording,
    report::ClockSummary,
    script::Script,
    signal::interrupted,
    tidings::Tidings,
    video::{Channel, NetworkSummary},
    workers::{Setup, Workers, Yield},
};

/// How long to sleep where nothing is due; anything that happens ends the sleep.
const NOTHING_DUE: Duration = Duration::from_secs(1);

/// Between two attempts to dial a host that was lost.
const REDIAL: Duration = Duration::from_millis(50);

/// How a session ended.
#[derive(Debug)]
pub enum End {
    /// It was long enough.
    Enough,
    /// A signal came.
    Interrupted,
    /// No picture within the patience.
    NoPicture(Duration),
    /// Anything else.
    Failed(Failure),
}

/// What is left of a session.
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// The session's id.
    pub session: String,
    /// How many connections it took.
    pub connections: u64,
    /// From the dial to the first picture.
    pub launch_to_picture: Option<Duration>,
    /// What both threads brought, or why one failed.
    pub yielded: Result<Yield, Failure>,
    /// The clocks.
    pub clock: ClockSummary,
    /// What was heard.
    pub heard: Option<EarSummary>,
    /// What was spoken.
    pub spoken: Option<MouthSummary>,
    /// What the host told.
    pub tidings: Tidings,
}

/// One session.
pub struct Stream<'a> {
    args: &'a StreamArgs,
    dialer: &'a Dialer,
    clock: Clock,
    session: ClientSession,
    link: Option<Link>,
    workers: Option<Workers>,
    recording: Option<Recording>,
    ear: Option<Ear>,
    mouth: Option<Mouth>,
    notices: UnboundedReceiver<Notice>,
    notify: UnboundedSender<Notice>,
    started: Timestamp,
    launched: Option<(Launched, Timestamp)>,
    first_picture: Option<Timestamp>,
    connections: u64,
    pulse: Pulse,
    schedule: Schedule,
    script: Script,
    tidings: Tidings,
}

impl<'a> Stream<'a> {
    /// Dials the host and asks for the stream.
    ///
    /// # Errors
    /// As [`Dialer::dial`], and [`Failure::Script`].
    pub async fn open(
        args: &'a StreamArgs,
        dialer: &'a Dialer,
        recording: Recording,
    ) -> Result<Self, Failure> {
        let mut script = args.script.as_deref().map(Script::read).transpose()?.unwrap_or_default();
        if let Some(log) = &args.acts_log {
            script = script.logging_to(log)?;
        }
        let ear = args.outputs.sound.as_deref().map(|path| Ear::create(path, args.channels)).transpose()?;
        let mouth = args.microphone.as_ref().map(Mouth::new).transpose()?;
        let clock = Clock::ahead_by(args.clock_offset);
        let started = clock.now();
        let link = Link::open(dialer).await?;
        let now = clock.now();
        let config = ClientConfig { name: "lumen-probe".into(), launch: args.launch() };
        let (notify, notices) = unbounded_channel();
        Ok(Self {
            args,
            dialer,
            clock,
            session: ClientSession::new(config, now),
            link: Some(link),
            workers: None,
            recording: Some(recording),
            ear,
            mouth,
            notices,
            notify,
            started,
            launched: None,
            first_picture: None,
            connections: 1,
            pulse: Pulse::default(),
            schedule: Schedule::new(args.changes.clone()),
            script,
            tidings: Tidings::default(),
        })
    }

    /// Runs the session to its end.
    pub async fn run(mut self) -> Outcome {
        let end = loop {
            if let Err(end) = self.step().await {
                break end;
            }
        };
        self.farewell().await;
        let yielded = self.workers.take().map_or_else(|| Ok(Yield::default()), Workers::finish);
        Outcome {
            end,
            session: self
                .launched
                .as_ref()
                .map_or_else(String::new, |(launched, _)| launched.session.to_string()),
            connections: self.connections,
            launch_to_picture: self.first_picture.map(|at| at.since(self.started)),
            yielded,
            clock: self.pulse.summary(),
            heard: self.ear.as_ref().map(Ear::summary),
            spoken: self.mouth.as_ref().map(Mouth::summary),
            tidings: self.tidings,
        }
    }

    /// Does what is due, then waits for one thing to happen.
    async fn step(&mut self) -> Result<(), End> {
        let now = self.clock.now();
        self.check_time(now)?;
        self.drain().await?;
        let sleep = tokio::time::sleep(self.next_deadline().since(now));
        tokio::select! {
            came = read(&mut self.link) => match came {
                Ok(Coming::Control(chunk)) => self.session.handle_bytes(&chunk.bytes, self.clock.now()),
                Ok(Coming::Datagram(datagram)) => self.hear(&datagram)?,
                Err(error) => self.handle_lost(&error)?,
            },
            Some(notice) = self.notices.recv() => self.handle_notice(notice)?,
            heard = self.script.heard() => heard.map_err(|error| End::Failed(error.into()))?,
            () = sleep => self.session.handle_timeout(self.clock.now()),
            () = interrupted() => return Err(End::Interrupted),
        }
        Ok(())
    }

    /// Carries out what the session wants.
    async fn drain(&mut self) -> Result<(), End> {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Send(bytes) => write(&mut self.link, &bytes).await,
                Output::Event(event) => self.handle_event(event).await?,
                Output::Close(reason) => return Err(End::Failed(self.closed(reason))),
            }
        }
        Ok(())
    }

    /// A refusal before the launch is an answer; one to a resume is the end of what ran.
    fn closed(&self, reason: CloseReason) -> Failure {
        match reason {
            CloseReason::Refused(refused) if self.launched.is_none() => Failure::Refused(refused),
            other => Failure::BrokenOff { why: other.to_string() },
        }
    }

    async fn handle_event(&mut self, event: ClientEvent) -> Result<(), End> {
        match event {
            ClientEvent::HostNamed(_) => {}
            ClientEvent::Launched(launched) => self.begin(launched).map_err(End::Failed)?,
            ClientEvent::Resumed(_) => self.pulse.start(self.clock.now()),
            ClientEvent::Dial => self.redial().await?,
            ClientEvent::ModeChanged(changed) => self.tidings.mode_changed(changed, self.since_dial()),
            ClientEvent::Notice(notice) => self.tidings.notice(notice, self.since_dial()),
            ClientEvent::PointerShape(shape) => self.tidings.pointer.handle_shape(&shape),
            ClientEvent::PointerMoved(moved) => self.tidings.pointer.handle_moved(moved, self.since_dial()),
            ClientEvent::Pong(sample) => self.pulse.handle_pong(sample),
        }
        Ok(())
    }

    /// Starts both threads on the channel that the host opened.
    fn begin(&mut self, launched: Launched) -> Result<(), Failure> {
        let broken = |why: &str| Failure::BrokenOff { why: why.into() };
        let link = self.link.as_ref().ok_or_else(|| broken("the connection was lost"))?;
        let recording = self.recording.take().ok_or_else(|| broken("the host launched twice"))?;
        let announced = SocketAddr::new(self.args.host.ip(), launched.video_port);
        let channel = Channel {
            host: self.args.video.unwrap_or(announced),
            id: launched.channel,
            secret: link.secret(launched.session)?,
            next_frame: launched.next_frame,
        };
        let setup = Setup {
            clock: self.clock,
            host_clock: self.pulse.host_clock(),
            recording,
            stamped: self.args.stamp,
            changes: self.args.changes.clone(),
            notices: self.notify.clone(),
        };
        self.workers = Some(Workers::start(channel, setup)?);
        let now = self.clock.now();
        self.mouth.iter_mut().for_each(|mouth| mouth.start(launched.microphone, now));
        self.pulse.start(now);
        self.launched = Some((launched, now));
        Ok(())
    }

    /// The connection is gone. The session outlives it; before the launch only where the host died, or was not heard, because
    /// other ends are answers.
    fn handle_lost(&mut self, error: &ConnectionError) -> Result<(), End> {
        self.link = None;
        let is_mute = matches!(error, ConnectionError::Reset | ConnectionError::TimedOut);
        if self.launched.is_none() && !is_mute {
            return Err(End::Failed(self.dialer.explain(error)));
        }
        self.session.connection_lost(self.clock.now());
        Ok(())
    }

    /// Dials until there is a connection or the session's patience is over.
    async fn redial(&mut self) -> Result<(), End> {
        let mut attempts = 0;
        loop {
            match Link::reopen(self.dialer, attempts).await {
                Ok(link) => {
                    self.link = Some(link);
                    self.connections += 1;
                    self.session.connected(self.clock.now());
                    return Ok(());
                }
                Err(failure @ Failure::Unreachable { .. }) => {
                    if self.session.poll_timeout().is_none_or(|deadline| deadline <= self.clock.now()) {
                        return Err(End::Failed(failure));
                    }
                    tokio::time::sleep(REDIAL).await;
                    attempts += 1;
                }
                Err(failure) => return Err(End::Failed(failure)),
            }
        }
    }

    fn hear(&mut self, datagram: &[u8]) -> Result<(), End> {
        let now_ns = self.clock.now().as_ns();
        let heard = self.ear.as_mut().map_or(Ok(()), |ear| ear.take(datagram, now_ns));
        heard.map_err(|error| End::Failed(error.into()))
    }

    fn handle_notice(&mut self, notice: Notice) -> Result<(), End> {
        match notice {
            Notice::NeedIdr { after_frame } => self.session.request_idr(after_frame),
            Notice::Network(network) => self.session.stats(self.stats(&network)),
            // Why it ended is known when the threads are joined.
            Notice::HostStopped => {
                let why = "the host has stopped: nothing listens on its video port any more".into();
                return Err(End::Failed(Failure::BrokenOff { why }));
            }
            Notice::DecoderEnded | Notice::VideoEnded => return Err(End::Enough),
            Notice::Pictures(pictures) => {
                let now = self.clock.now();
                self.first_picture.get_or_insert(now);
                if self.args.frames.is_some_and(|wanted| pictures >= wanted) {
                    return Err(End::Enough);
                }
            }
        }
        Ok(())
    }

    fn stats(&self, network: &NetworkSummary) -> Stats {
        let rtt_us = self.pulse.summary().rtt_us;
        Stats {
            frames: network.whole,
            lost_frames: network.lost,
            recovered_frames: network.recovered,
            datagrams: network.datagrams,
            forged: network.forged,
            rtt_us: rtt_us as u32,
        }
    }

    /// Pings when it is time, and ends when the time is over.
    fn check_time(&mut self, now: Timestamp) -> Result<(), End> {
        if self.pulse.is_due(now) {
            self.session.ping(now);
        }
        self.make_changes(now);
        self.mouth.iter_mut().for_each(|mouth| mouth.speak(self.link.as_ref(), now));
        if self.end_of_time().is_none_or(|end| now < end) {
            return Ok(());
        }
        Err(match self.first_picture {
            Some(_) => End::Enough,
            None => End::NoPicture(self.args.patience),
        })
    }

    /// Asks for what is due, and does what is.
    fn make_changes(&mut self, now: Timestamp) {
        let Some(first) = self.first_picture else { return };
        while let Some(change) = self.schedule.due(now.since(first)) {
            match change.wish {
                Wish::Bitrate(bitrate) => self.session.set_bitrate(bitrate.0),
                Wish::Mode(mode) => self.session.set_mode(mode.into()),
            }
        }
        std::iter::from_fn(|| self.script.due(now.since(first))).for_each(|input| self.session.input(input));
    }

    fn since_dial(&self) -> Duration {
        self.clock.now().since(self.started)
    }

    fn end_of_time(&self) -> Option<Timestamp> {
        let (_, launched) = self.launched.as_ref()?;
        Some(self.first_picture.map_or(*launched + self.args.patience, |first| first + self.args.seconds))
    }

    fn next_deadline(&self) -> Timestamp {
        let planned = [self.schedule.next(), self.script.next()].into_iter().flatten().min();
        let change = self.first_picture.zip(planned).map(|(first, at)| first + at);
        let spoken = self.mouth.as_ref().and_then(Mouth::next);
        let deadlines = [self.session.poll_timeout(), self.end_of_time(), self.pulse.next(), change, spoken];
        deadlines.into_iter().flatten().min().unwrap_or_else(|| self.clock.now() + NOTHING_DUE)
    }

    /// Stops the session at the host and leaves; frames in flight still come in meanwhile.
    async fn farewell(&mut self) {
        self.session.stop();
        while let Some(output) = self.session.poll_output() {
            if let Output::Send(bytes) = output {
                write(&mut self.link, &bytes).await;
            }
        }
        if let Some(link) = self.link.take() {
            link.leave().await;
        }
        self.dialer.hang_up().await;
    }
}

/// What comes next; pending while there is no connection.
async fn read(link: &mut Option<Link>) -> Result<Coming, ConnectionError> {
    match link {
        Some(link) => link.read().await,
        None => std::future::pending().await,
    }
}

/// Nothing is written while there is no connection: what matters is said again on the next one.
async fn write(link: &mut Option<Link>, bytes: &[u8]) {
    if let Some(link) = link {
        link.write(bytes).await;
    }
}
