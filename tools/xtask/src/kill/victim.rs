//! A stage's process, as who harms it sees it.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use lumen_tests::{
    Constellation,
    constellation::{run, text, wait},
};

/// How long a stage may be away.
const AWAY: Duration = Duration::from_secs(5);

/// The main process of `stage`; systemd shows 0 while the next incarnation is not yet forked.
pub fn running(host: &Constellation, stage: &str) -> Result<u32> {
    let end = Instant::now() + AWAY;
    loop {
        match host.pid(stage) {
            Ok(pid) if pid > 0 => return Ok(pid),
            other if Instant::now() > end => {
                return other.with_context(|| format!("{stage} does not come back"));
            }
            _ => thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Sends `signal`, like `KILL`, to a process.
pub fn send(signal: &str, pid: u32) -> Result<()> {
    let output = run("kill", &["-s", signal, &pid.to_string()])?;
    ensure!(output.status.success(), "kill -s {signal} {pid}: {}", text(&output));
    Ok(())
}

/// Whether the process is there, be it a zombie.
pub fn is_there(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Waits until `stage` is active in another process than `before`.
pub fn back(host: &Constellation, stage: &str, before: u32) -> Result<u32> {
    let unit = format!("lumen-{stage}.service");
    let mut now = 0;
    wait(&format!("the next {stage}"), AWAY, || {
        now = host.pid(stage).unwrap_or_default();
        now != 0 && now != before && host.property(&unit, "ActiveState").is_ok_and(|state| state == "active")
    })?;
    Ok(now)
}

/// Kills `stage` with SIGKILL and waits for its next incarnation.
pub fn kill_and_wait(host: &Constellation, stage: &str) -> Result<u32> {
    let pid = running(host, stage)?;
    send("KILL", pid)?;
    back(host, stage, pid)
}
