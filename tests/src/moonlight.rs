//! A stock Moonlight client: the genuine moonlight-common-c, driven by `tests/moonlight/client.py`.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    constellation::{Constellation, MOONLIGHT, checkout, run, text, wait},
    film::{self, Film},
    sound::Heard,
    wheel,
};

/// Within this a client's request is answered; the slowest is the launch, which starts a desktop.
const ANSWER: Duration = Duration::from_secs(30);

/// A host at which a person pairs a client.
pub trait Host {
    /// The HTTP port that it has for Moonlight.
    fn port(&self) -> u16;

    /// A process in its network, where that is not the test's own.
    fn network(&self) -> Option<u32>;

    /// What `lumenctl pair` with these words says.
    ///
    /// # Errors
    /// It cannot be run.
    fn pair(&self, words: &[&str]) -> Result<String>;

    /// What its stages say.
    fn logs(&self) -> String;
}

impl Host for Constellation {
    fn port(&self) -> u16 {
        MOONLIGHT
    }

    fn network(&self) -> Option<u32> {
        None
    }

    fn pair(&self, words: &[&str]) -> Result<String> {
        self.lumenctl("pair", words).map(|output| text(&output))
    }

    fn logs(&self) -> String {
        Constellation::logs(self)
    }
}

/// A client with an identity of its own in a temporary directory.
pub struct Moonlight {
    directory: TempDir,
    python: PathBuf,
    port: u16,
    network: Option<u32>,
}

impl Moonlight {
    /// A client that no host knows yet.
    ///
    /// # Errors
    /// The genuine client cannot be installed.
    pub fn new() -> Result<Self> {
        Ok(Self { directory: TempDir::new()?, python: wheel::python()?, port: MOONLIGHT, network: None })
    }

    /// A client that a person has paired with `host`.
    ///
    /// # Errors
    /// It was not paired.
    pub fn paired(host: &impl Host) -> Result<Self> {
        let client = Self { port: host.port(), network: host.network(), ..Self::new()? };
        let (seen, said) = client.pair(host, "2718", &["2718"])?;
        ensure!(seen.get("error").is_none(), "not paired: {seen:#} {said:?}");
        Ok(client)
    }

    /// Asks to be paired, and types the PINs in `typed` at the host, one after the other for this one attempt. The answers
    /// are what the client saw in the end, and what the person read at each PIN.
    ///
    /// # Errors
    /// The host lists no attempt.
    pub fn pair(&self, host: &impl Host, pin: &str, typed: &[&str]) -> Result<(Value, Vec<String>)> {
        self.pair_saying(host, &["pair", pin], typed)
    }

    /// Asks a host that is not lumen to be paired; `type_in` is tried until it says that the host has taken the PIN.
    ///
    /// # Errors
    /// The host never took it, or refused it in the end.
    pub fn pair_elsewhere(&self, pin: &str, type_in: impl FnMut() -> bool) -> Result<()> {
        let mut asking = Asking(self.spawn(&["pair", pin])?);
        wait("the host to take the PIN", ANSWER, type_in)?;
        let said = asking.answer()?;
        ensure!(said.get("error").is_none(), "not paired: {said:#}");
        Ok(())
    }

    fn pair_saying(&self, host: &impl Host, words: &[&str], typed: &[&str]) -> Result<(Value, Vec<String>)> {
        let asking = self.spawn(words)?;
        let mut attempt = None;
        let listed = wait("the host to list the attempt", ANSWER, || {
            attempt = host.pair(&[]).ok().and_then(|said| {
                let row = said.lines().nth(1)?;
                row.contains("127.0.0.1").then(|| row.split_whitespace().next().map(str::to_owned))?
            });
            attempt.is_some()
        });
        let mut asking = Asking(asking);
        listed.with_context(|| host.logs())?;
        let attempt = attempt.context("no attempt")?;
        let said = typed.iter().map(|pin| host.pair(&[&attempt, pin])).collect::<Result<_>>()?;
        Ok((asking.answer()?, said))
    }

    /// Asks for `verb` (`state`, `apps`, `cancel`) and returns the answer: what the host refused has `error`.
    pub fn ask(&self, verb: &str) -> Result<Value> {
        Asking(self.spawn(&[verb])?).answer()
    }

    /// The number of the app called `name`.
    ///
    /// # Errors
    /// It is not listed.
    pub fn app(&self, name: &str) -> Result<String> {
        let listed = self.ask("apps")?;
        let mut apps = listed.get("apps").and_then(Value::as_array).into_iter().flatten();
        let app = apps.find(|app| app.get("name").is_some_and(|said| said == name));
        let id = app.and_then(|app| app.get("id")).with_context(|| format!("{listed:#}"))?;
        Ok(id.to_string())
    }

    /// The picture of the app with this number, `png`: its bytes as the characters of Latin-1.
    pub fn art(&self, app: i64) -> Result<Value> {
        Asking(self.spawn(&["art", &app.to_string()])?).answer()
    }

    /// Pairs with the PIN that it shows typed at the host, but says the last phase before `phase`, too.
    ///
    /// # Errors
    /// The host lists no attempt.
    pub fn pair_out_of_order(&self, host: &impl Host, phase: &str) -> Result<Value> {
        let (seen, _) = self.pair_saying(host, &["pair", "2718", "--last-before", phase], &["2718"])?;
        Ok(seen)
    }

    /// What the host's doors say to one who is almost this client, or nobody: `verb` of `tests/moonlight/stranger.py`.
    ///
    /// # Errors
    /// A door does not answer.
    pub fn almost(&self, verb: &str, arguments: &[&str]) -> Result<Value> {
        let words = [&[verb], arguments].concat();
        let said = Asking(self.spawn_script("stranger.py", &words)?).answer()?;
        ensure!(said.get("error").is_none(), "{said:#}");
        Ok(said)
    }

    /// Launches from another process of this client, which may stream already, and returns the answer as [`Self::ask`] does.
    pub fn launch_again(&self) -> Result<Value> {
        Asking(self.spawn(&["launch", "--seconds", "1", "--frames-log", "/dev/null"])?).answer()
    }

    /// Begins to stream with `verb` (`launch`, `resume`) and further arguments.
    pub fn start(&self, verb: &str, arguments: &[&str]) -> Result<Playing<'_>> {
        for old in [LOG, DUMP, SOUND] {
            let _ = fs::remove_file(self.file(old));
        }
        let [log, dump, sound] = [LOG, DUMP, SOUND].map(|name| self.file(name));
        let mut words = vec![verb, "--frames-log", &log, "--dump", &dump, "--sound", &sound];
        words.extend(arguments);
        Ok(Playing { client: self, asking: Asking(self.spawn(&words)?) })
    }

    /// Streams to the end.
    pub fn stream(&self, verb: &str, arguments: &[&str]) -> Result<Played> {
        self.start(verb, arguments)?.finish()
    }

    /// A file of its own.
    pub fn file(&self, name: &str) -> String {
        self.directory.path().join(name).to_string_lossy().into_owned()
    }

    fn spawn(&self, words: &[&str]) -> Result<Child> {
        self.spawn_script("client.py", words)
    }

    fn spawn_script(&self, script: &str, words: &[&str]) -> Result<Child> {
        let script = checkout().join("tests/moonlight").join(script);
        let mut command = Command::new(self.network.map_or(self.python.as_path(), |_| Path::new("nsenter")));
        if let Some(pid) = self.network {
            command.args(["--net", "--target", &pid.to_string()]).arg(&self.python);
        }
        // No folder of compiled code in the checkout.
        command.arg("-B").arg(script).args(["--http", &self.port.to_string(), "--identity"]);
        command.arg(self.directory.path()).args(words).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().with_context(|| format!("cannot run {}", self.python.display()))
    }
}

const LOG: &str = "frames.jsonl";
const DUMP: &str = "stream.h264";
const SOUND: &str = "stream.opus";

/// A client's process; killed when dropped before its end.
struct Asking(Child);

impl Asking {
    /// Waits for its end; the object that it printed.
    fn answer(&mut self) -> Result<Value> {
        // A script that is read along ends here.
        drop(self.0.stdin.take());
        let (mut said, mut complaints) = (String::new(), String::new());
        let pipes = (self.0.stdout.take(), self.0.stderr.take());
        if let (Some(mut stdout), Some(mut stderr)) = pipes {
            std::io::Read::read_to_string(&mut stdout, &mut said)?;
            std::io::Read::read_to_string(&mut stderr, &mut complaints)?;
        }
        let status = self.0.wait()?;
        serde_json::from_str(&said)
            .with_context(|| format!("the client said, with {status}: {said}{complaints}"))
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A client that streams.
pub struct Playing<'a> {
    client: &'a Moonlight,
    asking: Asking,
}

impl Playing<'_> {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.asking.0.id()
    }

    /// Has its person do what `lines` say, in the script `-`.
    ///
    /// # Errors
    /// It has ended.
    pub fn play(&mut self, lines: &str) -> Result<()> {
        let script = self.asking.0.stdin.as_mut().context("it has no standard input")?;
        Ok(script.write_all(lines.as_bytes())?)
    }

    /// Frames that it has taken until now.
    pub fn frames(&self) -> usize {
        fs::read_to_string(self.client.file(LOG)).unwrap_or_default().lines().count()
    }

    /// Waits until it has taken `frames`.
    ///
    /// # Errors
    /// It has not within half a minute; with what it said, if it has ended.
    pub fn wait_for(&mut self, frames: usize) -> Result<()> {
        let mut has_ended = false;
        let came = wait(&format!("{frames} frames at the client"), ANSWER, || {
            has_ended = self.asking.0.try_wait().is_ok_and(|status| status.is_some());
            has_ended || self.frames() >= frames
        });
        if has_ended && self.frames() < frames {
            anyhow::bail!("the client ended after {} frames: {}", self.frames(), self.asking.answer()?);
        }
        came
    }

    /// Its UDP sockets, by inode: moonlight-common-c makes new ones for each connection.
    ///
    /// # Errors
    /// It has ended.
    pub fn sockets(&self) -> Result<BTreeSet<String>> {
        let place = PathBuf::from(format!("/proc/{}", self.pid()));
        let tables = ["net/udp", "net/udp6"].map(|table| fs::read_to_string(place.join(table)));
        let tables = tables.into_iter().flatten().collect::<String>();
        let udp: BTreeSet<&str> = tables.lines().filter_map(|line| line.split_whitespace().nth(9)).collect();
        let open = fs::read_dir(place.join("fd")).context("the client has ended")?;
        let targets = open.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        let inode = |target: PathBuf| {
            let name = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned();
            udp.contains(name.as_str()).then_some(name)
        };
        Ok(targets.filter_map(inode).collect())
    }

    /// What it has heard until now.
    ///
    /// # Errors
    /// It is no sound.
    pub fn heard(&self) -> Result<Heard> {
        Heard::read(self.client.file(SOUND).as_ref())
    }

    /// Asks it to end, by a signal (`INT`, or `KILL` for one that crashes).
    pub fn end(self, signal: &str) -> Result<Played> {
        run("kill", &["-s", signal, &self.pid().to_string()])?;
        self.finish()
    }

    /// Waits for its end and reads what it left. The summary of one that was killed is `Null`.
    pub fn finish(mut self) -> Result<Played> {
        let summary = self.asking.answer();
        let is_killed = std::os::unix::process::ExitStatusExt::signal(&self.asking.0.wait()?).is_some();
        let summary = if is_killed { Value::Null } else { summary? };
        let log = fs::read_to_string(self.client.file(LOG)).unwrap_or_default();
        // The last line of one that was killed may be half a line.
        let frames = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let sound = Heard::read(self.client.file(SOUND).as_ref())?;
        Ok(Played { summary, frames, sound, dump: self.client.file(DUMP).into() })
    }
}

/// What a client saw.
pub struct Played {
    /// What it said of the whole stream; `error` where there was none.
    pub summary: Value,
    /// One object a frame that moonlight-common-c handed to the decoder.
    pub frames: Vec<Value>,
    /// What it handed to the decoder of sound.
    pub sound: Heard,
    dump: PathBuf,
}

impl Played {
    /// Its frames' numbers.
    pub fn numbers(&self) -> Vec<u64> {
        self.frames.iter().filter_map(|frame| frame["number"].as_u64()).collect()
    }

    /// Arrival of each frame, CLOCK_MONOTONIC ns, in order.
    pub fn arrivals(&self) -> Vec<u64> {
        self.frames.iter().filter_map(|frame| frame["received_ns"].as_u64()).collect()
    }

    /// The H.264 that its decoder would have got.
    pub fn dump(&self) -> &Path {
        &self.dump
    }

    /// What a decoder makes of it: ffmpeg's.
    ///
    /// # Errors
    /// The decoder complained.
    pub fn film(&self, width: u32, height: u32) -> Result<Film> {
        film::develop(&self.dump, width, height)
    }

    /// The connection was made once and never broke off, and every frame from the first on is there.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn whole(&self) -> Result<()> {
        self.unbroken()?;
        let numbers = self.numbers();
        ensure!(numbers.first() == Some(&1), "it begins with frame {:?}", numbers.first());
        let gap = numbers.iter().zip(numbers.iter().skip(1)).find(|(before, after)| **after != **before + 1);
        ensure!(gap.is_none(), "a frame is missing: {gap:?} of {}", numbers.len());
        Ok(())
    }

    /// The connection was made once and never broke off.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn unbroken(&self) -> Result<()> {
        let said = &self.summary;
        ensure!(said["error"].is_null(), "the client got no stream: {said:#}");
        ensure!(
            said["started"] == 1 && said["terminated"].is_null() && said["failed"].is_null(),
            "the client left the session: {said:#}"
        );
        Ok(())
    }
}
