//! The release binaries under the shipped unit files, as an ordinary user.

use std::{
    env, fs,
    io::{ErrorKind, Read},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

/// The ordinary user that owns the constellation under test; made when missing.
pub const USER: &str = "lumen-test";

/// The stages, as their units are called.
pub const STAGES: [&str; 5] = ["vdisplayd", "captured", "encoded", "transportd", "inputd"];

/// The control port of hosts under test, and the next one for video: not the default ones, which the machine's own
/// lumen may hold.
pub const PORT: u16 = 47_797;

/// The HTTP port of hosts under test for Moonlight; the others lie around it as they do by default.
pub const MOONLIGHT: u16 = 47_889;

/// Directory of the binaries under test.
pub fn binaries() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| checkout().join("target"), PathBuf::from);
    target.join("release")
}

/// Root of the checkout.
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap_or_default()
}

/// Runs a command to its end and returns what it printed; its failure is the caller's to judge.
pub fn run(program: impl AsRef<Path>, arguments: &[&str]) -> Result<Output> {
    let program = program.as_ref();
    Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("cannot run {}", program.display()))
}

/// What a command printed on both streams.
pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Waits until `done` is true, at most `limit`; says `what` was awaited otherwise.
pub fn wait(what: &str, limit: Duration, mut done: impl FnMut() -> bool) -> Result<()> {
    let end = Instant::now() + limit;
    while !done() {
        ensure!(Instant::now() < end, "waited {limit:?} in vain for {what}");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A running constellation; stopped and swept when dropped.
pub struct Constellation {
    run: Child,
    uid: u32,
    stopped: bool,
}

/// How a constellation is started: configuration files by stage.
#[derive(Debug, Default)]
pub struct Setup {
    files: Vec<(String, String)>,
    /// A stage, and the program of ours that is put in its place.
    replaced: Option<(String, String)>,
}

impl Setup {
    /// The program under test in the headless desktop: lumen-stamp with `arguments`.
    pub fn stamp(arguments: &[&str]) -> Self {
        let program = ["/usr/lib/lumen/lumen-stamp"].iter().chain(arguments);
        let words: Vec<String> = program.map(|word| format!("{word:?}")).collect();
        Self::default().config("vdisplayd", &format!("app = [{}]\n", words.join(", ")))
    }

    /// Adds text to the configuration file of a stage.
    pub fn config(mut self, stage: &str, text: &str) -> Self {
        self.files.push((stage.to_owned(), text.to_owned()));
        self
    }

    /// Puts the program `fake` of this workspace in the place of a stage's own.
    pub fn replace(mut self, stage: &str, fake: &str) -> Self {
        self.replaced = Some((stage.to_owned(), fake.to_owned()));
        self
    }

    /// Writes the files into the user's home, starts `lumenctl run` and waits for all stages.
    pub fn start(self) -> Result<Constellation> {
        self.start_expecting(&STAGES)
    }

    /// As [`Setup::start`], with one stage that is expected not to come up.
    pub fn start_without(self, stage: &str) -> Result<Constellation> {
        let others: Vec<&str> = STAGES.into_iter().filter(|other| *other != stage).collect();
        self.start_expecting(&others)
    }

    /// As [`Setup::start`], where only these stages are expected to come up.
    pub fn start_expecting(self, stages: &[&str]) -> Result<Constellation> {
        let uid = user()?;
        let home = PathBuf::from(format!("/home/{USER}"));
        let config = home.join(".config/lumen");
        // Where systemd keeps a user unit's state depends on its version.
        for old in [
            ".config/lumen",
            ".config/lumen-transportd",
            ".local/state/lumen-transportd",
            ".config/lumen-captured",
            ".local/state/lumen-captured",
        ] {
            let kept = [ErrorKind::NotFound, ErrorKind::ResourceBusy, ErrorKind::ReadOnlyFilesystem];
            match fs::remove_dir_all(home.join(old)) {
                // Busy or read-only: a test has mounted something there.
                Err(error) if !kept.contains(&error.kind()) => return Err(error.into()),
                _ => {}
            }
        }
        fs::create_dir_all(&config)?;
        fs::write(config.join("transportd.toml"), ports())?;
        for (stage, text) in &self.files {
            let path = config.join(format!("{stage}.toml"));
            let earlier = fs::read_to_string(&path).unwrap_or_default();
            fs::write(&path, earlier + text)?;
        }
        run("chown", &["-R", &format!("{USER}:"), &format!("/home/{USER}/.config")])?;
        let replaced = self.replaced.as_ref().map(|(stage, fake)| replaced(stage, fake)).transpose()?;
        let programs = replaced.as_ref().map_or_else(binaries, |directory| directory.path().to_owned());
        let constellation = Constellation { run: spawn(&programs)?, uid, stopped: false };
        constellation.await_ready(stages)?;
        Ok(constellation)
    }
}

/// The part of transportd.toml that keeps a host under test away from the machine's own, and from its network.
fn ports() -> String {
    let near = |offset: i32| i32::from(MOONLIGHT) + offset;
    format!(
        "listen = \"127.0.0.1:{PORT}\"\nvideo_port = {}\n\
         gamestream.address = \"127.0.0.1\"\ngamestream.announce = false\n\
         gamestream.http = {MOONLIGHT}\ngamestream.https = {}\ngamestream.rtsp = {}\n\
         gamestream.video = {}\ngamestream.control = {}\ngamestream.audio = {}\n",
        PORT + 1,
        near(-5),
        near(21),
        near(9),
        near(10),
        near(11),
    )
}

/// `lumenctl run` with the stages in `programs`.
fn spawn(programs: &Path) -> Result<Child> {
    let lumenctl = binaries().join("lumenctl");
    let mut command = Command::new(&lumenctl);
    command.args(["run", "--user", USER, "--binaries"]).arg(programs);
    command.arg("--units").arg(checkout().join("systemd"));
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    child
        .with_context(|| format!("cannot run {}: build the workspace first (make build)", lumenctl.display()))
}

/// The programs under test, save that a stage's is another one of this workspace.
fn replaced(stage: &str, fake: &str) -> Result<TempDir> {
    let directory = TempDir::new()?;
    for entry in fs::read_dir(binaries())?.flatten() {
        symlink(entry.path(), directory.path().join(entry.file_name()))?;
    }
    let place = directory.path().join(format!("lumen-{stage}"));
    fs::remove_file(&place)?;
    symlink(binaries().join(fake), place)?;
    Ok(directory)
}

/// Uid of [`USER`], who is made when missing.
pub fn user() -> Result<u32> {
    let id = run("id", &["-u", USER])?;
    if !id.status.success() {
        let made = run("useradd", &["--create-home", "--shell", "/bin/sh", USER])?;
        ensure!(made.status.success(), "the tests need root to make the user {USER}: {}", text(&made));
        return user();
    }
    Ok(String::from_utf8_lossy(&id.stdout).trim().parse()?)
}

impl Constellation {
    /// Waits until all stages run.
    pub fn await_all(&self) -> Result<()> {
        self.await_ready(&STAGES)
    }

    fn await_ready(&self, stages: &[&str]) -> Result<()> {
        let active = || {
            let mut words = vec!["is-active"];
            let units: Vec<String> = stages.iter().map(|stage| format!("lumen-{stage}.service")).collect();
            words.extend(units.iter().map(String::as_str));
            // The exit code is 0 as soon as one of them is active: the words count.
            let states =
                self.systemctl(&words).map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
            states
                .is_ok_and(|states| states.lines().filter(|state| *state == "active").count() == stages.len())
        };
        wait("the stages to be active", Duration::from_secs(20), active)
            .with_context(|| format!("{}\n{}", self.logs(), self.status()))
    }

    /// `lumenctl systemctl …`.
    pub fn systemctl(&self, words: &[&str]) -> Result<Output> {
        let mut all = vec!["systemctl", "--user", USER];
        all.extend(words);
        run(binaries().join("lumenctl"), &all)
    }

    /// `lumenctl VERB --user … …`.
    pub fn lumenctl(&self, verb: &str, words: &[&str]) -> Result<Output> {
        let mut all = vec![verb, "--user", USER];
        all.extend(words);
        run(binaries().join("lumenctl"), &all)
    }

    /// Runs a program as the user, in the user's runtime directory.
    pub fn as_user(&self, words: &[&str]) -> Result<Output> {
        let uid = self.uid.to_string();
        let runtime = format!("XDG_RUNTIME_DIR={}", self.runtime_dir().display());
        let mut all = vec!["--reuid", &uid, "--regid", &uid, "--clear-groups", "env", &runtime];
        all.extend(words);
        run("setpriv", &all)
    }

    /// `lumenctl status`, as text.
    pub fn status(&self) -> String {
        self.lumenctl("status", &[]).map(|output| text(&output)).unwrap_or_default()
    }

    /// What all stages logged.
    pub fn logs(&self) -> String {
        self.lumenctl("logs", &["-n", "200"]).map(|output| text(&output)).unwrap_or_default()
    }

    /// A property of a unit.
    pub fn property(&self, unit: &str, property: &str) -> Result<String> {
        let output = self.systemctl(&["show", "--value", "--property", property, unit])?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Adds lines to the `[Service]` of a stage's unit, from its next start on; beside the shipped files, which stay.
    pub fn drop_in(&self, stage: &str, lines: &str) -> Result<()> {
        let drop_ins = self.runtime_dir().join(format!("lumen-run/units/lumen-{stage}.service.d"));
        fs::create_dir_all(&drop_ins)?;
        fs::write(drop_ins.join("95-test.conf"), format!("[Service]\n{lines}\n"))?;
        let output = self.systemctl(&["daemon-reload"])?;
        ensure!(output.status.success(), "daemon-reload: {}", text(&output));
        Ok(())
    }

    /// `systemctl VERB` for a stage's unit; its failure is an error.
    pub fn unit(&self, verb: &str, stage: &str) -> Result<()> {
        let output = self.systemctl(&[verb, &format!("lumen-{stage}.service")])?;
        ensure!(output.status.success(), "{verb} {stage}: {}", text(&output));
        Ok(())
    }

    /// The main process of a stage.
    pub fn pid(&self, stage: &str) -> Result<u32> {
        Ok(self.property(&format!("lumen-{stage}.service"), "MainPID")?.parse()?)
    }

    /// Units of ours in state `failed`.
    pub fn failed_units(&self) -> Result<String> {
        let output = self.systemctl(&["list-units", "--failed", "--plain", "--no-legend", "lumen*"])?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Where the stages' programs lie, as seen from here: copies of those that were built.
    pub fn programs(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root/usr/lib/lumen", self.run.id()))
    }

    /// The user's runtime directory.
    pub fn runtime_dir(&self) -> PathBuf {
        PathBuf::from(format!("/run/user/{}", self.uid))
    }

    /// Processes of the user whose command line has `needle`.
    pub fn processes(&self, needle: &str) -> Vec<u32> {
        processes(self.uid, needle)
    }

    /// `systemctl stop lumen.target`; what is left is the caller's to judge.
    pub fn stop_target(&self) -> Result<()> {
        let output = self.systemctl(&["stop", "lumen.target"])?;
        ensure!(output.status.success(), "stop failed: {}", text(&output));
        Ok(())
    }

    /// Ends `lumenctl run` with SIGTERM and returns what it said on standard error.
    pub fn end(mut self) -> Result<String> {
        self.terminate()
    }

    fn terminate(&mut self) -> Result<String> {
        self.stopped = true;
        run("kill", &["-TERM", &self.run.id().to_string()])?;
        let run = &mut self.run;
        if wait("lumenctl run to end", Duration::from_secs(10), || run.try_wait().is_ok_and(|s| s.is_some()))
            .is_err()
        {
            self.run.kill()?;
            bail!("lumenctl run did not end on SIGTERM");
        }
        let mut said = String::new();
        if let Some(mut stderr) = self.run.stderr.take() {
            stderr.read_to_string(&mut said)?;
        }
        Ok(said)
    }
}

impl Drop for Constellation {
    fn drop(&mut self) {
        // Shown by the test runner only when the test fails. After its end there is nothing to be asked any more.
        if !self.stopped {
            eprintln!("{}\n{}", self.status(), self.logs());
        }
        if !self.stopped
            && let Err(error) = self.terminate()
        {
            eprintln!("{error:#}");
        }
    }
}

/// Processes of user `uid` whose command line has `needle`.
pub fn processes(uid: u32, needle: &str) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let ours = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        status.contains(&format!("Uid:\t{uid}\t")) && String::from_utf8_lossy(&line).contains(needle)
    };
    pids.filter(ours).collect()
}
