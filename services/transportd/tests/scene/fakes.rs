//! A fake encoded and a fake inputd at the other ends of the links.

use std::{
    collections::{HashMap, VecDeque},
    os::fd::OwnedFd,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use lumen_ipc::{
    Failure, FailureClass, Generation, Mode, SessionId, Stage, Timeline,
    bus::{SeatSpec, SoundSpec, StreamSpec},
    encode::{AccessUnit, Codec, FromEncode, ToEncode, UnitKind},
    input::{FromInput, ToInput},
    pointer::{Pointer, PointerBitmap},
};
use lumen_stage::{Link, clock::now_ns, link, memory::SharedMemory, ring::RingWriter};
use lumen_transportd::upstream::Upstream;

/// Size of a fake picture's bytes, by its number: small ones, and one that needs several bursts.
pub fn picture(number: u64) -> Vec<u8> {
    let len = if number.is_multiple_of(16) { 90_000 } else { 300 + number as usize * 37 % 5000 };
    (0..len).map(|n| (n as u64 * 31 + number * 7) as u8).collect()
}

#[derive(Debug, Default)]
struct Record {
    /// What `open_encoder` answers instead of a link, one after another.
    failures: VecDeque<Failure>,
    /// What the encoder says instead of `Ready`.
    refusal: Option<Failure>,
    opened: usize,
    /// The newest link of each session: encoded hangs up on the one before.
    newest: HashMap<SessionId, usize>,
    hung_up: usize,
    bitrates: Vec<u32>,
    idrs_asked: u32,
    /// The first AccessUnit of each loss.
    lost: Vec<u64>,
    inputs: Vec<ToInput>,
    takes_touch: bool,
    /// Modes that encoders were opened for, with their sessions.
    modes: Vec<(SessionId, Mode)>,
    /// Sizes that seats were opened for.
    seats: Vec<(u32, u32)>,
    /// Sessions that were closed for good.
    closed: Vec<SessionId>,
    /// Said by all encoders at once, then nothing until `heal`.
    ailment: Option<Failure>,
    is_ill: bool,
    /// A mode that no encoder can have.
    impossible: Option<Mode>,
    /// The encoders of links up to this number die.
    deaths: usize,
    /// Do not wait for the client.
    runs_free: bool,
    /// Frames that the client has.
    seen: u64,
    /// Where the pointer goes, one place after another as they are taken.
    places: VecDeque<Pointer>,
    /// How many were taken.
    taken: usize,
    /// Who draws it, by what encoders were opened for.
    cursors: Vec<Option<String>>,
}

/// What the fake pointer looks like.
pub const SHAPE: PointerBitmap = PointerBitmap { id: 3, width: 100, height: 90, hotspot_x: 1, hotspot_y: 2 };

/// Pictures that may be ahead of the client: a loaded machine must not overflow its socket.
const AHEAD: u64 = 3;

/// Both fakes.
#[derive(Debug, Clone, Default)]
pub struct Fakes(Arc<Mutex<Record>>);

impl Fakes {
    fn with<T>(&self, look: impl FnOnce(&mut Record) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    /// The next `Open` fails like this.
    pub fn fail_next_open(&self, failure: Failure) {
        self.with(|record| record.failures.push_back(failure));
    }

    /// The next encoder says this instead of `Ready`.
    pub fn refuse_next(&self, failure: Failure) {
        self.with(|record| record.refusal = Some(failure));
    }

    /// The encoders of all links die.
    pub fn kill_encoders(&self) {
        self.with(|record| record.deaths = record.opened);
    }

    /// From now on nobody waits for clients, of which there are several.
    pub fn run_free(&self) {
        self.with(|record| record.runs_free = true);
    }

    /// The client has `count` more frames.
    pub fn saw(&self, count: usize) {
        self.with(|record| record.seen += count as u64);
    }

    /// Links opened and hung up by transportd so far.
    pub fn links(&self) -> (usize, usize) {
        self.with(|record| (record.opened, record.hung_up))
    }

    /// The first AccessUnit of each loss that a picture of its own kind was asked for.
    pub fn lost(&self) -> Vec<u64> {
        self.with(|record| record.lost.clone())
    }

    /// Bitrates asked for, in order.
    pub fn bitrates(&self) -> Vec<u32> {
        self.with(|record| record.bitrates.clone())
    }

    /// IDRs asked for.
    pub fn idrs_asked(&self) -> u32 {
        self.with(|record| record.idrs_asked)
    }

    /// What inputd was told.
    pub fn inputs(&self) -> Vec<ToInput> {
        self.with(|record| record.inputs.clone())
    }

    /// From now on Seats take fingers.
    pub fn take_touch(&self) {
        self.with(|record| record.takes_touch = true);
    }

    /// Modes that encoders were opened for, with their sessions.
    pub fn modes(&self) -> Vec<(SessionId, Mode)> {
        self.with(|record| record.modes.clone())
    }

    /// Sizes that seats were opened for.
    pub fn seats(&self) -> Vec<(u32, u32)> {
        self.with(|record| record.seats.clone())
    }

    /// Sessions that were closed for good.
    pub fn closed(&self) -> Vec<SessionId> {
        self.with(|record| record.closed.clone())
    }

    /// From now on pictures stay away for this reason, until [`Fakes::heal`].
    pub fn ail(&self, failure: Failure) {
        self.with(|record| (record.ailment, record.is_ill) = (Some(failure), true));
    }

    /// Pictures come again.
    pub fn heal(&self) {
        self.with(|record| (record.ailment, record.is_ill) = (None, false));
    }

    /// No encoder can have this mode.
    pub fn cannot(&self, mode: Mode) {
        self.with(|record| record.impossible = Some(mode));
    }

    /// From now on the pointer goes there, and looks like [`SHAPE`].
    pub fn point(&self, places: impl IntoIterator<Item = i32>) {
        let place = |x| Pointer { x, y: 0, bitmap: SHAPE.id };
        self.with(|record| record.places.extend(places.into_iter().map(place)));
    }

    /// Places of the pointer that were taken.
    pub fn places_taken(&self) -> usize {
        self.with(|record| record.taken)
    }

    /// Who draws the pointer, by what encoders were opened for.
    pub fn cursors(&self) -> Vec<Option<String>> {
        self.with(|record| record.cursors.clone())
    }

    fn tell_pointer(&self, link: &Link, is_first: bool) -> bool {
        let Some(pointer) = self.with(|record| record.places.pop_front()) else { return false };
        if is_first {
            let mut memory = SharedMemory::new("shape", SHAPE.bytes().unwrap()).unwrap();
            memory.bytes_mut().fill(200);
            link.send(&FromEncode::Bitmap(SHAPE), &[std::os::fd::AsFd::as_fd(&memory)]).unwrap();
        }
        link.send(&FromEncode::Pointer(Some(pointer)), &[]).unwrap();
        true
    }

    fn encode(&self, session: SessionId, link: OwnedFd, link_number: usize, mode: Mode) {
        let generation = Generation(100 + link_number as u64);
        let Ok(mut link) = Link::start(link, Stage::Encoded, generation, Stage::Transportd) else {
            return;
        };
        let impossible = self
            .with(|record| record.impossible == Some(mode))
            .then(|| Failure::new(lumen_ipc::FailureClass::Request, "No such mode.", "Ask for another."));
        if let Some(failure) = self.with(|record| record.refusal.take()).or(impossible) {
            link.send(&FromEncode::Failed(failure), &[]).unwrap();
        } else {
            let mut ring = RingWriter::new(1 << 20).unwrap();
            let ready = FromEncode::Ready { mode, codec: Codec::H264, ring_bytes: ring.size() };
            // A link that was replaced before it began needs no pictures.
            if link.send(&ready, &[std::os::fd::AsFd::as_fd(&ring)]).is_ok() {
                self.stream(session, &mut link, &mut ring, link_number);
            }
        }
        while let Ok(message) = link.receive::<ToEncode>()
            && !self.is_dead(session, link_number)
        {
            match message.map(|received| received.message) {
                Some(ToEncode::Close) => self.with(|record| record.closed.push(session)),
                Some(_) => {}
                None => thread::sleep(Duration::from_millis(1)),
            }
        }
        self.with(|record| record.hung_up += 1);
    }

    fn is_dead(&self, session: SessionId, link_number: usize) -> bool {
        self.with(|record| {
            let is_replaced = record.newest.get(&session).is_some_and(|newest| *newest > link_number);
            is_replaced || record.deaths >= link_number
        })
    }

    /// One picture after another, each 2 ms after the one before was sent.
    fn stream(&self, session: SessionId, link: &mut Link, ring: &mut RingWriter, link_number: usize) {
        let (mut number, mut idr_wanted, mut is_idr_due, mut is_unsent) = (0, None, true, false);
        let (mut losses, mut recovers) = (None, false);
        let (mut is_pointing, mut is_first) = (false, true);
        let start = self.with(|record| record.seen);
        while !self.is_dead(session, link_number) {
            let may_send = self.with(|record| record.runs_free || start + number < record.seen + AHEAD);
            if let Some(failure) = self.with(|record| record.ailment.take()) {
                link.send(&FromEncode::Failed(failure), &[]).unwrap();
            }
            let is_well = self.with(|record| !record.is_ill);
            if !is_unsent && may_send && is_well {
                let kind = match (is_idr_due, recovers) {
                    (true, _) => UnitKind::Idr,
                    (false, true) => UnitKind::Recovered,
                    (false, false) => UnitKind::Delta,
                };
                (is_idr_due, recovers, is_unsent) = (false, false, true);
                if send(link, ring, number, kind).is_none() {
                    return;
                }
            }
            if !is_pointing && self.tell_pointer(link, is_first) {
                (is_pointing, is_first) = (true, false);
            }
            match link.receive::<ToEncode>() {
                Err(_) => return,
                Ok(None) => thread::sleep(Duration::from_micros(500)),
                Ok(Some(message)) => match message.message {
                    ToEncode::Sent { number: sent } => {
                        assert_eq!(sent, number, "one is unsent at a time");
                        ring.free(sent);
                        (number, is_unsent) = (number + 1, false);
                        thread::sleep(Duration::from_millis(2));
                    }
                    // The link hangs up with it.
                    ToEncode::Close => self.with(|record| record.closed.push(session)),
                    ToEncode::PointerTaken => {
                        assert!(is_pointing, "a place is taken that nobody told");
                        is_pointing = false;
                        self.with(|record| record.taken += 1);
                    }
                    ToEncode::Control(control) => {
                        let asked = idr_wanted.is_some_and(|seen| control.idr_wanted > seen);
                        is_idr_due |= asked;
                        idr_wanted = Some(control.idr_wanted);
                        let is_lost = losses.is_some_and(|seen| control.losses > seen);
                        (recovers, losses) = (recovers | is_lost, Some(control.losses));
                        self.with(|record| {
                            record.idrs_asked += u32::from(asked);
                            record.lost.extend(is_lost.then_some(control.lost_from));
                            record.bitrates.push(control.bitrate_bps);
                        });
                    }
                },
            }
        }
    }

    fn take_input(&self, link: OwnedFd) {
        let link = Link::start(link, Stage::Inputd, Generation(1), Stage::Transportd);
        let Ok(mut link) = link else { return };
        let touch = self.with(|record| record.takes_touch);
        link.send(&FromInput::Ready { touch }, &[]).unwrap();
        while let Ok(message) = link.receive::<ToInput>() {
            match message {
                Some(message) => self.with(|record| record.inputs.push(message.message)),
                None => thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}

fn send(link: &Link, ring: &mut RingWriter, number: u64, kind: UnitKind) -> Option<()> {
    let bytes = picture(number);
    let offset = ring.write(number, &bytes).unwrap();
    let now = now_ns();
    let unit = AccessUnit {
        number,
        kind,
        offset,
        len: bytes.len() as u32,
        frame: number,
        timeline: Timeline {
            dequeued_ns: now - 3_000_000,
            received_ns: now - 2_900_000,
            encode_begin_ns: now - 2_800_000,
            encode_end_ns: now,
        },
    };
    link.send(&FromEncode::AccessUnit(unit), &[]).ok()
}

impl Upstream for Fakes {
    async fn open_encoder(&self, session: SessionId, spec: &StreamSpec) -> Result<OwnedFd, Failure> {
        if let Some(failure) = self.with(|record| record.failures.pop_front()) {
            return Err(failure);
        }
        let (ours, theirs) = link::pair().unwrap();
        let (fakes, mode) = (self.clone(), spec.mode().unwrap());
        let number = self.with(|record| {
            record.modes.push((session, mode));
            record.cursors.push(spec.cursor.clone());
            record.opened += 1;
            record.newest.insert(session, record.opened);
            record.opened
        });
        thread::spawn(move || fakes.encode(session, ours, number, mode));
        // As long as the bus takes: the link before has hung up by then.
        tokio::time::sleep(Duration::from_millis(3)).await;
        Ok(theirs)
    }

    async fn open_sound(&self, _session: SessionId, _spec: &SoundSpec) -> Result<OwnedFd, Failure> {
        Err(Failure::new(FailureClass::Environment, "no sound: this is a test", "none is needed"))
    }

    async fn open_seat(&self, _session: SessionId, spec: &SeatSpec) -> Result<OwnedFd, Failure> {
        self.with(|record| record.seats.push((spec.width, spec.height)));
        let (ours, theirs) = link::pair().unwrap();
        let fakes = self.clone();
        thread::spawn(move || fakes.take_input(ours));
        Ok(theirs)
    }
}
