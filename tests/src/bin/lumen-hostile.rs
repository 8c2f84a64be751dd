//! A fake stage that breaks the contract in every way it knows: put in the place of a stage's program, it plays the
//! stage whose name it bears. As transportd it reads from encoded, as captured it writes to it. What it did and what
//! came of it stands in its unit's log.
#![forbid(unsafe_code)]

use std::{
    env,
    io::{IoSlice, IoSliceMut},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use lumen_ipc::{
    Damage, Generation, LinkMessage, Mode, SessionId, Stage, Timeline,
    bus::{OutputSpec, StreamSpec},
    capture::{Frame, FromCapture},
    codec::{self, MAX_MESSAGE},
    encode::{Control, FromEncode, ToEncode},
    handshake::{Hello, MAGIC, SCHEMA},
    pool::{BufferId, BufferPlace, Layout, Memory, PixelFormat, PoolDescription},
};
use lumen_stage::{Boot, Exit, Link, boot, bus::CallError, link, memory};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg, sendmsg},
};
use serde::de::IgnoredAny;
use tokio::task::spawn_blocking;
use zbus::interface;

/// How long a stage may take to hang up on a peer that broke the contract.
const PATIENCE: Duration = Duration::from_secs(3);
const SESSION: SessionId = SessionId([7; 16]);
const MODE: Mode = Mode { width: 640, height: 360, refresh_mhz: 60_000 };

fn main() -> ExitCode {
    match env::args().next().is_some_and(|name| name.ends_with("lumen-captured")) {
        true => boot::run(Stage::Captured, &[], |_| Vec::new(), writer),
        false => boot::run(Stage::Transportd, &[], |_| Vec::new(), reader),
    }
}

/// One way of breaking the contract: a name, packets after our greeting (which may itself be one), and descriptors that
/// go with the last.
struct Crime {
    name: &'static str,
    packets: Vec<Vec<u8>>,
    fds: Vec<OwnedFd>,
}

fn crime(name: &'static str, packets: Vec<Vec<u8>>) -> Crime {
    Crime { name, packets, fds: Vec::new() }
}

fn packet<M: LinkMessage>(message: &M) -> Vec<u8> {
    let mut bytes = [0; MAX_MESSAGE];
    let len = codec::encode(message, &mut bytes).unwrap_or_default();
    bytes.get(..len).unwrap_or_default().to_vec()
}

fn hello(me: Stage) -> Vec<u8> {
    packet(&Hello::new(me, Generation(1)))
}

/// What both kinds of link refuse.
fn greetings(me: Stage, other: Stage) -> Vec<Crime> {
    let with = |magic, schema| packet(&Hello { magic, schema, stage: me, generation: Generation(1) });
    vec![
        crime("wrong magic", vec![with(*b"notlumen", SCHEMA)]),
        crime("unknown schema", vec![with(MAGIC, 99)]),
        crime("wrong stage", vec![hello(other)]),
        crime("noise", vec![hello(me), vec![0xAB; 700]]),
    ]
}

fn null() -> Vec<OwnedFd> {
    std::fs::File::open("/dev/null").map(|file| vec![file.into()]).unwrap_or_default()
}

/// Commits `crime` on a link; the answer is whether the other end hung up.
fn commit(link: &OwnedFd, crime: &Crime) -> bool {
    for (index, bytes) in crime.packets.iter().enumerate() {
        let last = index + 1 == crime.packets.len();
        let fds: Vec<BorrowedFd<'_>> = crime.fds.iter().filter(|_| last).map(AsFd::as_fd).collect();
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&fds));
        }
        // A peer that has hung up already is what is asked below.
        let _ = sendmsg(link, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL);
    }
    hangs_up(link)
}

fn hangs_up(link: &OwnedFd) -> bool {
    let end = std::time::Instant::now() + PATIENCE;
    while std::time::Instant::now() < end {
        let wait = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        let mut fds = [PollFd::new(link, PollFlags::IN)];
        let _ = poll(&mut fds, Some(&wait));
        let mut bytes = [0; MAX_MESSAGE];
        let mut control = rustix::net::RecvAncillaryBuffer::default();
        match recvmsg(link, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::DONTWAIT) {
            Ok(received) if received.bytes == 0 => return true,
            Err(rustix::io::Errno::CONNRESET) => return true,
            _ => {}
        }
    }
    false
}

fn confess(name: &str, hung_up: bool) {
    tracing::warn!("CRIME {name}: {}", if hung_up { "hung up on" } else { "not noticed" });
}

/// transportd's place: opens encoded again and again, and honestly at last.
async fn reader(boot: Boot<IgnoredAny>) -> Result<(), Exit> {
    let bus = boot.bus(|builder| builder).await?;
    let mut crimes = greetings(Stage::Transportd, Stage::Inputd);
    let control =
        ToEncode::Control(Control { bitrate_bps: 1_000_000, idr_wanted: 0, losses: 0, lost_from: 0 });
    crimes.extend([
        crime(
            "confirms what was not sent",
            vec![hello(Stage::Transportd), packet(&ToEncode::Sent { number: 999 })],
        ),
        Crime {
            fds: null(),
            ..crime("a descriptor too many", vec![hello(Stage::Transportd), packet(&control)])
        },
    ]);
    let spec = StreamSpec {
        width: MODE.width,
        height: MODE.height,
        refresh_mhz: MODE.refresh_mhz,
        app: None,
        cursor: None,
        repeat_mhz: None,
        references: None,
        channels: None,
        microphone: None,
        codec: "h264".into(),
        bitrate_bps: 1_000_000,
    };
    let work = async {
        for crime in crimes {
            let Ok(link) = bus.open(Stage::Encoded, SESSION, &spec).await else {
                return Exit::Restart("encoded cannot be opened".to_owned());
            };
            let name = crime.name;
            let hung_up = spawn_blocking(move || commit(&link, &crime)).await.unwrap_or(false);
            confess(name, hung_up);
        }
        if let Ok(link) = bus.open(Stage::Encoded, SESSION, &spec).await {
            let pictures = spawn_blocking(move || honest_pictures(link, boot.generation)).await.unwrap_or(0);
            tracing::warn!("HONEST pictures: {pictures}");
        }
        std::future::pending().await
    };
    boot::serve(&bus, &boot.pulses, work, async {}).await
}

/// Reads pictures as transportd does, up to ten.
fn honest_pictures(link: OwnedFd, generation: Generation) -> u32 {
    let Ok(mut link) = Link::start(link, Stage::Transportd, generation, Stage::Encoded) else { return 0 };
    let end = std::time::Instant::now() + 3 * PATIENCE;
    let mut pictures = 0;
    while pictures < 10 && std::time::Instant::now() < end {
        match link.receive::<FromEncode>() {
            Ok(Some(received)) => {
                if let FromEncode::AccessUnit(unit) = received.message {
                    pictures += 1;
                    let _ = link.send(&ToEncode::Sent { number: unit.number }, &[]);
                }
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(2)),
            Err(error) => {
                tracing::warn!("the honest link ended: {error}");
                return pictures;
            }
        }
    }
    let _ = link.send(&ToEncode::Close, &[]);
    pictures
}

/// captured's place: each time encoded opens a link it meets the next crime.
struct Writer {
    count: AtomicUsize,
}

#[interface(name = "org.lumen.Capture1")]
impl Writer {
    async fn open(&self, session: &str, spec: OutputSpec) -> Result<zbus::OwnedFd, CallError> {
        let (ours, theirs) = link::pair().map_err(|error| CallError::Internal(error.to_string()))?;
        tracing::warn!("opened for {session}, {}×{}", spec.width, spec.height);
        if let Some(crime) = writers_crimes().into_iter().nth(self.count.fetch_add(1, Relaxed)) {
            spawn_blocking(move || confess(crime.name, commit(&ours, &crime)));
        } else {
            // Nothing more to do: a captured without a picture.
            std::mem::forget(ours);
        }
        Ok(theirs.into())
    }
}

fn pool(place: BufferPlace, layout: Layout) -> Vec<u8> {
    let buffers = [place].into_iter().collect();
    packet(&FromCapture::Pool(PoolDescription { number: 1, layout, memory: Memory::Memfd, buffers }))
}

fn writers_crimes() -> Vec<Crime> {
    let me = Stage::Captured;
    let layout = Layout { width: 640, height: 360, stride: 2560, format: PixelFormat::Bgrx };
    let bytes = 2560 * 360;
    let place = BufferPlace { offset: 0, bytes };
    let with = |name, place, layout, fds| Crime { name, packets: vec![hello(me), pool(place, layout)], fds };
    let sealed = |bytes| memory::sealed("hostile", bytes).map(|fd| vec![fd]).unwrap_or_default();
    let unsealed = rustix::fs::memfd_create("hostile", rustix::fs::MemfdFlags::CLOEXEC)
        .and_then(|fd| rustix::fs::ftruncate(&fd, bytes).map(|()| vec![fd]))
        .unwrap_or_default();
    let frame = Frame {
        number: 1,
        buffer: BufferId { pool: 9, buffer: 3 },
        damage: Damage::full(640, 360),
        skipped: 0,
        pointer: None,
        timeline: Timeline::default(),
    };
    let frame = packet(&FromCapture::Frame(frame));
    let mut crimes = greetings(me, Stage::Inputd);
    crimes.extend([
        with("a device for memory", place, layout, null()),
        with("memory that may shrink", place, layout, unsealed),
        with("memory too small", place, layout, sealed(bytes - 4096)),
        with("an impossible layout", place, Layout { stride: 4, ..layout }, sealed(bytes)),
        with("no memory", place, layout, Vec::new()),
        crime("frames that are not there", vec![hello(me), frame.clone(), frame.clone(), frame]),
    ]);
    crimes
}

async fn writer(boot: Boot<IgnoredAny>) -> Result<(), Exit> {
    let path = boot.stage.object_path();
    let bus = boot.bus(move |builder| builder.serve_at(path, Writer { count: AtomicUsize::new(0) })).await?;
    boot::serve(&bus, &boot.pulses, std::future::pending(), async {}).await
}
