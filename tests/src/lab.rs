//! The booted container of `packaging/lab`: a real systemd with a lingering user `lumen`.

use std::{fs, path::Path, process::Output};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    constellation::{binaries, checkout, run, text},
    probe::Report,
};

/// A running container with lumen installed; stopped when dropped.
pub struct Lab {
    suite: &'static str,
}

/// A command of `packaging/lab/lab` for `suite`.
fn lab(suite: &str, words: &[&str]) -> Result<Output> {
    let program = checkout().join("packaging/lab/lab");
    let suite = format!("LUMEN_LAB_SUITE={suite}");
    let program = program.to_string_lossy();
    run("env", &[&[suite.as_str(), &program], words].concat())
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

    /// Copies a file of this machine into the user's folder `bin`.
    pub fn push_program(&self, program: &Path) -> Result<()> {
        self.run(&["push", &program.to_string_lossy(), "/home/lumen/bin"]).map(drop)
    }

    /// Writes a file in the user's configuration of lumen.
    pub fn config(&self, stage: &str, text: &str) -> Result<()> {
        let directory = TempDir::new()?;
        let file = directory.path().join(format!("{stage}.toml"));
        fs::write(&file, text)?;
        self.run(&["push", &file.to_string_lossy(), "/home/lumen/.config/lumen"]).map(drop)
    }

    /// Streams with the probe inside the container and brings home what it left.
    pub fn stream(&self, arguments: &[&str]) -> Result<Report> {
        let probe = "/home/lumen/bin/lumen-probe";
        let fingerprint = self.user(&[probe, "fingerprint"])?;
        self.user(&["lumenctl", "allow", fingerprint.trim(), "--name", "probe"])?;
        let leave = ["--json", "/tmp/summary.json", "--frames-log", "/tmp/frames.jsonl"];
        let words = [&["user", probe, "--stamp"], &leave[..], arguments].concat();
        let output = lab(self.suite, &words)?;
        let home = TempDir::new()?;
        let to = home.path().to_string_lossy().into_owned();
        self.run(&["pull", "/tmp/summary.json", "/tmp/frames.jsonl", &to])
            .with_context(|| format!("{}\n{}", text(&output), self.logs()))?;
        let read = |name: &str| fs::read_to_string(home.path().join(name)).unwrap_or_default();
        let frames = read("frames.jsonl").lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let summary = serde_json::from_str(&read("summary.json")).unwrap_or(Value::Null);
        Ok(Report { summary, frames, output })
    }

    /// What the stages say of themselves and logged.
    pub fn logs(&self) -> String {
        let status = self.user(&["lumenctl", "status"]).unwrap_or_default();
        let journal = ["journalctl", "--user", "--no-pager", "-n", "100", "-u", "lumen-*"];
        status + &self.user(&journal).unwrap_or_default()
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
