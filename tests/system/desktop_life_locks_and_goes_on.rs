//! The user's GNOME locks in mid-stream: its picture is given away no more, the session says *locked* and stays, and
//! after the unlock the same program is seen again.
//!
//! Sabotage: leave `darken` out of `Mutter::look`, or treat the failure *locked* as the end of the Output.

use std::{thread::sleep, time::Duration};

use anyhow::{Context, Result, ensure};
use lumen_tests::lab::Lab;

use super::{
    gnome_streams_sharp_and_true::{STAMP, recorded, stop_without_a_trace},
    stamps_arrive_rising_sharp_and_true::complete,
};

#[test]
fn desktop_life_locks_and_goes_on() -> Result<()> {
    let lab = Lab::start("trixie")?;
    lab.start_display_manager()?;
    lab.start_gnome(&[])?;
    lab.config("apps", STAMP)?;
    lab.user(&["systemctl", "--user", "start", "lumen.target"])?;
    let mut client = lab.start_client("probe", &["--seconds", "40", "--app", "stamp"])?;
    lab.wait("the monitor", Duration::from_secs(15), || Ok(!recorded(&lab.monitors()?).is_empty()))?;
    lab.wait("the app", Duration::from_secs(10), || Ok(lab.user(&["pgrep", "-x", "lumen-stamp"]).is_ok()))?;
    let app = lab.user(&["pgrep", "-x", "lumen-stamp"])?;
    sleep(Duration::from_secs(4));

    lab.lock_gnome(true)?;
    lab.wait("the monitor to go", Duration::from_secs(5), || Ok(recorded(&lab.monitors()?).is_empty()))?;
    lab.wait("*locked* in the status", Duration::from_secs(5), || {
        Ok(lab.user(&["lumenctl", "status"])?.contains("locked"))
    })?;
    sleep(Duration::from_secs(5));
    ensure!(recorded(&lab.monitors()?).is_empty(), "a locked desktop is recorded");
    ensure!(client.runs(), "the session did not outlive the lock:\n{}", lab.logs());

    lab.lock_gnome(false)?;
    lab.wait("the monitor again", Duration::from_secs(10), || Ok(!recorded(&lab.monitors()?).is_empty()))?;
    ensure!(lab.user(&["pgrep", "-x", "lumen-stamp"])? == app, "the app was started anew");
    let report = client.finish()?.success().with_context(|| lab.logs())?;
    complete(&report)?;
    let stamp = &report.summary["stamp"];
    ensure!(stamp["strictly_rising"] == true, "{stamp:#}");
    let last = report.frames.last().and_then(|frame| frame["stamp"].as_u64());
    ensure!(
        last.is_some() && last == stamp["last"].as_u64(),
        "the app is not seen after the unlock: {last:?}"
    );
    stop_without_a_trace(&lab)
}
