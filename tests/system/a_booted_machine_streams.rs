//! End to end in a booted Debian: lumen installed as a package would, `systemctl --user start lumen.target`, the
//! user's own systemd. In Debian's next release sway has ext-image-copy-capture-v1, which captured then prefers.
//!
//! Sabotage: leave lumen-captured out of lumen.target, or bind only one of the two capture protocols.

use anyhow::{Result, ensure};
use lumen_tests::lab::Lab;

const TARGET: &str = "lumen.target";

fn stream_in(suite: &'static str, protocol: &str) -> Result<()> {
    let lab = Lab::start(suite)?;
    lab.config("vdisplayd", "app = [\"/home/lumen/bin/lumen-stamp\"]\n")?;
    lab.user(&["systemctl", "--user", "start", TARGET])?;
    let report = lab.stream(&["--seconds", "8"])?;
    super::stamps_arrive_rising_sharp_and_true::judge(&report).map_err(|error| error.context(lab.logs()))?;
    println!("{suite}: {} fps", report.number("/fps")?);
    let logged = lab.logs();
    ensure!(logged.contains(&format!("pictures come by {protocol}")), "not by {protocol}:\n{logged}");
    let failed =
        lab.user(&["systemctl", "--user", "list-units", "--failed", "--plain", "--no-legend", "lumen*"])?;
    ensure!(failed.trim().is_empty(), "failed units: {failed}");
    lab.user(&["systemctl", "--user", "stop", TARGET])?;
    let left = lab.user(&["sh", "-c", "sleep 2; pgrep -u lumen -a 'lumen-|sway' || true"])?;
    ensure!(left.trim().is_empty(), "two seconds after stop there are: {left}");
    Ok(())
}

#[test]
fn a_booted_stable_debian_streams() -> Result<()> {
    stream_in("trixie", "wlr-screencopy")
}

#[test]
fn a_booted_unstable_debian_streams_through_ext_image_copy() -> Result<()> {
    stream_in("sid", "ext-image-copy-capture")
}
