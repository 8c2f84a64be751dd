//! What all tests of `run` need: a user, five toys, and a way to look for what is left.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use tempfile::TempDir;

/// The user of these tests, made when missing.
pub const USER: &str = "lumenctl-test";

const STAGES: [&str; 5] = ["vdisplayd", "captured", "encoded", "transportd", "inputd"];

/// Binaries and the user's number.
pub struct Place {
    toys: TempDir,
    pub uid: u32,
}

impl Place {
    /// Five toys in a directory that only root can enter, as a checkout below /root would be.
    pub fn new() -> Self {
        let toys = TempDir::new().unwrap();
        let toy = Path::new(env!("CARGO_BIN_EXE_lumenctl")).with_file_name("examples").join("toy-stage");
        for stage in STAGES {
            fs::copy(&toy, toys.path().join(format!("lumen-{stage}"))).expect("cargo test builds the toy");
        }
        fs::copy(env!("CARGO_BIN_EXE_lumenctl"), toys.path().join("lumenctl")).unwrap();
        Self { toys, uid: user() }
    }

    /// `lumenctl run` for the user with these further words.
    pub fn run(&self, words: &[&str]) -> Command {
        let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../systemd");
        let mut command = Command::new(env!("CARGO_BIN_EXE_lumenctl"));
        command.args(["run", "--user", USER, "--binaries"]).arg(self.toys.path());
        command.arg("--units").arg(units).args(words).stdin(Stdio::null());
        command
    }

    /// A `run` in the background whose stages are up.
    pub fn start(&self) -> Child {
        let child = self.run(&[]).stderr(Stdio::null()).spawn().unwrap();
        wait("the five stages", || self.processes("/usr/lib/lumen/lumen-").len() == STAGES.len());
        child
    }

    /// Process ids of the user whose command line has this in it. Those that only wait for process 1 to look at
    /// them have ended.
    pub fn processes(&self, needle: &str) -> Vec<u32> {
        let ended = |pid: &u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit(')').next().is_none_or(|rest| rest.is_empty() || rest.starts_with(" Z"))
        };
        let uid = self.uid.to_string();
        let output = Command::new("pgrep").args(["--uid", &uid, "--full", needle]).output().unwrap();
        let pids = String::from_utf8_lossy(&output.stdout).into_owned();
        pids.lines().map(|line| line.parse().unwrap()).filter(|pid| !ended(pid)).collect()
    }

    /// What a `run` of this user can leave behind, and has.
    pub fn left(&self) -> Vec<String> {
        let mut left: Vec<String> = self.processes(".").iter().map(|pid| format!("process {pid}")).collect();
        let paths = [format!("/run/user/{}", self.uid), format!("/run/lumen-run-{}.lock", self.uid)];
        left.extend(paths.into_iter().filter(|path| Path::new(path).exists()));
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        left.extend(mounts.lines().filter(|line| line.contains("/usr/lib/lumen")).map(str::to_owned));
        left.extend(self.cgroup().map(|path| path.display().to_string()));
        left
    }

    /// The cgroup of the user's `run`, wherever this machine has the unified hierarchy.
    fn cgroup(&self) -> Option<PathBuf> {
        let name = format!("lumen-run-{}", self.uid);
        let places = [Path::new("/sys/fs/cgroup"), Path::new("/sys/fs/cgroup/unified")];
        places.map(|place| place.join(&name)).into_iter().find(|path| path.exists())
    }
}

/// Runs lumenctl as the test's user, who can enter neither the build nor root's home.
pub fn as_user(uid: u32, words: &[&str]) -> Output {
    let copy = tempfile::Builder::new().prefix("lumenctl").tempdir_in("/var/tmp").unwrap();
    let program = copy.path().join("lumenctl");
    fs::copy(env!("CARGO_BIN_EXE_lumenctl"), &program).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(copy.path(), open).unwrap();
    let id = uid.to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]).arg(program).args(words);
    command.env("XDG_RUNTIME_DIR", format!("/run/user/{uid}")).output().unwrap()
}

/// Standard error of a command that has ended.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Sends a signal.
pub fn signal(name: &str, pid: u32) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

/// Waits at most 20 s.
pub fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < end, "waited 20 s in vain for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn user() -> u32 {
    let id = Command::new("id").args(["-u", USER]).output().unwrap();
    if let Ok(uid) = String::from_utf8_lossy(&id.stdout).trim().parse() {
        return uid;
    }
    let made = Command::new("useradd").args(["--create-home", "--user-group", USER]).status().unwrap();
    assert!(made.success(), "these tests need root");
    user()
}
