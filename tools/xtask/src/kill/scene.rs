//! One session that streams while something is done to its host, and what must be true of it afterwards.

use std::{thread, time::Duration};

use anyhow::{Context, Result, ensure};
use lumen_stage::clock::now_ns;
use lumen_tests::{
    Constellation, Probe,
    constellation::{Setup, wait},
    probe::Report,
};

use super::{
    residue::Residue,
    victim,
    witness::{self, Desktop},
};

/// Longer than any scene; the stream is ended by a signal.
const FOR_EVER: &str = "86400";
/// A stream whose newest picture is older than this does not go on.
pub const LAST_PICTURE: Duration = Duration::from_secs(1);

/// What must be the same afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Units of Outputs and apps.
    units: Vec<String>,
    /// Process of the program in the desktop.
    app: Vec<u32>,
}

impl Identity {
    /// What it is now.
    ///
    /// # Errors
    /// systemd does not answer.
    pub fn of(host: &Constellation) -> Result<Self> {
        let words = ["list-units", "--plain", "--no-legend", "lumen-output-*", "lumen-app-*"];
        let units = host.systemctl(&words)?;
        // What describes them behind their names has the mode, which may change.
        let lines = String::from_utf8_lossy(&units.stdout).into_owned();
        let names = lines.lines().filter_map(|line| line.split_whitespace().next());
        Ok(Self { units: names.map(str::to_owned).collect(), app: host.processes("lumen-stamp") })
    }
}

/// Streams from a fresh host, with further `arguments` of the probe, while `act` does something to it.
///
/// # Errors
/// The client noticed, something is left over, the stream does not go on, or `act` failed.
pub fn play<T>(
    arguments: &[&str],
    desktop: Desktop,
    act: impl FnOnce(&Constellation) -> Result<T>,
) -> Result<(Report, T)> {
    let host = Setup::stamp(&[]).start()?;
    let probe = Probe::allowed(&host)?;
    // What the first session ever leaves in the allocators is no leak.
    probe.stream(&["--seconds", "2"])?.success()?;
    thread::sleep(Duration::from_secs(1));
    let before = Residue::of(&host)?;
    let streaming = probe.start(&[&["--seconds", FOR_EVER], arguments].concat())?;
    let has_app = || !host.processes("lumen-stamp").is_empty();
    wait("the program in the desktop", Duration::from_secs(15), has_app)?;
    thread::sleep(Duration::from_secs(2));
    let identity = Identity::of(&host)?;
    let done = act(&host);
    thread::sleep(Duration::from_secs(3));
    let (after, end_ns) = (Identity::of(&host)?, now_ns());
    // It is gone if the session broke off.
    let _ = victim::send("INT", streaming.pid());
    let report = streaming.finish()?;
    let seen = witness::no_disconnect(&report, desktop);
    let done = done.with_context(|| format!("the client: {seen:?}"))?;
    seen?;
    goes_on(&report, end_ns)?;
    let is_same = desktop == Desktop::New || identity == after;
    ensure!(is_same, "the Output or the app is another: {identity:?} became {after:?}");
    ensure!(host.failed_units()?.is_empty(), "units failed: {}", host.failed_units()?);
    before.judge(&host)?;
    host.end()?;
    Ok((report, done))
}

fn goes_on(report: &Report, end_ns: u64) -> Result<()> {
    let newest = witness::arrivals(report).last().copied().context("no picture came")?;
    let age = Duration::from_nanos(end_ns.saturating_sub(newest));
    ensure!(age <= LAST_PICTURE, "the newest picture came {age:?} before the end");
    Ok(())
}
