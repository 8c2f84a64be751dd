//! The reference client, run as a person would run it.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::constellation::{Constellation, PORT, binaries, run, text};

/// A client with an identity of its own in a temporary directory.
pub struct Probe {
    directory: TempDir,
}

/// What a finished probe left.
pub struct Report {
    /// The JSON summary; `Null` when there was none.
    pub summary: Value,
    /// One object per picture.
    pub frames: Vec<Value>,
    /// How the process ended, and what it printed.
    pub output: Output,
}

impl Report {
    /// A number of the summary.
    pub fn number(&self, pointer: &str) -> Result<f64> {
        self.summary
            .pointer(pointer)
            .and_then(Value::as_f64)
            .with_context(|| format!("no number {pointer} in {:#}\n{}", self.summary, text(&self.output)))
    }

    /// The report itself if the probe ended well.
    pub fn success(self) -> Result<Self> {
        ensure!(self.output.status.success(), "the probe failed: {}", text(&self.output));
        Ok(self)
    }
}

impl Probe {
    /// A client that no host knows yet.
    pub fn new() -> Result<Self> {
        Ok(Self { directory: TempDir::new()? })
    }

    /// A client that `host` was told to allow.
    pub fn allowed(host: &Constellation) -> Result<Self> {
        let probe = Self::new()?;
        let output = host.lumenctl("allow", &[&probe.fingerprint()?, "--name", "probe"])?;
        ensure!(output.status.success(), "lumenctl allow: {}", text(&output));
        Ok(probe)
    }

    /// A file of this client's.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Its fingerprint.
    pub fn fingerprint(&self) -> Result<String> {
        let identity = self.file("identity");
        let output = run(program(), &["fingerprint", "--identity", &identity.to_string_lossy()])?;
        ensure!(output.status.success(), "lumen-probe fingerprint: {}", text(&output));
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Starts streaming from 127.0.0.1 with further arguments.
    pub fn start(&self, arguments: &[&str]) -> Result<Running<'_>> {
        self.start_from("127.0.0.1", arguments)
    }

    /// Starts streaming from the host's port at `address`.
    pub fn start_from(&self, address: &str, arguments: &[&str]) -> Result<Running<'_>> {
        for old in ["summary.json", "frames.jsonl"] {
            let _ = fs::remove_file(self.file(old));
        }
        let child = Command::new(program())
            .args(["--host", &format!("{address}:{PORT}"), "--stamp"])
            .arg("--identity")
            .arg(self.file("identity"))
            .arg("--known-hosts")
            .arg(self.file("known-hosts"))
            .arg("--json")
            .arg(self.file("summary.json"))
            .arg("--frames-log")
            .arg(self.file("frames.jsonl"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run lumen-probe: build the workspace first (make build)")?;
        Ok(Running { probe: self, child })
    }

    /// Streams to the end.
    pub fn stream(&self, arguments: &[&str]) -> Result<Report> {
        self.start(arguments)?.finish()
    }
}

/// A probe that streams.
pub struct Running<'a> {
    probe: &'a Probe,
    child: Child,
}

impl Running<'_> {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Has its person do what `lines` say, in the script `-`.
    ///
    /// # Errors
    /// It has ended.
    pub fn play(&mut self, lines: &str) -> Result<()> {
        let script = self.child.stdin.as_mut().context("it has no standard input")?;
        Ok(script.write_all(lines.as_bytes())?)
    }

    /// Waits for its end and reads what it left.
    pub fn finish(self) -> Result<Report> {
        let output = self.child.wait_with_output()?;
        let summary = fs::read_to_string(self.probe.file("summary.json")).unwrap_or_default();
        let frames = fs::read_to_string(self.probe.file("frames.jsonl")).unwrap_or_default();
        let frames = frames.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        Ok(Report { summary: serde_json::from_str(&summary).unwrap_or(Value::Null), frames, output })
    }
}

/// The probe's binary.
pub fn program() -> PathBuf {
    binaries().join(Path::new("lumen-probe"))
}
