//! `lumenctl systemctl restart lumen-encoded`, typed while a client records as `make demo` does, is a blink in the
//! recording and nothing more.
//!
//! Sabotage: let encoded say Close to captured when it is stopped, or transportd end its session with encoded's link.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use lumen_tests::{
    Probe,
    constellation::{Setup, run, text, wait},
    overview::Overview,
};

/// Longer is no blink. Not a measure of speed: the machine may be busy.
const BLINK_S: f64 = 1.5;

#[test]
fn a_restart_is_a_blink_in_the_recording() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    let probe = Probe::allowed(&host)?;
    let recording = probe.file("recording.mp4");
    let streaming = probe.start(&["--seconds", "6", "--mp4", &recording.to_string_lossy()])?;
    let streams = |session: &serde_json::Value| session["frames"].as_u64() > Some(60);
    wait("the stream", Duration::from_secs(10), || {
        Overview::of(&host).is_ok_and(|overview| overview.sessions().iter().any(streams))
    })?;
    let before = host.pid("encoded")?;
    let restart = host.systemctl(&["restart", "lumen-encoded"])?;
    ensure!(restart.status.success(), "restart: {}", text(&restart));
    ensure!(host.pid("encoded")? != before, "it was not restarted");
    let report = streaming.finish()?.success()?;
    ensure!(report.summary["end"] == "as asked", "{:#}", report.summary);
    ensure!(report.number("/undecodable")? == 0.0, "{:#}", report.summary);
    let times = times(&recording)?;
    let span = times.last().copied().unwrap_or_default() - times.first().copied().unwrap_or_default();
    let blink = times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
    println!("{} pictures in {span:.1} s of recording, without one for {:.0} ms", times.len(), blink * 1e3);
    ensure!(span > 5.0 && times.len() > 100, "the recording ends with the restart: {span} s");
    ensure!(blink < BLINK_S, "no picture for {blink} s");
    Ok(())
}

/// When each picture of a recording is shown, in seconds.
fn times(recording: &Path) -> Result<Vec<f64>> {
    let show = ["-v", "error", "-select_streams", "v", "-show_entries", "packet=pts_time", "-of", "csv=p=0"];
    let path = recording.to_string_lossy();
    let output = run("ffprobe", &[&show[..], &[&path]].concat())?;
    ensure!(output.status.success(), "ffprobe: {}", text(&output));
    let words = String::from_utf8(output.stdout)?;
    words.split_whitespace().map(|time| time.trim_end_matches(',').parse().context("a time")).collect()
}
