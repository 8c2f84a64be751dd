//! A headless sway of our own with lumen-see in it, and transportd's end of a session over them.
#![allow(dead_code, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "it is part of tests")]

use std::{
    fs,
    os::{
        fd::OwnedFd,
        unix::{fs::PermissionsExt, net::UnixStream, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use lumen_inputd::{
    backends::{Backend, wlr::Wlr},
    config::Layout,
    counts::Counts,
    display::Display,
    office::Office,
    seat::sit,
    shown::Shown,
};
use lumen_ipc::{
    Failure, FailureClass, Generation, SessionId, Stage,
    bus::SeatSpec,
    input::{FromInput, ToInput},
};
use lumen_see::{Seen, Thing};
use lumen_stage::{
    Link, Sessions,
    pulse::{Pulse, Pulses},
};

pub const SESSION: SessionId = SessionId([5; 16]);

const SPEC: SeatSpec = SeatSpec { width: 1280, height: 720 };

/// Longest wait for anything that is to happen at once.
const SOON: Duration = Duration::from_secs(30);

/// Whom root becomes, because sway refuses to run as root: Debian's `nobody`.
const NOBODY: u32 = 65_534;

/// A running headless sway.
pub struct Sway {
    dir: PathBuf,
    sway: Child,
    programs: Vec<Child>,
}

impl Sway {
    /// Its output is 1280×720; `more` are further lines of configuration.
    pub fn start(more: &str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Relaxed);
        let dir = std::env::temp_dir().join(format!("inputd-{}-{number}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
        let lines = "output HEADLESS-1 mode --custom 1280x720@60Hz\nxwayland disable\ndefault_border none\n"
            .to_owned();
        fs::write(dir.join("config"), lines + more).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&dir, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let mut command = user_command(&dir, "sway");
        command.arg("-c").arg(dir.join("config"));
        let settings =
            [("WLR_BACKENDS", "headless"), ("WLR_LIBINPUT_NO_DEVICES", "1"), ("WLR_RENDERER", "pixman")];
        let sway = command.envs(settings).spawn().expect("sway is installed");
        let sway = Self { dir, sway, programs: Vec::new() };
        until("sway listens", || sway.entry("wayland-").is_some() && sway.entry("sway-ipc.").is_some());
        sway
    }

    fn entry(&self, prefix: &str) -> Option<PathBuf> {
        let mut paths = fs::read_dir(&self.dir).unwrap().map(|entry| entry.unwrap().path());
        paths.find(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with(prefix) && !name.ends_with(".lock")
        })
    }

    /// A new connection to it.
    pub fn connect(&self) -> UnixStream {
        UnixStream::connect(self.entry("wayland-").unwrap()).unwrap()
    }

    /// Where programs connect to it.
    pub fn socket(&self) -> PathBuf {
        self.entry("wayland-").unwrap()
    }

    /// `swaymsg` with these words.
    pub fn message(&self, words: &[&str]) {
        let mut command = user_command(&self.dir, "swaymsg");
        let ipc = self.entry("sway-ipc.").unwrap();
        let status = command.arg("-s").arg(ipc).arg("--").args(words).status().unwrap();
        assert!(status.success(), "swaymsg {words:?}");
    }

    /// Starts lumen-see in it and waits until it is shown; `name` is its journal's.
    pub fn see(&mut self, name: &str) -> Watch {
        let journal = self.dir.join(name);
        let program = std::env::current_exe().unwrap().parent().unwrap().join("../lumen-see");
        // A copy, because nobody may look into root's home. Made by another process, because what this one writes to
        // cannot be executed while a child that another test is just starting has it open.
        let copy = self.dir.join(format!("{name}-program"));
        let copied = Command::new("cp").arg(program).arg(&copy).status().unwrap();
        assert!(copied.success(), "lumen-see was built: cargo build --release --workspace");
        let mut command = user_command(&self.dir, copy.to_str().unwrap());
        command.arg("--log").arg(&journal).env("WAYLAND_DISPLAY", self.entry("wayland-").unwrap());
        self.programs.push(command.spawn().unwrap());
        let watch = Watch(journal);
        until("lumen-see is shown", || {
            watch.0.exists() && watch.seen().0.iter().any(|thing| matches!(thing, Thing::Shown { .. }))
        });
        watch
    }
}

impl Drop for Sway {
    fn drop(&mut self) {
        for mut program in self.programs.drain(..) {
            let _ = program.kill();
            let _ = program.wait();
        }
        let _ = self.sway.kill();
        let _ = self.sway.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A command of an ordinary user whose runtime directory is `dir`.
fn user_command(dir: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("XDG_RUNTIME_DIR", dir);
    command.env("HOME", dir).current_dir(dir);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// What a lumen-see sees.
pub struct Watch(PathBuf);

impl Watch {
    pub fn seen(&self) -> Seen {
        Seen::read(&self.0).unwrap()
    }

    /// Waits until the keyboard is on the window: keys that came before would be down there without having typed anything.
    #[track_caller]
    pub fn until_focus(&self) {
        self.until("the keyboard is on the window", |seen| {
            seen.0.iter().any(|thing| matches!(thing, Thing::Enter(_)))
        });
    }

    /// Waits until `done` says so of what was seen; shows it otherwise.
    #[track_caller]
    pub fn until(&self, what: &str, done: impl Fn(&Seen) -> bool) -> Seen {
        let start = Instant::now();
        loop {
            let seen = self.seen();
            if done(&seen) {
                return seen;
            }
            assert!(start.elapsed() < SOON, "{what}: {seen:#?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[track_caller]
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < SOON, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Says that the Output of [`SESSION`] is `output` of the sway in `dir`, and that no other session has one.
struct Direct {
    sway: PathBuf,
    output: String,
    layout: Layout,
    again: bool,
}

impl Display for Direct {
    fn seat(&self, session: SessionId, _: &Pulse) -> Result<Box<dyn Backend>, Failure> {
        if session != SESSION {
            return Err(Failure::new(FailureClass::Temporary, "the session has no Output", "wait"));
        }
        let socket = UnixStream::connect(&self.sway).unwrap();
        let mut wlr = Wlr::open(socket, &self.output, "sway", &self.layout)?;
        if self.again {
            wlr.let_go();
        }
        Ok(Box::new(wlr))
    }
}

/// An inputd, and the link of one session.
pub struct Inputd {
    pub counts: Counts,
    pub shown: Shown,
    sessions: Sessions<SeatSpec>,
    link: Link,
}

impl Inputd {
    pub fn start(sway: &Sway, output: &str, layout: &str) -> Self {
        Self::start_on(sway, output, layout, false)
    }

    /// After one that was killed.
    pub fn succeed(sway: &Sway, output: &str) -> Self {
        Self::start_on(sway, output, "us", true)
    }

    fn start_on(sway: &Sway, output: &str, layout: &str, again: bool) -> Self {
        let layout = Layout::try_from(layout.to_owned()).unwrap();
        let display = Direct { sway: sway.socket(), output: output.to_owned(), layout, again };
        let (counts, shown, lease) = (Counts::default(), Shown::default(), Duration::from_millis(200));
        let office = Office {
            generation: Generation(2),
            lease,
            display: Arc::new(display),
            counts: counts.clone(),
            shown: shown.clone(),
        };
        let sessions = Sessions::new(Pulses::default(), move |seat| sit(seat, &office));
        let fd = sessions.open(SESSION, SPEC).unwrap();
        let link = Link::start(fd, Stage::Transportd, Generation(1), Stage::Inputd).unwrap();
        Self { counts, shown, sessions, link }
    }

    /// The first word of inputd, that it can type or why not.
    pub fn word(&mut self) -> FromInput {
        let mut word = None;
        until("inputd says something", || {
            word = self.link.receive::<FromInput>().unwrap().map(|received| received.message);
            word.is_some()
        });
        word.unwrap()
    }

    pub fn send(&self, message: ToInput) {
        self.link.send(&message, &[]).unwrap();
    }

    pub fn hold(&self, codes: &[u16]) {
        self.send(ToInput::Held(codes.iter().copied().collect()));
    }

    pub fn count(&self, kind: &str) -> u64 {
        self.counts.read().find(|(name, _)| *name == kind).unwrap().1
    }

    /// transportd's end of a fresh link of `session`, over which nothing was said.
    pub fn open(&self, session: SessionId) -> OwnedFd {
        self.sessions.open(session, SPEC).unwrap()
    }

    /// Whether the link takes nothing any more.
    pub fn is_deaf(&self, message: &ToInput) -> bool {
        self.link.send(message, &[]).is_err()
    }

    /// Ends `session`, and waits until it has.
    pub fn close(&self, session: SessionId) {
        self.sessions.close(session).unwrap();
        until("the session ends", || !self.sessions.list().contains(&session));
    }

    /// transportd dies; waits until the session is over.
    pub fn hang_up(self) {
        drop(self.link);
        until("the session ends", || self.sessions.list().is_empty());
    }
}
