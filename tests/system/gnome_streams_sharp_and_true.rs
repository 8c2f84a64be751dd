//! End to end on GNOME: the user's own gnome-shell, without a screen and without a GPU, gets a virtual monitor of the
//! client's mode, lumen-stamp runs on it, and PipeWire carries its pictures to captured.
//!
//! Sabotage: let vdisplayd hand out the node of another stream, convert with BT.601, or leave the topology out (the
//! program then opens elsewhere).

use std::time::Duration;

use anyhow::{Result, ensure};
use lumen_tests::{lab::Lab, probe::Report};
use serde_json::Value;

use super::stamps_arrive_rising_sharp_and_true::complete;

/// What the tests on GNOME configure: a program that a client may name.
pub const STAMP: &str = "[apps]\nstamp = [\"/home/lumen/bin/lumen-stamp\"]\n";

/// Product of each monitor that Mutter makes for a recording.
const RECORDED: &str = "Virtual remote monitor";

/// Serial numbers of the monitors that recordings made, in the order Mutter tells them.
pub fn recorded(monitors: &str) -> Vec<&str> {
    // ('Meta-0', 'MetaVendor', 'Virtual remote monitor', '0x000001'): once as a monitor, once in its place.
    let mut serials: Vec<&str> =
        monitors.split(RECORDED).skip(1).filter_map(|rest| rest.split('\'').nth(2)).collect();
    serials.dedup();
    serials.sort_unstable();
    serials.dedup();
    serials
}

/// Numbered pictures after which the text has to be sharp: two seconds of what a GNOME drawn by two busy cores gives.
const SHARP_FROM: f64 = 60.0;

/// A gnome-shell whose first monitor comes opens its overview over the program; vdisplayd watches for it for 4 s.
const OVERVIEW_NS: u64 = 6_000_000_000;

/// What holds for the stream of a moving GNOME at 10 Mbit/s.
pub fn judge(report: &Report) -> Result<()> {
    let stamp = &report.summary["stamp"];
    ensure!(stamp["strictly_rising"] == true, "numbers do not rise strictly: {stamp:#}");
    let dequeued = |frame: &Value| frame.pointer("/moments/dequeued_ns").and_then(Value::as_u64).unwrap_or(0);
    let begin = report.frames.first().map_or(0, dequeued) + OVERVIEW_NS;
    let late = report.frames.iter().filter(|frame| dequeued(frame) > begin);
    let unreadable = late.filter(|frame| frame["stamp"].is_null()).count();
    ensure!(unreadable == 0, "{unreadable} pictures without a number: {stamp:#}");
    ensure!(report.number("/stamp/read")? >= 100.0, "hardly any picture came: {stamp:#}");
    ensure!(report.number("/stamp/sharp_from")? <= SHARP_FROM, "the text is blurred: {stamp:#}");
    ensure!(report.number("/stamp/patch_error_max")? <= 3.0, "colours are wrong: {stamp:#}");
    complete(report)
}

/// Stops lumen; two seconds later neither a process nor a monitor of its is left.
pub fn stop_without_a_trace(lab: &Lab) -> Result<()> {
    lab.user(&["systemctl", "--user", "stop", "lumen.target"])?;
    lab.wait("the monitors to go", Duration::from_secs(2), || Ok(recorded(&lab.monitors()?).is_empty()))?;
    let left = "sleep 1; pgrep -u lumen -a '^lumen-[^p]' || true; ls $XDG_RUNTIME_DIR/lumen-outputs 2>/dev/null || true";
    let left = lab.user(&["sh", "-c", left])?;
    ensure!(left.trim().is_empty(), "after stop there are: {left}");
    Ok(())
}

fn stream_in(suite: &'static str) -> Result<()> {
    let lab = Lab::start(suite)?;
    lab.start_gnome(&[])?;
    lab.config("apps", STAMP)?;
    lab.user(&["systemctl", "--user", "start", "lumen.target"])?;
    let client = lab.start_client("probe", &["--seconds", "12", "--app", "stamp"])?;
    lab.wait("the monitor", Duration::from_secs(15), || Ok(!recorded(&lab.monitors()?).is_empty()))?;
    let monitors = lab.monitors()?;
    ensure!(monitors.contains("1280x720@60.000"), "not at the client's mode: {monitors}");
    let status = lab.user(&["lumenctl", "status"])?;
    ensure!(status.contains("mutter"), "not in the user's GNOME:\n{status}");
    let report = client.finish()?;
    judge(&report).map_err(|error| error.context(lab.logs()))?;
    println!("{suite}: {} fps", report.number("/fps")?);
    let failed =
        lab.user(&["systemctl", "--user", "list-units", "--failed", "--plain", "--no-legend", "lumen*"])?;
    ensure!(failed.trim().is_empty(), "failed units: {failed}");
    stop_without_a_trace(&lab)
}

#[test]
fn gnome_of_stable_debian_streams_sharp_and_true() -> Result<()> {
    stream_in("trixie")
}

#[test]
fn gnome_of_unstable_debian_streams_sharp_and_true() -> Result<()> {
    stream_in("sid")
}

#[test]
fn serials_are_read_from_what_mutter_says() {
    let said = "(uint32 4, [(('Meta-0', 'MetaVendor', 'MetaVirtualMonitor', '0x00'), []), (('Meta-1', 'MetaVendor', \
                'Virtual remote monitor', '0x000002'), [])], [(0, 0, [('Meta-1', 'MetaVendor', 'Virtual remote \
                monitor', '0x000002')])])";
    assert_eq!(recorded(said), ["0x000002"]);
    assert!(
        recorded("(uint32 4, [(('Meta-0', 'MetaVendor', 'MetaVirtualMonitor', '0x00'), [])])").is_empty()
    );
}
