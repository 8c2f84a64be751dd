//! encoded's neighbours, played by the test: captured on one side, transportd on the other, with real links, pools and rings.
#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "all of it is test code")]

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, atomic::AtomicUsize, atomic::Ordering::SeqCst, mpsc},
    time::Duration,
};

use lumen_encoded::{
    backends::{EncodeError, Encoder, Factory, Shape, openh264::Software},
    board::Board,
    capture::Capture,
    run::{self, Common},
};
use lumen_ipc::{
    Damage, Failure, Generation, Mode, Rect, SessionId, Stage, Timeline,
    bus::{OutputSpec, StreamSpec},
    capture::{Frame, FromCapture, ToCapture},
    encode::{AccessUnit, FromEncode, ToEncode},
    pool::{BufferId, Layout, PixelFormat},
};
use lumen_stage::{
    Link, LinkError, Received, Sessions, link, pool::Pool, pulse::Pulse, pulse::Pulses, ring::RingReader,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub const SESSION: SessionId = SessionId([3; 16]);
/// Long enough for a loaded machine: nothing here is judged by time.
const PATIENCE: Duration = Duration::from_secs(20);

/// Makes real encoders, counts them, and calls `on_thread` on each session's thread.
pub struct Counted {
    software: Software,
    pub made: Arc<AtomicUsize>,
    on_thread: fn(),
}

impl Factory for Counted {
    fn make(&self, shape: Shape) -> Result<Box<dyn Encoder>, EncodeError> {
        (self.on_thread)();
        self.made.fetch_add(1, SeqCst);
        self.software.make(shape)
    }

    fn describe(&self) -> (&str, &str) {
        self.software.describe()
    }
}

/// Hands the other end of each link to the test.
struct Doors(Mutex<mpsc::Sender<OwnedFd>>);

impl Capture for Doors {
    fn open(&self, _: SessionId, _: &OutputSpec, _: &Pulse) -> Result<OwnedFd, Failure> {
        let (ours, theirs) = link::pair().unwrap();
        self.0.lock().unwrap().send(theirs).unwrap();
        Ok(ours)
    }
}

/// encoded with one session's worth of neighbours.
pub struct Street {
    pub sessions: Sessions<StreamSpec>,
    pub made: Arc<AtomicUsize>,
    doors: mpsc::Receiver<OwnedFd>,
}

pub fn spec(width: u32, height: u32) -> StreamSpec {
    StreamSpec {
        width,
        height,
        refresh_mhz: 60_000,
        app: None,
        cursor: None,
        codec: "h264".into(),
        bitrate_bps: 10_000_000,
    }
}

impl Street {
    pub fn new(lease: Duration, on_thread: fn()) -> Self {
        let (sender, doors) = mpsc::channel();
        let made = Arc::new(AtomicUsize::new(0));
        let software = Software::new(1, "a test").unwrap();
        let common = Common {
            generation: Generation(1),
            lease,
            max_bitrate_bps: 100_000_000,
            capture: Arc::new(Doors(Mutex::new(sender))),
            factory: Arc::new(Counted { software, made: made.clone(), on_thread }),
            board: Board::default(),
        };
        let sessions = Sessions::new(Pulses::default(), move |seat| run::run(seat, common.clone()));
        Self { sessions, made, doors }
    }

    /// transportd opens the session.
    pub fn reader(&self, spec: StreamSpec) -> Reader {
        let fd = self.sessions.open(SESSION, spec).unwrap();
        let link = Link::start(fd, Stage::Transportd, Generation(2), Stage::Encoded).unwrap();
        Reader { link, ring: None, mode: None }
    }

    /// captured is asked for a link.
    pub fn captured(&self, width: u32, height: u32) -> Captured {
        let fd = self.doors.recv_timeout(PATIENCE).unwrap();
        let link = Link::start(fd, Stage::Captured, Generation(3), Stage::Encoded).unwrap();
        Captured::new(link, width, height)
    }
}

/// The next message of a link, waiting for it.
fn receive<M: lumen_ipc::LinkMessage>(link: &mut Link) -> Result<Received<M>, LinkError> {
    loop {
        if let Some(received) = link.receive()? {
            return Ok(received);
        }
        let timeout = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
        let ready = poll(&mut [PollFd::new(&*link, PollFlags::IN)], Some(&timeout)).unwrap();
        assert!(ready > 0, "nothing came for {PATIENCE:?}");
    }
}

/// transportd's end.
pub struct Reader {
    link: Link,
    ring: Option<RingReader>,
    pub mode: Option<Mode>,
}

impl Reader {
    /// The next AccessUnit and its bytes; takes in what is announced on the way.
    pub fn unit(&mut self) -> (AccessUnit, Vec<u8>) {
        loop {
            let received = receive::<FromEncode>(&mut self.link).unwrap();
            match received.message {
                FromEncode::Ready { mode, ring_bytes, .. } => {
                    self.ring = Some(RingReader::import(received.fds[0].as_fd(), ring_bytes).unwrap());
                    self.mode = Some(mode);
                }
                FromEncode::AccessUnit(unit) => {
                    let bytes = self.ring.as_ref().unwrap().unit(unit.offset, unit.len).unwrap().to_vec();
                    return (unit, bytes);
                }
                FromEncode::Failed(failure) => panic!("{failure}"),
                other => panic!("{other:?}"),
            }
        }
    }

    pub fn sent(&self, number: u64) {
        self.link.send(&ToEncode::Sent { number }, &[]).unwrap();
    }

    pub fn say(&self, message: ToEncode) {
        self.link.send(&message, &[]).unwrap();
    }
}

/// captured's end.
pub struct Captured {
    link: Link,
    pool: Pool,
    layout: Layout,
    pixels: Vec<u8>,
    pub number: u64,
    /// Buffers that encoded holds.
    pub out: Vec<u32>,
}

impl Captured {
    fn new(link: Link, width: u32, height: u32) -> Self {
        let layout = Layout { width, height, stride: width * 4, format: PixelFormat::Bgrx };
        let pool = Pool::new(1, layout, 5).unwrap();
        link.send(&FromCapture::Ready { mode: Mode { width, height, refresh_mhz: 60_000 } }, &[]).unwrap();
        link.send(&FromCapture::Pool(pool.description().clone()), &pool.fds()).unwrap();
        Self {
            link,
            pool,
            layout,
            pixels: vec![60; layout.stride as usize * height as usize],
            number: 0,
            out: vec![],
        }
    }

    /// Draws a picture that differs by its number (a moving box on noise) and sends it.
    pub fn frame(&mut self) {
        self.number += 1;
        let Layout { width, height, stride, .. } = self.layout;
        let (width, height, at) = (width as usize, height as usize, self.number as usize * 7);
        for y in 0..height / 2 {
            for x in 0..width {
                let noise = (((x + at) * 31) ^ (y * 57)).wrapping_mul(2_654_435_761) >> 9;
                let in_box = (at % width..at % width + 60).contains(&x) && (10..70).contains(&y);
                let pixel = if in_box { [200, 30, 90, 0] } else { [(noise & 63) as u8, 90, 120, 0] };
                self.pixels[y * stride as usize + x * 4..][..4].copy_from_slice(&pixel);
            }
        }
        self.send();
    }

    /// Sends the picture of before once more, as a new Frame.
    pub fn send(&mut self) {
        let buffer = (0..5).find(|buffer| !self.out.contains(buffer)).unwrap();
        let fd = self.pool.fds()[buffer as usize];
        rustix::io::pwrite(fd, &self.pixels, 0).unwrap();
        let mut damage = Damage::default();
        damage.add(Rect { x: 0, y: 0, width: self.layout.width, height: self.layout.height / 2 });
        let frame = Frame {
            number: self.number,
            buffer: BufferId { pool: 1, buffer },
            damage,
            skipped: 0,
            pointer: None,
            timeline: Timeline { dequeued_ns: lumen_stage::clock::now_ns(), ..Timeline::default() },
        };
        self.link.send(&FromCapture::Frame(frame), &[]).unwrap();
        self.out.push(buffer);
    }

    /// Waits until a buffer comes back.
    pub fn returned(&mut self) {
        let received = receive::<ToCapture>(&mut self.link).unwrap();
        let ToCapture::Return { buffer, .. } = received.message else { return };
        let at = self.out.iter().position(|out| *out == buffer).expect("only what is out comes back");
        self.out.remove(at);
    }

    /// Whether encoded hangs up.
    pub fn is_hung_up(&mut self) -> bool {
        loop {
            match receive::<ToCapture>(&mut self.link) {
                Ok(_) => {}
                Err(LinkError::Closed) => return true,
                Err(_) => return false,
            }
        }
    }
}
