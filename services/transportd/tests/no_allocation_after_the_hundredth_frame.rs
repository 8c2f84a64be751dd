//! The session's thread works without the allocator once it has warmed up: ring → packetiser → FEC → seal → socket.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    net::UdpSocket,
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use lumen_core::{
    ChannelId, ChannelSecret, Direction, Opener, PacketiserConfig, Sealer, Timestamp, seal::LocalCounter,
};
use lumen_ipc::{
    Generation, Mode, SessionId, Stage, Timeline,
    encode::{AccessUnit, Codec, FromEncode, ToEncode, UnitKind},
};
use lumen_stage::{Link, clock::now_ns, link, pulse::Pulses, ring::RingWriter};
use lumen_transportd::{
    record::{Fixed, Record},
    video::{
        Figures, Outlet, Path, Paths, Stream, StreamParts,
        cutter::Lumen1,
        flight::Flight,
        pacing::Pacing,
        paths::Bell,
        proof::{Claim, Proof},
    },
};

thread_local! {
    /// Threads of the test's own are left out; the stream's thread and the hello thread are all others.
    static IS_OURS: Cell<bool> = const { Cell::new(false) };
}

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

struct Counting;

fn count() {
    if !IS_OURS.with(Cell::get) {
        ALLOCATIONS.fetch_add(1, Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator unchanged; counting neither allocates nor panics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Plays encoded: hands over one picture and waits until it was sent.
struct Encoder {
    link: Link,
    ring: RingWriter,
    number: u64,
}

impl Encoder {
    fn send(&mut self, unit: &[u8]) {
        let offset = self.ring.write(self.number, unit).unwrap();
        let kind = match self.number % 50 {
            0 => UnitKind::Idr,
            _ => UnitKind::Delta,
        };
        let message = FromEncode::AccessUnit(AccessUnit {
            number: self.number,
            kind,
            offset,
            len: unit.len() as u32,
            frame: self.number,
            timeline: Timeline {
                dequeued_ns: now_ns(),
                received_ns: now_ns(),
                encode_begin_ns: now_ns(),
                encode_end_ns: now_ns(),
            },
        });
        self.link.send(&message, &[]).unwrap();
        loop {
            match self.link.receive::<ToEncode>().unwrap().map(|received| received.message) {
                Some(ToEncode::Sent { number }) if number == self.number => break,
                _ => thread::yield_now(),
            }
        }
        self.ring.free(self.number);
        self.number += 1;
    }
}

fn fixed() -> Fixed {
    Fixed {
        session: SessionId([1; 16]),
        fingerprint: [1; 32],
        client: String::new(),
        channel: 5,
        secret: [3; 32],
        mode: (1280, 720, 60_000),
        app: None,
        parity_percent: 20,
        datagram_len: 1400,
    }
}

/// A stream to `client`, whose hello has come; the encoder behind it; its figures.
fn stream(client: &UdpSocket) -> (Stream, Encoder, Arc<Figures>) {
    let outlet = Arc::new(Outlet::new(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap());
    let (secret, channel) = (ChannelSecret::from_bytes([3; 32]), ChannelId(5));
    let bell = Arc::new(Bell::new().unwrap());
    let opener = Opener::new(&secret, channel, Direction::ClientToHost);
    let proof = Proof::Hello(channel, Box::new(opener));
    let record = Arc::new(Record::make(&fixed(), 10_000_000).unwrap());
    let path = Arc::new(Path::new(proof, bell.clone(), record.clone()));
    let paths = Arc::new(Paths::new(Claim::of_hello));
    // The path stays listed for the test's whole life.
    std::mem::forget(paths.list(path.clone()).unwrap());
    paths.listen(outlet.clone()).unwrap();
    let mut hellos = Sealer::new(&secret, channel, Direction::ClientToHost);
    let hello = hellos.seal_hello(Timestamp::from_ns(1), &mut LocalCounter::default()).unwrap();
    client.send_to(&hello, outlet.socket().local_addr().unwrap()).unwrap();
    let sealer = Sealer::new(&secret, channel, Direction::HostToClient);
    let now = Timestamp::from_ns(now_ns());
    let cutter = Lumen1::new(PacketiserConfig::default(), sealer, record.clone()).unwrap();
    let pacing = Pacing::Bitrate { parity_percent: 20 };
    let flight = Flight::new(Box::new(cutter), 10_000_000, pacing, outlet.max_segments(), now);
    let figures = Arc::new(Figures::default());
    let (reports, _) = tokio::sync::mpsc::unbounded_channel();
    let stream = Stream::start(StreamParts {
        session: SessionId([1; 16]),
        generation: Generation(1),
        flight,
        record,
        path,
        bell,
        outlet,
        figures: figures.clone(),
        pulse: Pulses::default().register(),
        reports,
    })
    .unwrap();
    let (ours, theirs) = link::pair().unwrap();
    stream.attach(theirs);
    let link = Link::start(ours, Stage::Encoded, Generation(2), Stage::Transportd).unwrap();
    let ring = RingWriter::new(1 << 20).unwrap();
    let ready = FromEncode::Ready {
        mode: Mode { width: 1280, height: 720, refresh_mhz: 60_000 },
        codec: Codec::H264,
        ring_bytes: ring.size(),
    };
    link.send(&ready, &[ring.as_fd()]).unwrap();
    let encoder = Encoder { link, ring, number: 0 };
    (stream, encoder, figures)
}

/// Sabotage: a `Vec` for each frame, a log line for each burst, a growing list of what was sent.
#[test]
fn no_frame_after_the_hundredth_allocates() {
    IS_OURS.with(|ours| ours.set(true));
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (_stream, mut encoder, figures) = stream(&client);
    let unit = vec![7; 90_000];
    let size = |n: usize| {
        if n.is_multiple_of(50) { unit.len() } else { 20_000 + n * 131 % 5000 }
    };
    (0..100).for_each(|n| encoder.send(&unit[..size(n)]));
    let before = ALLOCATIONS.load(Relaxed);
    let sends = figures.sends.load(Relaxed);
    (100..600).for_each(|n| encoder.send(&unit[..size(n)]));
    assert_eq!(ALLOCATIONS.load(Relaxed) - before, 0);
    thread::sleep(Duration::from_millis(10));
    assert_eq!(figures.frames.load(Relaxed), 600);
    println!(
        "{:.2} sends a frame for video of 23 kB a frame",
        (figures.sends.load(Relaxed) - sends) as f64 / 500.0
    );
}
