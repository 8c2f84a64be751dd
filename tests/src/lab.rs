//! The booted container of `packaging/lab`: a real systemd with a lingering user `lumen`.

use std::{
    fs,
    io::Write,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    constellation::{binaries, checkout, run, text},
    moonlight::Host,
    probe::Report,
};

/// A running container with lumen installed; stopped when dropped.
pub struct Lab {
    suite: &'static str,
}

/// Time for gnome-shell to be up, because a cold one on a busy machine was seen to take 6 s.
const GNOME_LIMIT: Duration = Duration::from_secs(30);

/// The probe inside the container.
const PROBE: &str = "/home/lumen/bin/lumen-probe";

/// Where the probe of this name leaves summary and frames.
fn leavings(name: &str) -> [String; 2] {
    [format!("/tmp/{name}-summary.json"), format!("/tmp/{name}-frames.jsonl")]
}

/// A command of `packaging/lab/lab` for `suite`.
fn command(suite: &str, words: &[&str]) -> Command {
    let mut command = Command::new(checkout().join("packaging/lab/lab"));
    command.env("LUMEN_LAB_SUITE", suite).args(words);
    command
}

fn lab(suite: &str, words: &[&str]) -> Result<Output> {
    command(suite, words).output().with_context(|| format!("cannot run lab {words:?}"))
}

fn succeed(output: Output) -> Result<String> {
    ensure!(output.status.success(), "{}", text(&output));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

impl Lab {
    /// Builds the image unless it is there, boots it, and installs this build as a package would.
    pub fn start(suite: &'static str) -> Result<Self> {
        succeed(lab(suite, &["start"])?).with_context(|| format!("the container {suite} does not start"))?;
        let lab = Self { suite };
        lab.run(&["install"])?;
        for name in ["lumen-probe", "lumen-stamp"] {
            lab.push_program(&binaries().join(name))?;
        }
        Ok(lab)
    }

    fn run(&self, words: &[&str]) -> Result<String> {
        succeed(lab(self.suite, words)?).with_context(|| format!("lab {words:?}"))
    }

    /// Runs a command as the user, and fails if it does.
    pub fn user(&self, words: &[&str]) -> Result<String> {
        self.run(&[&["user"], words].concat())
    }

    /// Runs a command as root, and fails if it does.
    pub fn root(&self, words: &[&str]) -> Result<String> {
        self.run(&[&["root"], words].concat())
    }

    /// Puts a fake in logind's place that says when the machine sleeps, since no container can; see
    /// `packaging/lab/sleeping-logind.py`.
    pub fn start_fake_logind(&self) -> Result<()> {
        let program = checkout().join("packaging/lab/sleeping-logind.py");
        self.push_program(&program)?;
        // Masked, because the bus would start it again for the first who asks.
        self.root(&["systemctl", "mask", "--quiet", "--runtime", "--now", "systemd-logind.service"])?;
        let start = ["systemd-run", "--quiet", "--collect", "python3"];
        self.root(&[&start[..], &["/home/lumen/bin/sleeping-logind.py"]].concat())?;
        self.wait("the fake logind", Duration::from_secs(10), || {
            let ask = ["busctl", "--system", "introspect", "org.freedesktop.login1", "/org/lumen/Lab"];
            Ok(self.root(&ask).is_ok_and(|said| said.contains("org.lumen.Lab")))
        })
    }

    /// Has the fake logind say that the machine sleeps, or woke; whether all delay locks were let go before it did.
    pub fn sleep(&self, sleeps: bool) -> Result<bool> {
        let call =
            ["busctl", "--system", "call", "org.freedesktop.login1", "/org/lumen/Lab", "org.lumen.Lab"];
        let said = self.root(&[&call[..], &["Sleep", "b", &sleeps.to_string()]].concat())?;
        Ok(said.trim() == "b true")
    }

    /// Copies a file of this machine into the user's folder `bin`.
    pub fn push_program(&self, program: &Path) -> Result<()> {
        self.run(&["push", &program.to_string_lossy(), "/home/lumen/bin"]).map(drop)
    }

    /// Writes a file in the user's configuration of lumen.
    pub fn config(&self, stage: &str, text: &str) -> Result<()> {
        self.write("/home/lumen/.config/lumen", &format!("{stage}.toml"), text)
    }

    /// Writes a file called `name` in a folder of the user's.
    pub fn write(&self, folder: &str, name: &str, text: &str) -> Result<()> {
        let directory = TempDir::new()?;
        let file = directory.path().join(name);
        fs::write(&file, text)?;
        self.run(&["push", &file.to_string_lossy(), folder]).map(drop)
    }

    /// Streams with the probe inside the container and brings home what it left.
    pub fn stream(&self, arguments: &[&str]) -> Result<Report> {
        self.start_client("probe", arguments)?.finish()
    }

    /// Starts streaming with a probe inside the container; `name` is its identity, which the host allows.
    pub fn start_client(&self, name: &'static str, arguments: &[&str]) -> Result<Client<'_>> {
        let identity = format!("/home/lumen/{name}.identity");
        let fingerprint = self.user(&[PROBE, "fingerprint", "--identity", &identity])?;
        self.user(&["lumenctl", "allow", fingerprint.trim(), "--name", name])?;
        let [summary, frames] = leavings(name);
        self.user(&["rm", "-f", &summary, &frames])?;
        let own = ["user", PROBE, "--stamp", "--identity", &identity];
        let leave = ["--json", &summary, "--frames-log", &frames];
        let child = command(self.suite, &[&own[..], &leave, arguments].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        Ok(Client { lab: self, name, child: Some(child) })
    }

    /// Starts the user's own GNOME without a screen, with further arguments, as a session would: it is in the session
    /// bus and in the user manager's environment. Returns the name of its unit.
    pub fn start_gnome(&self, arguments: &[&str]) -> Result<String> {
        let began = Instant::now();
        // A banner would lie on what the tests look at.
        self.user(&["gsettings", "set", "org.gnome.desktop.notifications", "show-banners", "false"])?;
        let unit = format!("gnome-{}.service", self.user(&["date", "+%s%N"])?.trim());
        let (named, slice) = (format!("--unit={unit}"), "--property=Slice=session.slice");
        let start = ["systemd-run", "--user", "--quiet", "--collect", &named, slice];
        let session = ["-E", "XDG_SESSION_TYPE=wayland", "-E", "XDG_CURRENT_DESKTOP=GNOME"];
        let shell = ["gnome-shell", "--headless", "--wayland"];
        self.user(&[&start[..], &session, &shell, arguments].concat())?;
        while !self.bus_has("org.gnome.Shell")? || !self.bus_has("org.gnome.Mutter.ScreenCast")? {
            ensure!(began.elapsed() < GNOME_LIMIT, "gnome-shell is not up:\n{}", self.journal(&unit));
            thread::sleep(Duration::from_millis(100));
        }
        let set = "systemctl --user set-environment XDG_CURRENT_DESKTOP=GNOME \
                   WAYLAND_DISPLAY=$(basename $(ls -t $XDG_RUNTIME_DIR/wayland-? | head -n1))";
        self.user(&["sh", "-c", set])?;
        Ok(unit)
    }

    /// Has the system bus say that there is a display manager, without which gnome-shell has no lock screen. To be
    /// called before [`start_gnome`](Self::start_gnome).
    pub fn start_display_manager(&self) -> Result<()> {
        let folder = checkout().join("packaging/lab/display-manager");
        self.run(&["push", &folder.to_string_lossy(), "/home/lumen"])?;
        let policy = "/home/lumen/display-manager/policy.conf";
        self.run(&["root", "cp", policy, "/etc/dbus-1/system.d/display-manager.conf"])?;
        self.run(&["root", "systemctl", "reload", "dbus.service"])?;
        let program = "/home/lumen/display-manager/display-manager.py";
        self.user(&["systemd-run", "--user", "--quiet", "--collect", "python3", program])?;
        self.wait("a display manager", Duration::from_secs(10), || {
            let ask = ["busctl", "--system", "status", "org.gnome.DisplayManager"];
            Ok(self.user(&ask).is_ok())
        })
    }

    /// Puts GNOME's lock screen up, or takes it away.
    pub fn lock_gnome(&self, locked: bool) -> Result<()> {
        let shield = ["-d", "org.gnome.Shell.ScreenShield", "-o", "/org/gnome/ScreenSaver"];
        let ask: &[&str] = match locked {
            true => &["-m", "org.gnome.ScreenSaver.Lock"],
            false => &["-m", "org.gnome.ScreenSaver.SetActive", "false"],
        };
        self.user(&[&["gdbus", "call", "--session"], &shield[..], ask].concat())?;
        let get = ["-m", "org.gnome.ScreenSaver.GetActive"];
        self.wait("the lock screen", Duration::from_secs(10), || {
            let active = self.user(&[&["gdbus", "call", "--session"], &shield[..], &get].concat())?;
            Ok(active.contains("true") == locked)
        })
    }

    /// Ends the user's GNOME as a logout does.
    pub fn stop_gnome(&self, unit: &str) -> Result<()> {
        self.user(&["systemctl", "--user", "unset-environment", "WAYLAND_DISPLAY", "XDG_CURRENT_DESKTOP"])?;
        self.user(&["systemctl", "--user", "stop", unit]).map(drop)
    }

    /// Whether somebody owns `name` on the user's session bus.
    pub fn bus_has(&self, name: &str) -> Result<bool> {
        let bus = ["--session", "-d", "org.freedesktop.DBus", "-o", "/org/freedesktop/DBus"];
        let ask = ["-m", "org.freedesktop.DBus.NameHasOwner", name];
        Ok(self.user(&[&["gdbus", "call"], &bus[..], &ask].concat())?.contains("true"))
    }

    /// What Mutter says about its monitors, in GVariant's text form.
    pub fn monitors(&self) -> Result<String> {
        let config = "org.gnome.Mutter.DisplayConfig";
        let path = "/org/gnome/Mutter/DisplayConfig";
        let ask = format!("{config}.GetCurrentState");
        self.user(&["gdbus", "call", "--session", "-d", config, "-o", path, "-m", &ask])
    }

    /// The main process of a stage inside the container.
    pub fn pid(&self, stage: &str) -> Result<u32> {
        let unit = format!("lumen-{stage}.service");
        Ok(self.user(&["systemctl", "--user", "show", "--value", "-p", "MainPID", &unit])?.trim().parse()?)
    }

    /// Waits until `done` is true, at most `limit`; says `what` was awaited, and what the stages say, otherwise.
    pub fn wait(&self, what: &str, limit: Duration, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
        let end = Instant::now() + limit;
        while !done()? {
            ensure!(Instant::now() < end, "waited {limit:?} in vain for {what}\n{}", self.logs());
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// The last lines of a unit's journal.
    pub fn journal(&self, unit: &str) -> String {
        self.user(&["journalctl", "--user", "--no-pager", "-n", "60", "-u", unit]).unwrap_or_default()
    }

    /// What the stages say of themselves and logged.
    pub fn logs(&self) -> String {
        let status = self.user(&["lumenctl", "status"]).unwrap_or_default();
        let journal = ["journalctl", "--user", "--no-pager", "-n", "100", "-u", "lumen-*"];
        status + &self.user(&journal).unwrap_or_default()
    }
}

/// A probe that streams inside the container. Dropped before its end, it is killed with all that leads to it: an `nsenter`
/// whose container ended stays stopped for ever, with every descriptor that it inherited.
pub struct Client<'a> {
    lab: &'a Lab,
    name: &'static str,
    /// Leads a process group. `None` when its end was awaited.
    child: Option<Child>,
}

impl Client<'_> {
    /// Whether it still streams.
    pub fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|ended| ended.is_none()))
    }

    /// Has its person do what `lines` say, in the script `-`.
    pub fn play(&mut self, lines: &str) -> Result<()> {
        let script = self.child.as_mut().and_then(|child| child.stdin.as_mut());
        Ok(script.context("it has ended")?.write_all(lines.as_bytes())?)
    }

    /// Ends it, and each other one in the container, as Ctrl+C does, and brings home what it left.
    pub fn interrupt(self) -> Result<Report> {
        // It is gone if the session broke off, which the report tells.
        let _ = self.lab.user(&["pkill", "-INT", "-x", "lumen-probe"]);
        self.finish()
    }

    /// Waits for its end and brings home what it left.
    pub fn finish(mut self) -> Result<Report> {
        let (lab, name) = (self.lab, self.name);
        let output = self.child.take().context("it has no process")?.wait_with_output()?;
        let home = TempDir::new()?;
        let to = home.path().to_string_lossy().into_owned();
        let [summary, frames] = leavings(name);
        lab.run(&["pull", &summary, &frames, &to])
            .with_context(|| format!("{}\n{}", text(&output), lab.logs()))?;
        let read = |path: &str| {
            let file = Path::new(path).file_name().unwrap_or_default();
            fs::read_to_string(home.path().join(file)).unwrap_or_default()
        };
        let frames = read(&frames).lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let summary = serde_json::from_str(&read(&summary)).unwrap_or(Value::Null);
        Ok(Report { summary, frames, output })
    }
}

impl Host for Lab {
    fn port(&self) -> u16 {
        47_989
    }

    fn network(&self) -> Option<u32> {
        let leader = format!("/run/lumen-lab/{}/leader", self.suite);
        fs::read_to_string(leader).ok()?.trim().parse().ok()
    }

    fn pair(&self, words: &[&str]) -> Result<String> {
        self.user(&[&["lumenctl", "pair"], words].concat())
    }

    fn logs(&self) -> String {
        Lab::logs(self)
    }
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let group = format!("-{}", child.id());
        // Both fail only where it has ended already.
        let _ = run("kill", &["-s", "KILL", "--", &group]);
        let _ = child.wait();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Shown by the test runner only when the test fails.
        eprintln!("{}", self.logs());
        if let Err(error) = self.run(&["stop"]) {
            eprintln!("{error:#}");
        }
    }
}
