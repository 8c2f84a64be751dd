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
    bus::{OutputSpec, SinkSpec, StreamSpec},
    capture::{Frame, FromCapture, ToCapture},
    encode::{AccessUnit, FromEncode, ToEncode},
    pointer::{Pointer, PointerBitmap},
    pool::{BufferId, Layout, Memory, PixelFormat, PoolDescription},
};
use lumen_stage::{
    Link, LinkError, Received, Sessions, link, memory, pool::Pool, pulse::Pulse, pulse::Pulses,
    ring::RingReader,
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
}

/// Hands the other end of each link to the test.
struct Doors(Mutex<mpsc::Sender<OwnedFd>>);

impl Capture for Doors {
    fn open(&self, _: SessionId, _: &OutputSpec, _: &Pulse) -> Result<OwnedFd, Failure> {
        let (ours, theirs) = link::pair().unwrap();
        self.0.lock().unwrap().send(theirs).unwrap();
        Ok(ours)
    }

    fn open_sound(&self, _: SessionId, _: &SinkSpec, _: &Pulse) -> Result<OwnedFd, Failure> {
        unreachable!("nobody asks for sound here")
    }
}

/// encoded with one session's worth of neighbours.
pub struct Street {
    pub sessions: Sessions<StreamSpec>,
    pub board: Board,
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
        repeat_mhz: None,
        references: None,
        channels: None,
        microphone: None,
        codec: "h264".into(),
        bitrate_bps: 10_000_000,
    }
}

impl Street {
    pub fn new(lease: Duration, on_thread: fn()) -> Self {
        let (sender, doors) = mpsc::channel();
        let made = Arc::new(AtomicUsize::new(0));
        let software = Software::new(1).unwrap();
        let board = Board::default();
        let common = Common {
            heir_until_ns: 0,
            generation: Generation(1),
            lease,
            max_bitrate_bps: 100_000_000,
            capture: Arc::new(Doors(Mutex::new(sender))),
            factory: Arc::new(Counted { software, made: made.clone(), on_thread }),
            board: board.clone(),
        };
        let sessions = Sessions::new(Pulses::default(), move |seat| run::run(seat, common.clone()));
        Self { sessions, board, made, doors }
    }

    /// transportd opens the session.
    pub fn reader(&self, spec: StreamSpec) -> Reader {
        let fd = self.sessions.open(SESSION, spec).unwrap();
        let link = Link::start(fd, Stage::Transportd, Generation(2), Stage::Encoded).unwrap();
        Reader { link, ring: None, mode: None, bitmaps: vec![], pointer: None }
    }

    /// captured is asked for a link.
    pub fn captured(&self, width: u32, height: u32) -> Captured {
        self.captured_at(width, height, 60_000)
    }

    /// captured is asked for a link, and has an Output of this mode.
    pub fn captured_at(&self, width: u32, height: u32, refresh_mhz: u32) -> Captured {
        let fd = self.doors.recv_timeout(PATIENCE).unwrap();
        let link = Link::start(fd, Stage::Captured, Generation(3), Stage::Encoded).unwrap();
        Captured::new(link, Mode { width, height, refresh_mhz })
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
    /// What it was told of a pointer apart from the picture: bitmaps, and where it is.
    pub bitmaps: Vec<(PointerBitmap, OwnedFd)>,
    pub pointer: Option<Pointer>,
}

impl Reader {
    /// The next AccessUnit and its bytes; takes in what is announced on the way.
    pub fn unit(&mut self) -> (AccessUnit, Vec<u8>) {
        loop {
            let mut received = receive::<FromEncode>(&mut self.link).unwrap();
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
                FromEncode::Bitmap(bitmap) => self.bitmaps.push((bitmap, received.fds.remove(0))),
                FromEncode::Pointer(pointer) => {
                    self.pointer = pointer;
                    self.say(ToEncode::PointerTaken);
                }
                FromEncode::Closing => panic!("closing"),
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
    /// The pointer that the next Frames say.
    pub pointer: Option<Pointer>,
    /// Messages of the pointer that encoded took.
    pub pointers_taken: u32,
    /// The last pool that encoded could not read.
    pub unreadable: Option<u32>,
    /// Buffers that encoded holds.
    pub out: Vec<u32>,
}

impl Captured {
    fn new(link: Link, mode: Mode) -> Self {
        let Mode { width, height, .. } = mode;
        let layout = Layout { width, height, stride: width * 4, format: PixelFormat::Bgrx };
        let pool = Pool::new(1, layout, 5).unwrap();
        link.send(&FromCapture::Ready { mode }, &[]).unwrap();
        link.send(&FromCapture::Pool(pool.description().clone()), &pool.fds()).unwrap();
        Self {
            link,
            pool,
            layout,
            pixels: vec![60; layout.stride as usize * height as usize],
            number: 0,
            pointer: None,
            pointers_taken: 0,
            unreadable: None,
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

    /// Sends the picture of before once more, as a new Frame with its upper half damaged.
    pub fn send(&mut self) {
        let Layout { width, height, .. } = self.layout;
        self.send_damaged(&[Rect { x: 0, y: 0, width, height: height / 2 }]);
    }

    /// Draws a black rectangle.
    pub fn blacken(&mut self, rect: Rect) {
        for y in rect.y..rect.y + rect.height {
            let start = (y * self.layout.stride + rect.x * 4) as usize;
            self.pixels[start..start + rect.width as usize * 4].fill(0);
        }
    }

    /// Sends the picture as a new Frame.
    pub fn send_damaged(&mut self, rects: &[Rect]) {
        let buffer = (0..5).find(|buffer| !self.out.contains(buffer)).unwrap();
        let fd = self.pool.fds()[buffer as usize];
        rustix::io::pwrite(fd, &self.pixels, 0).unwrap();
        let mut damage = Damage::default();
        rects.iter().for_each(|rect| damage.add(*rect));
        let frame = Frame {
            number: self.number,
            buffer: BufferId { pool: self.pool.description().number, buffer },
            damage,
            skipped: 0,
            pointer: self.pointer,
            timeline: Timeline { dequeued_ns: lumen_stage::clock::now_ns(), ..Timeline::default() },
        };
        self.link.send(&FromCapture::Frame(frame), &[]).unwrap();
        self.out.push(buffer);
    }

    /// Waits until a buffer comes back.
    pub fn returned(&mut self) {
        while !self.hear() {}
    }

    /// Waits until a movement of the pointer is taken.
    pub fn pointer_taken(&mut self) {
        let before = self.pointers_taken;
        while self.pointers_taken == before {
            self.hear();
        }
    }

    /// Takes the next message; whether a buffer came back by it.
    pub fn hear(&mut self) -> bool {
        match receive::<ToCapture>(&mut self.link).unwrap().message {
            ToCapture::Return { buffer, .. } => {
                let at = self.out.iter().position(|out| *out == buffer).expect("only what is out comes back");
                self.out.remove(at);
                return true;
            }
            ToCapture::PointerTaken => self.pointers_taken += 1,
            ToCapture::Unreadable { pool } => self.unreadable = Some(pool),
            ToCapture::Close => panic!("the session is not over"),
        }
        false
    }

    /// Says what the pointer of `id` looks like: a square of 16 pixels in one colour.
    pub fn bitmap(&self, id: u32, pixel: [u8; 4]) {
        let bitmap = PointerBitmap { id, width: 16, height: 16, hotspot_x: 0, hotspot_y: 0 };
        let memory = memory::sealed("pointer", 1024).unwrap();
        rustix::io::pwrite(&memory, &pixel.repeat(256), 0).unwrap();
        self.link.send(&FromCapture::Bitmap(bitmap), &[memory.as_fd()]).unwrap();
    }

    /// Says that the pointer of `id` has more pixels than one may have.
    pub fn oversized_bitmap(&self, id: u32) {
        let bitmap = PointerBitmap { id, width: 257, height: 16, hotspot_x: 0, hotspot_y: 0 };
        let memory = memory::sealed("pointer", 257 * 16 * 4).unwrap();
        self.link.send(&FromCapture::Bitmap(bitmap), &[memory.as_fd()]).unwrap();
    }

    /// Says that only the pointer moved.
    pub fn moved(&self, pointer: Option<Pointer>) {
        let timeline = Timeline { dequeued_ns: lumen_stage::clock::now_ns(), ..Timeline::default() };
        self.link.send(&FromCapture::Pointer { pointer, timeline }, &[]).unwrap();
    }

    /// Announces buffers of another kind or size.
    pub fn announce(&mut self, number: u32, memory: Memory, width: u32, height: u32) {
        self.layout = Layout { width, height, stride: width * 4, ..self.layout };
        let pool = Pool::new(number, self.layout, 5).unwrap();
        let description = PoolDescription { memory, ..pool.description().clone() };
        self.link.send(&FromCapture::Pool(description), &pool.fds()).unwrap();
        self.pixels = vec![60; self.layout.stride as usize * height as usize];
        self.pool = pool;
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
