//! A headless sway of our own, a program that moves in it, and the reader's end of a session over it.
#![allow(dead_code, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "it is part of tests")]

use lumen_captured::{
    backends::Source,
    board::Board,
    display::{Display, open},
    looks::Looks,
    run::{Common, run},
    sound::Desks,
};
use lumen_ipc::{
    Failure, Generation, SessionId, Stage,
    bus::{self, OutputSpec},
    capture::{Frame, FromCapture, ToCapture},
};
use lumen_stage::{
    Link, Sessions,
    pool::{ImportedPool, PictureBytes},
    pulse::{Pulse, Pulses},
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixStream, process::CommandExt},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

pub const SESSION: SessionId = SessionId([5; 16]);

/// Longest wait for anything that is to happen at once.
const SOON: Duration = Duration::from_secs(30);

/// A running headless sway.
pub struct Sway {
    dir: PathBuf,
    sway: Child,
    programs: Vec<Child>,
}

impl Sway {
    pub fn start() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let dir = std::env::temp_dir().join(format!(
            "captured-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Relaxed)
        ));
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(
            dir.join("config"),
            "output * bg #205080 solid_color\noutput * mode --custom 1280x720@60Hz\nxwayland disable\n",
        )
        .unwrap();
        if is_root() {
            std::os::unix::fs::chown(&dir, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let mut command = user_command(&dir, "sway");
        command.arg("-c").arg(dir.join("config"));
        let settings =
            [("WLR_BACKENDS", "headless"), ("WLR_LIBINPUT_NO_DEVICES", "1"), ("WLR_RENDERER", "pixman")];
        let sway = command.envs(settings).spawn().expect("sway is installed");
        let sway = Self { dir, sway, programs: Vec::new() };
        until("sway listens", || sway.socket().is_some() && sway.ipc().is_some());
        sway
    }

    fn entry(&self, prefix: &str) -> Option<PathBuf> {
        let mut paths = fs::read_dir(&self.dir).unwrap().map(|entry| entry.unwrap().path());
        paths.find(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with(prefix) && !name.ends_with(".lock")
        })
    }

    fn socket(&self) -> Option<PathBuf> {
        self.entry("wayland-")
    }

    fn ipc(&self) -> Option<PathBuf> {
        self.entry("sway-ipc.")
    }

    /// A new connection to it.
    pub fn connect(&self) -> UnixStream {
        UnixStream::connect(self.socket().unwrap()).unwrap()
    }

    /// `swaymsg` with these words.
    pub fn message(&self, words: &[&str]) {
        let mut command = user_command(&self.dir, "swaymsg");
        let status = command.arg("-s").arg(self.ipc().unwrap()).arg("--").args(words).status().unwrap();
        assert!(status.success(), "swaymsg {words:?}");
    }

    /// Starts a program in it.
    pub fn program(&mut self, name: &str, arguments: &[&str]) {
        let mut command = user_command(&self.dir, name);
        let socket = self.socket().unwrap();
        self.programs.push(
            command.args(arguments).env("WAYLAND_DISPLAY", socket).spawn().expect("the program is installed"),
        );
    }

    /// Ends all programs started in it.
    pub fn stop_programs(&mut self) {
        for mut program in self.programs.drain(..) {
            program.kill().unwrap();
            program.wait().unwrap();
        }
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        self.sway.kill().unwrap();
        self.sway.wait().unwrap();
    }
}

impl Drop for Sway {
    fn drop(&mut self) {
        self.stop_programs();
        let _ = self.sway.kill();
        let _ = self.sway.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Whom root becomes, because sway refuses to run as root: Debian's `nobody`.
const NOBODY: u32 = 65534;

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

fn user_command(dir: &PathBuf, program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", dir).env("XDG_RUNTIME_DIR", dir);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !done() {
        assert!(Instant::now() < end, "{what}: not within {SOON:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Gives the output `name` of the compositor behind `connect`.
pub struct Direct {
    pub connect: Box<dyn Fn() -> Option<UnixStream> + Send + Sync>,
    pub name: &'static str,
    pub acquired: AtomicU32,
    pub released: AtomicU32,
}

impl Direct {
    pub fn new(sway: &Sway, name: &'static str) -> Arc<Self> {
        let socket = sway.socket().unwrap();
        let connect = Box::new(move || UnixStream::connect(&socket).ok());
        Arc::new(Self { connect, name, acquired: AtomicU32::new(0), released: AtomicU32::new(0) })
    }
}

impl Display for Direct {
    fn acquire(&self, _: SessionId, spec: &OutputSpec, _: &Pulse) -> Result<Box<dyn Source>, Failure> {
        self.acquired.fetch_add(1, Relaxed);
        let gone = || Failure::new(lumen_ipc::FailureClass::Temporary, "no compositor", "start one");
        let fd = (self.connect)().ok_or_else(gone)?;
        let source = bus::Source {
            kind: "wayland".into(),
            fd: Some(std::os::fd::OwnedFd::from(fd).into()),
            output: Some(self.name.into()),
            users: None,
            node: None,
            serial: None,
            detour: None,
            width: spec.width,
            height: spec.height,
            refresh_mhz: spec.refresh_mhz,
        };
        let ladder = lumen_stage::Ladder::take(&mut Vec::new(), lumen_stage::ladder::QUIET);
        open(source, spec, &ladder.unwrap())
    }

    fn release(&self, _: SessionId, _: &Pulse) {
        self.released.fetch_add(1, Relaxed);
    }
}

/// A captured without a bus.
pub struct Captured {
    pub sessions: Sessions<OutputSpec>,
    pub board: Board,
}

pub fn spec(width: u32, height: u32) -> OutputSpec {
    OutputSpec {
        width,
        height,
        refresh_mhz: 60_000,
        app: None,
        cursor: None,
        memory: None,
        channels: None,
        microphone: None,
    }
}

impl Captured {
    pub fn new(display: Arc<dyn Display>, lease: Duration) -> Self {
        let board = Board::default();
        let pools = Arc::new(AtomicU32::new(1));
        let common = Common {
            generation: Generation(1),
            lease,
            display,
            board: board.clone(),
            pools,
            looks: Looks::default(),
            // No program waits for a sink.
            desks: Desks::new(true),
        };
        let sessions = Sessions::new(Pulses::default(), move |seat| run(seat, common.clone()));
        Self { sessions, board }
    }

    pub fn open(&self, spec: OutputSpec) -> Reader {
        let fd = self.sessions.open(SESSION, spec).unwrap();
        let link = Link::start(fd, Stage::Encoded, Generation(2), Stage::Captured).unwrap();
        Reader { link, pools: Vec::new() }
    }
}

/// encoded's end of a link.
pub struct Reader {
    pub link: Link,
    pub pools: Vec<ImportedPool>,
}

impl Reader {
    /// The next message within `limit`; a pool is imported on the way.
    pub fn next(&mut self, limit: Duration) -> Option<FromCapture> {
        let end = Instant::now() + limit;
        loop {
            if let Some(received) = self.link.receive::<FromCapture>().unwrap() {
                if let FromCapture::Pool(description) = &received.message {
                    self.pools.push(ImportedPool::import(description.clone(), received.fds).unwrap());
                }
                return Some(received.message);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            let _ = poll(&mut [PollFd::new(&self.link, PollFlags::IN)], Some(&left));
        }
    }

    /// The next Frame, other messages passed over.
    pub fn frame(&mut self) -> Frame {
        loop {
            match self.next(SOON).expect("a message") {
                FromCapture::Frame(frame) => return frame,
                FromCapture::Failed(failure) => panic!("{failure}"),
                _ => {}
            }
        }
    }

    pub fn give_back(&self, frame: &Frame) {
        let id = frame.buffer;
        self.link.send(&ToCapture::Return { pool: id.pool, buffer: id.buffer }, &[]).unwrap();
    }

    /// The bytes of a Frame's picture.
    pub fn picture(&self, frame: &Frame) -> PictureBytes<'_> {
        let pool = self.pools.iter().find(|pool| pool.number() == frame.buffer.pool).unwrap();
        pool.picture(frame.buffer.buffer).unwrap()
    }
}
