//! The half beside the stages: a client that asks to be let in, is, and records what it sees.

use std::env;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

/// Where the demo's host listens: not where one that serves this machine's people would.
pub const HOST: &str = "127.0.0.1:47787";

/// Its port for video.
pub const VIDEO_PORT: u16 = 47_788;

/// What is left for the other half, in the guest's home.
pub const RESULTS: [&str; 2] = ["demo.mp4", "demo.png"];

/// Streams and records. All programs are found in the build that `lumenctl run` put on PATH.
pub fn stream(seconds: u32) -> Result<ExitCode> {
    let home = PathBuf::from(env::var_os("HOME").context("HOME is not set")?);
    env::set_current_dir(&home)?;
    let client = line("lumen-probe", &["fingerprint"])?;
    line("lumenctl", &["allow", &client, "--name", "demo"])?;
    let host = line("lumenctl", &["fingerprint"])?;
    let seconds = seconds.to_string();
    let [mp4, png] = RESULTS;
    let status = Command::new("lumen-probe")
        .args(["--host", HOST, "--pin", &host, "--mode", "1280x720@60", "--seconds", &seconds, "--stamp"])
        .args(["--mp4", mp4, "--png", png])
        .status()
        .context("cannot start lumen-probe")?;
    if !status.success() {
        eprintln!("lumen-demo: the stages say:");
        Command::new("lumenctl").arg("status").status()?;
        Command::new("lumenctl").arg("logs").status()?;
    }
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// What a program prints, which has to be one line.
fn line(program: &str, arguments: &[&str]) -> Result<String> {
    let output =
        Command::new(program).args(arguments).output().with_context(|| format!("cannot start {program}"))?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {} failed: {}", arguments.join(" "), complaint.trim());
    Ok(said)
}
