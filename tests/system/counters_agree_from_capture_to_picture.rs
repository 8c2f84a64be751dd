//! Every frame that captured took and encoded accepted arrives decoded: the counters of the stages and of the client say
//! the same number once nothing moves any more.
//!
//! Sabotage: drop an AccessUnit in transportd, count a skipped Frame as sent in captured, or decode a frame twice.

use std::{thread, time::Duration};

use anyhow::{Context, Result, ensure};
use lumen_tests::{
    Probe,
    constellation::{Setup, run, wait},
    overview::{Overview, count},
};

#[test]
fn counters_agree_from_capture_to_picture() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    let probe = Probe::allowed(&host)?;
    let watching = probe.start(&["--seconds", "9"])?;
    wait("pictures", Duration::from_secs(10), || frames(&host).is_ok_and(|frames| frames > 100))?;
    // The picture stands still from one moment to the next, and nothing else of the host is touched.
    let stamp = host.processes("lumen-stamp").first().context("no lumen-stamp")?.to_string();
    run("kill", &["-STOP", &stamp])?;
    thread::sleep(Duration::from_millis(1500));
    let seen = Overview::of(&host)?;
    let report = watching.finish()?;
    run("kill", &["-CONT", &stamp])?;
    let report = report.success()?;
    let (captured, encoded) = (seen.session_of("captured")?, seen.session_of("encoded")?);
    let (taken, sent) = (count(captured, "taken")?, count(captured, "sent")?);
    ensure!(taken == sent + count(captured, "skipped")?, "captured lost a picture: {captured:#}");
    let pictures = count(encoded, "encoded")?;
    let laid_by = count(encoded, "superseded")? + count(encoded, "unchanged")?;
    // A Frame that shows what was shown is encoded as a repeat, or not at all.
    let whole = pictures + laid_by..=pictures + laid_by + count(encoded, "repeats")?;
    ensure!(whole.contains(&sent), "encoded lost a Frame: {captured:#} {encoded:#}");
    ensure!(count(encoded, "errors")? == 0, "{encoded:#}");
    let decoded = report.number("/frames")? as u64;
    ensure!(decoded == pictures, "encoded made {pictures} pictures, the client decoded {decoded}");
    super::stamps_arrive_rising_sharp_and_true::complete(&report)?;
    println!("{taken} taken, {sent} sent, {laid_by} laid by, {pictures} encoded, {decoded} decoded");
    Ok(())
}

/// Frames that transportd has sent.
fn frames(host: &lumen_tests::Constellation) -> Result<u64> {
    let overview = Overview::of(host)?;
    count(overview.sessions().first().context("no session")?, "frames")
}
