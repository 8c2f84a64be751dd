//! Sunshine, as its package or whoever built it left it, streaming lumen-stamp: in a sway like lumen's own, which draws into
//! an X server without a screen, because X11 is the one capture of Sunshine that needs no GPU.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    net::TcpStream,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use lumen_tests::{
    Moonlight,
    constellation::{MOONLIGHT, USER, binaries, run, text, user, wait},
};
use tempfile::TempDir;

use super::SIZE;

/// Its own port of the web, as far from that of HTTP as it always is.
const WEB: u16 = MOONLIGHT + 1;
/// Of the person who types the PIN.
const NAME: &str = "lumen";
const SECRET: &str = "lumen-bench";
/// From one look for a client that pairs to the next.
const TYPING: Duration = Duration::from_millis(700);
/// It tries its encoders before it answers.
const START: Duration = Duration::from_secs(30);
/// Its defaults, save for this: the client's ports of the tests; no GPU; video sealed on loopback, too, as lumen's is.
const OPTIONS: &str = "capture = x11\nencoder = software\nlan_encryption_mode = 1\nupnp = off\n";
const APPS: &str = r#"{"env": {}, "apps": [{"name": "Desktop"}]}"#;

/// What `program` calls itself.
///
/// # Errors
/// It cannot be run, or is no Sunshine.
pub fn version(program: &Path) -> Result<String> {
    let home = Home::new()?;
    let seen = home.command("timeout").arg("10").arg(program).arg("--version").output()?;
    let said = text(&seen);
    let found = named(&said).with_context(|| {
        format!(
            "{} is no Sunshine that {USER} can run: --version ended with {} and said {:?}. Give the path of the program \
             `sunshine`, in folders that every user may enter",
            program.display(),
            seen.status,
            said.lines().next().unwrap_or_default()
        )
    })?;
    Ok(found.to_owned())
}

/// The version in the log of any run: `[2024:04:21:10:00:00]: Info: Sunshine version: 0.23.1.abcdef`.
fn named(log: &str) -> Option<&str> {
    let (_, version) = log.lines().find_map(|line| line.split_once("Sunshine version:"))?;
    version.split_whitespace().next()
}

/// Whether the web's answer to a PIN is that somebody waited for it: older ones quote what is no text.
fn is_taken(answer: &str) -> bool {
    answer.replace(['"', ' '], "").contains("status:true")
}

/// A home of its own for all of its processes.
struct Home {
    directory: TempDir,
    uid: u32,
}

impl Home {
    fn new() -> Result<Self> {
        let home = Self { directory: TempDir::new()?, uid: user()? };
        // The user's alone, as a runtime directory has to be.
        std::os::unix::fs::chown(home.path(), Some(home.uid), Some(home.uid))?;
        Ok(home)
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.file(name);
        fs::create_dir_all(path.parent().context("no folder")?)?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    fn give_away(&self) -> Result<()> {
        let given = run("chown", &["-R", &format!("{USER}:"), &self.path().to_string_lossy()])?;
        ensure!(given.status.success(), "chown: {}", text(&given));
        Ok(())
    }

    /// A command as the user, who has this home and no bus, no sound and no desktop but what is started here.
    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.uid(self.uid).gid(self.uid).current_dir(self.path());
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LANG", "C.UTF-8");
        command.env("HOME", self.path()).env("XDG_RUNTIME_DIR", self.path());
        command.env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere").stdin(Stdio::null());
        command
    }

    /// Starts a command that goes on; what it says goes to a log of its own, save what is `read` of its standard output.
    fn spawn(&self, mut command: Command, name: &str, read: Option<Stdio>) -> Result<Running> {
        let log = fs::File::create(self.file(&format!("{name}.log")))?;
        command.stderr(log.try_clone()?).stdout(read.unwrap_or_else(|| log.into()));
        let child = command.spawn();
        Ok(Running(child.with_context(|| format!("cannot run {name}: is it installed?"))?))
    }

    /// The end of a log.
    fn log(&self, name: &str) -> String {
        let log = fs::read_to_string(self.file(&format!("{name}.log"))).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.len().saturating_sub(15);
        format!("{name} said:\n{}", lines.get(last..).unwrap_or_default().join("\n"))
    }
}

/// A process; asked to end when dropped, and waited for.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = run("kill", &["-TERM", &self.0.id().to_string()]);
        let child = &mut self.0;
        if wait("", Duration::from_secs(5), || child.try_wait().is_ok_and(|status| status.is_some())).is_err()
        {
            // Fails only where it has ended meanwhile.
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// A Sunshine that runs, and what it shows. Ended in this order.
pub struct Peer {
    sunshine: Running,
    _sway: Running,
    _x: Running,
    home: Home,
}

impl Peer {
    /// Starts `program` beside a desktop in which lumen-stamp shows `only` that (`text`, `noise`).
    ///
    /// # Errors
    /// With the end of the log of what did not start.
    pub fn start(program: &Path, only: &str) -> Result<Self> {
        let home = Home::new()?;
        let stamp = home.file("lumen-stamp");
        fs::copy(binaries().join("lumen-stamp"), &stamp)
            .context("lumen-stamp is not built: build the workspace first (make build)")?;
        let drawn = home.file("drawn");
        let (width, height) = SIZE;
        home.write(
            "sway.conf",
            &format!(
                "output * mode {width}x{height}\noutput * scale 1\ndefault_border none\nseat * hide_cursor 100\n\
                 exec {} --only {only} --drawn {}\n",
                stamp.display(),
                drawn.display()
            ),
        )?;
        home.write(".config/sunshine/sunshine.conf", &format!("{OPTIONS}port = {MOONLIGHT}\n"))?;
        home.write(".config/sunshine/apps.json", APPS)?;
        home.give_away()?;
        let (x, display) = x_server(&home)?;
        let mut sway = home.command("sway");
        sway.args(["--config", "sway.conf"]).env("DISPLAY", &display);
        sway.env("WLR_BACKENDS", "x11").env("WLR_RENDERER", "pixman");
        let sway = home.spawn(sway, "sway", None)?;
        wait("lumen-stamp to draw", START, || fs::metadata(&drawn).is_ok_and(|file| file.len() > 0))
            .with_context(|| home.log("sway"))?;
        let sunshine = sunshine(&home, program, &display)?;
        Ok(Self { sunshine, _sway: sway, _x: x, home })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.sunshine.0.id()
    }

    /// Where lumen-stamp writes its times.
    pub fn drawn(&self) -> String {
        self.home.file("drawn").to_string_lossy().into_owned()
    }

    /// A client that it knows; and its number of the app that is the desktop.
    ///
    /// # Errors
    /// It was not paired.
    pub fn paired(&self) -> Result<(Moonlight, String)> {
        // Sunshine 0.23 sometimes resets the connection of a client that pairs; a person would try again, too.
        let client = pair().or_else(|_| pair()).or_else(|_| pair())?;
        let apps = client.ask("apps")?;
        let id = apps.pointer("/apps/0/id").with_context(|| format!("it has no app: {apps:#}"))?;
        Ok((client, id.to_string()))
    }

    /// Its log's end, for an error.
    pub fn log(&self) -> String {
        self.home.log("sunshine")
    }
}

/// A client whose PIN was typed into its web.
fn pair() -> Result<Moonlight> {
    let client = Moonlight::new()?;
    let web = format!("https://127.0.0.1:{WEB}/api/pin");
    let person = format!("{NAME}:{SECRET}");
    let typed = ["-sk", "-u", &person, "-H", "Content-Type: application/json"];
    let typed = [&typed[..], &["-d", r#"{"pin": "2718", "name": "lumen"}"#, &web]].concat();
    client.pair_elsewhere("2718", || {
        thread::sleep(TYPING);
        run("curl", &typed).is_ok_and(|said| is_taken(&text(&said)))
    })?;
    Ok(client)
}

/// An X server without a screen, and the name of its display.
fn x_server(home: &Home) -> Result<(Running, String)> {
    let (width, height) = SIZE;
    let mut command = home.command("Xvfb");
    command.args(["-displayfd", "1", "-nolisten", "tcp", "-noreset", "-screen", "0"]);
    command.arg(format!("{width}x{height}x24"));
    let mut x = home
        .spawn(command, "Xvfb", Some(Stdio::piped()))
        .context("Sunshine's desktop needs it: apt install xvfb")?;
    let mut number = String::new();
    BufReader::new(x.0.stdout.take().context("no pipe")?).read_line(&mut number)?;
    ensure!(!number.trim().is_empty(), "{}", home.log("Xvfb"));
    Ok((x, format!(":{}", number.trim())))
}

/// Starts it and waits until it answers.
fn sunshine(home: &Home, program: &Path, display: &str) -> Result<Running> {
    let made = home.command(program).args(["--creds", NAME, SECRET]).output()?;
    ensure!(made.status.success(), "{} --creds: {}", program.display(), text(&made));
    let mut command = home.command(program);
    command.env("DISPLAY", display);
    let mut sunshine = home.spawn(command, "sunshine", None)?;
    let mut has_ended = false;
    let came = wait(&format!("{} to answer", program.display()), START, || {
        has_ended = sunshine.0.try_wait().is_ok_and(|status| status.is_some());
        has_ended || [MOONLIGHT, WEB].iter().all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok())
    });
    came.with_context(|| home.log("sunshine"))?;
    ensure!(!has_ended, "{} ended as soon as it was started. {}", program.display(), home.log("sunshine"));
    Ok(sunshine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sunshine_says_is_read() {
        let log = "[2024:04:21:10:00:00]: Info: Sunshine version: 0.23.1.8b21db64f\nFatal: more\n";
        assert_eq!(named(log), Some("0.23.1.8b21db64f"));
        assert_eq!(named("true (GNU coreutils) 9.1\n"), None);
        assert!(is_taken("{\"status\":\"true\"}\n") && is_taken("{\"status\": true}"));
        assert!(!is_taken("{\"status\":\"false\"}") && !is_taken(""));
    }
}
