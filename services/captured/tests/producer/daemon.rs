//! The daemon and its session manager, as an ordinary user.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixStream, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// Whom root becomes: Debian's `nobody`.
const NOBODY: u32 = 65534;
/// Longest wait for anything that is to happen at once.
const SOON: Duration = Duration::from_secs(30);

/// A running PipeWire.
pub struct Daemon {
    dir: PathBuf,
    bus: Option<Child>,
    daemon: Option<Child>,
    manager: Option<Child>,
}

impl Daemon {
    pub fn start() -> Self {
        let mut this = Self::alone();
        this.start_manager();
        this
    }

    /// Without a session manager.
    pub fn alone() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("captured-pw-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let dir = std::env::temp_dir().join(name);
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
        if rustix::process::getuid().is_root() {
            std::os::unix::fs::chown(&dir, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        // WirePlumber ends where it finds no session bus; the machine's own must not be asked for devices.
        let mut bus = command(&dir, "dbus-daemon");
        bus.args(["--session", "--nofork", "--nopidfile"]).arg(format!("--address={}", bus_address(&dir)));
        let bus = bus.spawn().expect("dbus-daemon is installed");
        until("the session bus listens", || UnixStream::connect(dir.join("bus")).is_ok());
        let mut this = Self { dir, bus: Some(bus), daemon: None, manager: None };
        this.start_daemon();
        this
    }

    pub fn start_daemon(&mut self) {
        self.daemon = Some(command(&self.dir, "pipewire").spawn().expect("pipewire is installed"));
        until("PipeWire listens", || UnixStream::connect(self.socket()).is_ok());
    }

    pub fn start_manager(&mut self) {
        self.manager = Some(command(&self.dir, "wireplumber").spawn().expect("wireplumber is installed"));
    }

    /// Ends both at once, as a crash would.
    pub fn kill(&mut self) {
        self.kill_manager();
        end(&mut self.daemon);
    }

    pub fn kill_manager(&mut self) {
        end(&mut self.manager);
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A program of the daemon's user.
    pub fn command(&self, program: &str) -> Command {
        command(&self.dir, program)
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.join("pipewire-0")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        end(&mut self.bus);
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn end(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn bus_address(dir: &Path) -> String {
    format!("unix:path={}", dir.join("bus").display())
}

fn command(dir: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", dir).env("XDG_RUNTIME_DIR", dir);
    command.env("XDG_STATE_HOME", dir).env("XDG_CONFIG_HOME", dir);
    command.env("DBUS_SESSION_BUS_ADDRESS", bus_address(dir));
    command.stdin(Stdio::null()).stdout(Stdio::null()).current_dir("/");
    match std::env::var("PW_TEST_LOG") {
        Ok(level) => command.env("PIPEWIRE_DEBUG", level.clone()).env("WIREPLUMBER_DEBUG", level),
        Err(_) => command.stderr(Stdio::null()),
    };
    if rustix::process::getuid().is_root() {
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
