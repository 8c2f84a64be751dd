//! All that runs for one session: its path, its video thread, its sound, its seat. Dropping it tears all of it down.

use std::{
    io,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, atomic::AtomicBool},
    time::Duration,
};

use lumen_core::{
    ChannelId, Timestamp,
    control::{self, Input, Launched, ModeChanged, RefusalClass, Refused},
    seal::{EXPORTER_LABEL, SECRET_LEN},
    trust::Fingerprint,
};
use lumen_ipc::{
    Generation, Mode, SessionId,
    bus::{SeatSpec, StreamSpec},
};
use lumen_stage::{clock::now_ns, failpoint, pulse::Pulses};
use tokio::sync::mpsc::UnboundedSender;

use super::{
    Live,
    protocol::{Gates, Lane, LaneError, Protocol, cut, is_free},
    seat::Seat,
};
use crate::{
    identity::{IdentityError, random},
    launch::{MAX_BITRATE, MIN_BITRATE, Request, SEPARATE, told},
    record::{Fixed, Record, RecordError},
    recover,
    sound::{self, Ear, Mouth, Sound, tally::Tally},
    upstream::Upstream,
    video::{
        Loss, Path, Report, Stream, StreamParts,
        flight::Flight,
        paths::{Bell, Listed},
    },
};

/// How often a channel number that is in use already is drawn again: with eight sessions once in 5 × 10⁸.
const DRAWS: usize = 4;

/// What all sessions of the stage share.
#[derive(Debug, Clone)]
pub struct Grounds<U> {
    /// Opens links.
    pub upstream: U,
    /// Which incarnation we are.
    pub generation: Generation,
    /// The watchdog's evidence.
    pub pulses: Pulses,
    /// Where video goes out, and clients say where they are.
    pub gates: Gates,
    /// How long video goes on for a client whose connection was lost.
    pub patience: Duration,
    /// How long all that was made for such a client is kept.
    pub keep: Duration,
    /// Whether clients of lumen/1 may bring a microphone.
    pub microphone: bool,
}

/// Whose session it is.
#[derive(Debug, Clone)]
pub struct Client {
    /// What it proved.
    pub fingerprint: Fingerprint,
    /// What people call it.
    pub name: String,
}

/// Why a session cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] IdentityError),
    /// The kernel gives no thread or descriptor.
    #[error("the kernel gives no thread: {0}")]
    Kernel(#[from] io::Error),
    /// TLS gives no key.
    #[error("TLS gives no key for the video")]
    Exporter,
    /// Its video has no way.
    #[error(transparent)]
    Lane(#[from] LaneError),
    /// No channel number is free.
    #[error("no channel number is free")]
    Channel,
    /// The session cannot be kept for the next incarnation.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl StartError {
    /// The answer for the client.
    pub fn refusal(&self) -> Refused {
        Refused {
            class: RefusalClass::Backend,
            text: format!("The host cannot start a session: {self}."),
            advice: "See `journalctl --user -u lumen-transportd` on the host.".into(),
        }
    }
}

/// A session that runs.
#[derive(Debug)]
pub struct Pipeline {
    stream: Stream,
    sound: Option<Sound>,
    seat: Seat,
    live: Arc<Live>,
    request: Request,
    channel: ChannelId,
    video_port: u16,
    /// Links attached so far.
    links: u64,
    _listed: Listed,
}

/// The fixed part of a new session's record: its id, a free channel, and the secret that TLS gives for them. A session
/// that takes over what was kept has the id of the one before, and keys and channel of its own.
///
/// # Errors
/// [`StartError`].
pub fn found<U>(
    grounds: &Grounds<U>,
    connection: &quinn::Connection,
    client: &Client,
    request: &Request,
    kept: Option<SessionId>,
) -> Result<Fixed, StartError> {
    let session = kept.map_or_else(|| random().map(SessionId), Ok)?;
    let mut secret = [0; SECRET_LEN];
    connection
        .export_keying_material(&mut secret, EXPORTER_LABEL, &session.0)
        .map_err(|_| StartError::Exporter)?;
    let stream = &request.stream;
    Ok(Fixed {
        session,
        fingerprint: *client.fingerprint.as_bytes(),
        client: client.name.clone(),
        channel: free_channel(&grounds.gates)?.0,
        secret,
        mode: (stream.width, stream.height, stream.refresh_mhz),
        app: stream.app.clone(),
        parity_percent: request.cut.parity_percent,
        datagram_len: u16::try_from(request.cut.datagram_len).unwrap_or(u16::MAX),
    })
}

fn free_channel(gates: &Gates) -> Result<ChannelId, StartError> {
    for _ in 0..DRAWS {
        let channel = ChannelId(u32::from_le_bytes(random()?));
        if is_free(gates, channel) {
            return Ok(channel);
        }
    }
    Err(StartError::Channel)
}

impl Pipeline {
    /// Starts the video thread, which waits for its first link, and the seat.
    ///
    /// # Errors
    /// [`StartError`]; nothing is then left.
    pub fn start<U: Upstream>(
        grounds: &Grounds<U>,
        record: Arc<Record>,
        fixed: &Fixed,
        reports: UnboundedSender<(u64, Report)>,
    ) -> Result<Self, StartError> {
        let lane = Lane::of(&grounds.gates, fixed, &record)?;
        let bell = Arc::new(Bell::new()?);
        let path = Arc::new(Path::new(lane.proof, bell.clone(), record.clone()));
        let listed = lane.gate.paths.list(path.clone()).ok_or(StartError::Channel)?;
        let mouth = Mouth::new(sound::microphone(&record, grounds.microphone));
        let request = request(fixed, &record, mouth.is_taken());
        let live = Arc::new(live(fixed, lane.protocol, path, record.clone(), mouth));
        let max_segments = lane.gate.outlet.max_segments();
        let now = Timestamp::from_ns(now_ns());
        let flight = Flight::new(lane.cutter, record.bitrate(), lane.pacing, max_segments, now);
        let flight = flight.marked(lane.class);
        let stream = Stream::start(StreamParts {
            session: fixed.session,
            generation: grounds.generation,
            flight,
            record,
            path: live.path.clone(),
            bell,
            outlet: lane.gate.outlet,
            figures: live.figures.clone(),
            pulse: grounds.pulses.register(),
            reports,
        })?;
        Ok(Self {
            stream,
            sound: Sound::start(grounds, &live)?,
            seat: Seat::start(grounds, live.clone(), request.seat.clone()),
            live,
            request,
            channel: ChannelId(fixed.channel),
            video_port: lane.gate.port,
            links: 0,
            _listed: listed,
        })
    }

    /// As the bus sees it.
    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// What was launched, and changed since.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// What the client is told when pictures can come.
    pub fn launched(&self, mode: Mode) -> Launched {
        Launched {
            session: control::SessionId(self.live.session.0),
            channel: self.channel,
            video_port: self.video_port,
            mode: told(mode),
            codec: control::Codec::H264,
            next_frame: self.live.record.next_frame(),
            microphone: self.live.mouth.answer(),
        }
    }

    /// What the client is told when pictures of another mode come.
    pub fn mode_changed(&self, mode: Mode, next_frame: Option<u64>) -> ModeChanged {
        let next_frame = next_frame.unwrap_or_else(|| self.live.record.next_frame());
        ModeChanged { mode: told(mode), next_frame }
    }

    /// A new link to encoded.
    pub fn attach(&mut self, link: OwnedFd) {
        self.links += 1;
        self.stream.attach(link);
        failpoint::at(recover::ENCODER_LINKED);
    }

    /// Number of the newest link to encoded, counted from 1.
    pub fn link(&self) -> u64 {
        self.links
    }

    /// The mode asked for.
    pub fn mode(&self) -> Mode {
        let StreamSpec { width, height, refresh_mhz, .. } = self.request.stream;
        Mode { width, height, refresh_mhz }
    }

    /// Another mode is asked for, of the next link.
    pub fn set_mode(&mut self, mode: Mode) {
        let stream = &mut self.request.stream;
        (stream.width, stream.height, stream.refresh_mhz) = (mode.width, mode.height, mode.refresh_mhz);
        self.request.seat = SeatSpec { width: mode.width, height: mode.height };
    }

    /// The pictures have the mode asked for: the next incarnation asks for it as well, and input lands in it.
    pub fn settle(&self) {
        self.live.record.set_mode(self.mode());
        self.seat.resize(&self.request.seat);
    }

    /// Holds all frames back, or lets them go again.
    fn pause(&self, pause: bool) {
        self.stream.pause(pause);
    }

    /// Leaves all that is upstream as a crash does: for whoever opens this session next.
    pub fn leave(&self) {
        self.stream.leave();
        if let Some(sound) = &self.sound {
            sound.leave();
        }
    }

    /// The client has the pointer's place that came over this link: encoded may send the next one.
    pub fn take_pointer(&self, link: u64) {
        self.stream.take_pointer(link);
    }

    /// The client lost frames.
    pub fn handle_loss(&self, loss: Loss) {
        self.stream.handle_loss(loss);
    }

    /// The client wants another bitrate, or parity takes some of it; what cannot be is brought into bounds, since it is State
    /// and has no answer.
    pub fn set_bitrate(&mut self, bps: u32, parity: Option<u8>) {
        if let Some(percent) = parity {
            self.stream.set_parity(percent);
        }
        let bps = bps.clamp(MIN_BITRATE, MAX_BITRATE);
        self.request.stream.bitrate_bps = bps;
        self.stream.set_bitrate(bps);
    }

    /// The client's person did something.
    pub fn handle_input(&self, input: Input) {
        self.seat.handle(input);
    }

    /// The client is here: pictures flow.
    pub fn welcome(&self) {
        self.pause(false);
        self.live().record.forgive();
    }

    /// The client stays away. It may have been gone before this incarnation, so that nobody noticed its loss.
    pub fn rest(&self) {
        self.pause(true);
        self.let_go();
    }

    /// The client is gone and holds nothing.
    pub fn let_go(&self) {
        self.seat.let_go();
    }

    /// The session is over; what the client held goes up before its Output goes.
    pub fn end(self) {
        self.seat.end();
    }
}

/// What was launched, and changed since.
fn request(fixed: &Fixed, record: &Record, has_microphone: bool) -> Request {
    let Mode { width, height, refresh_mhz } = record.mode();
    Request {
        stream: StreamSpec {
            width,
            height,
            refresh_mhz,
            app: fixed.app.clone(),
            cursor: record.is_pointer_separate().then(|| SEPARATE.to_owned()),
            // Half the rate, below which clients of GameStream tell people that the connection is slow.
            repeat_mhz: record.terms().map(|terms| terms.config.centi_hz * 5),
            // One that takes a single reference makes no room for more.
            references: record.terms().map(|terms| !terms.config.single_reference),
            channels: sound::channels(record),
            microphone: has_microphone.then_some(true),
            codec: "h264".into(),
            bitrate_bps: record.bitrate(),
        },
        seat: SeatSpec { width, height },
        cut: cut(fixed),
    }
}

fn live(fixed: &Fixed, protocol: Protocol, path: Arc<Path>, record: Arc<Record>, mouth: Mouth) -> Live {
    Live {
        session: fixed.session,
        fingerprint: Fingerprint::from_bytes(fixed.fingerprint),
        client: fixed.client.clone(),
        protocol,
        app: fixed.app.clone(),
        figures: Arc::default(),
        path,
        record,
        started_ns: now_ns(),
        sound: Tally::default(),
        ear: Ear::default(),
        mouth,
        input: Mutex::new("waiting for inputd".into()),
        takes_touch: AtomicBool::default(),
        state: Mutex::new("opens".into()),
        is_alone: AtomicBool::new(false),
    }
}
