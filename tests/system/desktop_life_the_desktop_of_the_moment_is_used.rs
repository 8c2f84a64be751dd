//! Lumen is up before any desktop: the first session gets a headless one, and keeps it when the user's GNOME starts.
//! The next session is in GNOME; when the user logs out in its middle, it goes on in a headless desktop.
//!
//! Sabotage: look for the desktop once, when vdisplayd starts.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lumen_tests::lab::Lab;

use super::{
    gnome_streams_sharp_and_true::{STAMP, recorded},
    stamps_arrive_rising_sharp_and_true::complete,
};

#[test]
fn desktop_life_the_desktop_of_the_moment_is_used() -> Result<()> {
    let lab = Lab::start("trixie")?;
    lab.config("apps", STAMP)?;
    lab.user(&["systemctl", "--user", "start", "lumen.target"])?;
    let first = lab.start_client("first", &["--seconds", "25", "--app", "stamp"])?;
    await_backends(&lab, &["sway-headless"])?;
    let gnome = lab.start_gnome(&[])?;

    let second = lab.start_client("second", &["--seconds", "25", "--app", "stamp"])?;
    await_backends(&lab, &["sway-headless", "mutter"])?;
    lab.wait("the monitor", Duration::from_secs(15), || Ok(!recorded(&lab.monitors()?).is_empty()))?;
    lab.stop_gnome(&gnome)?;
    await_backends(&lab, &["sway-headless", "sway-headless"])?;

    for client in [first, second] {
        let report = client.finish()?.success().with_context(|| lab.logs())?;
        complete(&report)?;
        let last = report.frames.last().and_then(|frame| frame["stamp"].as_u64());
        ensure!(last.is_some(), "no app in the last picture: {:#}", report.summary["stamp"]);
    }
    lab.user(&["systemctl", "--user", "stop", "lumen.target"]).map(drop)
}

/// Waits until the Outputs are on these backends, in any order.
fn await_backends(lab: &Lab, backends: &[&str]) -> Result<()> {
    let mut wanted = backends.to_vec();
    wanted.sort_unstable();
    let ask = ["lumenctl", "status", "--json"];
    lab.wait(&format!("Outputs on {wanted:?}"), Duration::from_secs(20), || {
        let status: serde_json::Value = serde_json::from_str(&lab.user(&ask)?)?;
        let outputs = vdisplayd(&status).and_then(|stage| stage.pointer("/status/outputs")?.as_array());
        let mut found: Vec<&str> =
            outputs.into_iter().flatten().filter_map(|output| output["backend"].as_str()).collect();
        found.sort_unstable();
        Ok(found == wanted)
    })
}

fn vdisplayd(status: &serde_json::Value) -> Option<&serde_json::Value> {
    status["stages"].as_array()?.iter().find(|stage| stage["stage"] == "vdisplayd")
}
