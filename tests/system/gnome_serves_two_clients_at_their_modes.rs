//! Two clients at once in one GNOME, each with an Output of its own mode and its own program on it, for a minute.
//!
//! Sabotage: let `Layout::plan` put the oldest Output first, let two Outputs wait for their monitor at once, or leave the
//! overview as soon as it is open (seen three times in ten then).

use std::{thread::sleep, time::Duration};

use anyhow::{Context, Result, ensure};
use lumen_tests::{lab::Lab, probe::Report};
use serde_json::Value;

use super::{
    gnome_streams_sharp_and_true::{STAMP, recorded, stop_without_a_trace},
    stamps_arrive_rising_sharp_and_true::complete,
};

/// Time for gnome-shell to lay out its monitors and draw them anew after the second one came, on a busy machine.
const SETTLE: Duration = Duration::from_secs(4);

#[test]
fn gnome_serves_two_clients_at_their_modes() -> Result<()> {
    let lab = Lab::start("trixie")?;
    let gnome = lab.start_gnome(&[])?;
    lab.config("apps", STAMP)?;
    lab.user(&["systemctl", "--user", "start", "lumen.target"])?;
    let arguments = |mode: &'static str| ["--seconds", "60", "--app", "stamp", "--mode", mode];
    let one = lab.start_client("one", &arguments("1280x720@60"))?;
    lab.wait("the first monitor", Duration::from_secs(15), || Ok(recorded(&lab.monitors()?).len() == 1))?;
    // Where a window opens is decided when it opens: on the newest Output.
    lab.wait("the first app", Duration::from_secs(10), || {
        Ok(lab.user(&["pgrep", "-x", "lumen-stamp"]).is_ok())
    })?;
    // Until then gnome-shell 48 draws windows on the first monitor alone.
    lab.wait("the end of gnome-shell's start", Duration::from_secs(10), || {
        Ok(lab.journal(&gnome).contains("GNOME Shell started"))
    })?;
    sleep(SETTLE);
    let other = lab.start_client("other", &arguments("1366x768@30"))?;
    lab.wait("the second monitor", Duration::from_secs(15), || Ok(recorded(&lab.monitors()?).len() == 2))?;
    let monitors = lab.monitors()?;
    ensure!(monitors.contains("1280x720@60.000") && monitors.contains("1366x768@30.000"), "{monitors}");
    sleep(SETTLE);
    let settled_ns = now_ns(&lab)?;
    for (report, size) in [(one.finish()?, (1280, 720)), (other.finish()?, (1366, 768))] {
        let report = report.success()?;
        ensure!(size_of(&report) == Some(size), "not {size:?}: {:#}", report.summary);
        complete(&report)?;
        judge(&report, settled_ns).map_err(|error| error.context(lab.logs()))?;
    }
    stop_without_a_trace(&lab)
}

/// Width and height of the pictures that were decoded.
fn size_of(report: &Report) -> Option<(u64, u64)> {
    let side = |name: &str| report.summary.get(name)?.as_u64();
    Some((side("width")?, side("height")?))
}

/// The machine's CLOCK_MONOTONIC, which the frames' moments are told in.
fn now_ns(lab: &Lab) -> Result<u64> {
    let uptime = lab.user(&["cat", "/proc/uptime"])?;
    let seconds: f64 = uptime.split_whitespace().next().context("no uptime")?.parse()?;
    Ok((seconds * 1e9) as u64)
}

/// Every new picture captured since `settled_ns` shows the client's own program, rising, sharp and in true colours.
fn judge(report: &Report, settled_ns: u64) -> Result<()> {
    let dequeued = |frame: &Value| frame.pointer("/moments/dequeued_ns").and_then(Value::as_u64);
    let fresh = |frame: &&Value| frame["repeat"] == false && dequeued(frame) >= Some(settled_ns);
    let frames: Vec<&Value> = report.frames.iter().filter(fresh).collect();
    let last = report.frames.last().context("no picture")?;
    ensure!(frames.len() >= 100, "hardly any picture came: {}, the last is {last:#}", frames.len());
    let stamps: Vec<u64> = frames.iter().filter_map(|frame| frame["stamp"].as_u64()).collect();
    ensure!(stamps.len() == frames.len(), "{} of {} have a number", stamps.len(), frames.len());
    ensure!(stamps.is_sorted_by(|one, next| one < next), "numbers do not rise: {stamps:?}");
    let off = frames.iter().find(|frame| frame["patch_error"].as_f64().is_none_or(|error| error > 3.0));
    ensure!(off.is_none(), "colours are wrong: {off:#?}");
    // Two programs drawn by two cores move in leaps; where nearly all of a picture is new it is an IDR, and its bytes
    // are bounded, so a single one may be soft. What follows it is not.
    let soft = frames.iter().filter(|frame| frame["text_psnr_db"].as_f64() < Some(35.0)).count();
    ensure!(soft * 20 <= frames.len(), "{soft} of {} pictures are blurred", frames.len());
    Ok(())
}
