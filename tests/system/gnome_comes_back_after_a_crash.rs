//! The user's gnome-shell is killed in mid-stream: the session says that it waits for GNOME, and when another gnome-shell
//! runs it goes on there, in the same session, with its program anew and its input. One that does not come back costs the session its
//! desktop, not its stream.
//!
//! Sabotage: give the session a headless desktop at once, take the new gnome-shell for the old one, or ask for its EIS once.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use lumen_tests::lab::Lab;

use super::{
    gnome_streams_sharp_and_true::{STAMP, recorded, stop_without_a_trace},
    stamps_arrive_rising_sharp_and_true::complete,
};

#[test]
fn gnome_comes_back_after_a_crash() -> Result<()> {
    let lab = Lab::start("trixie")?;
    let gnome = lab.start_gnome(&[])?;
    lab.config("apps", STAMP)?;
    lab.user(&["systemctl", "--user", "start", "lumen.target"])?;
    let mut client = lab.start_client("probe", &["--seconds", "45", "--app", "stamp"])?;
    lab.wait("the monitor", Duration::from_secs(15), || Ok(!recorded(&lab.monitors()?).is_empty()))?;
    lab.wait("the app", Duration::from_secs(10), || Ok(lab.user(&["pgrep", "-x", "lumen-stamp"]).is_ok()))?;
    let app = lab.user(&["pgrep", "-x", "lumen-stamp"])?;
    sleep(Duration::from_secs(4));

    let killed = Instant::now();
    lab.user(&["systemctl", "--user", "kill", "--signal=KILL", &gnome])?;
    lab.wait("*waiting* in the status", Duration::from_secs(5), || {
        let status = lab.user(&["lumenctl", "status"])?;
        Ok(status.contains("waiting: the user's GNOME has ended") && status.contains("cannot type"))
    })?;
    lab.start_gnome(&[])?;
    println!("GNOME was away for {:.1} s", killed.elapsed().as_secs_f64());
    lab.wait("a monitor in the new GNOME", Duration::from_secs(15), || {
        Ok(!recorded(&lab.monitors()?).is_empty())
    })?;
    lab.wait("the app anew", Duration::from_secs(10), || {
        Ok(lab.user(&["pgrep", "-x", "lumen-stamp"]).is_ok_and(|now| now != app))
    })?;
    lab.wait("input in the new GNOME", Duration::from_secs(10), || {
        Ok(lab.user(&["lumenctl", "status"])?.contains("mutter takes input by EIS"))
    })?;
    ensure!(client.runs(), "the client gave up\n{}", lab.logs());
    let report = client.finish()?.success().with_context(|| lab.logs())?;
    complete(&report)?;
    ensure!(report.summary["connections"] == 1, "{:#}", report.summary);
    let kinds: Vec<&str> = report.summary["notices"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|n| n["kind"].as_str())
        .collect();
    ensure!(kinds.contains(&"waiting") && kinds.last() == Some(&"running"), "the client heard {kinds:?}");
    let last = report.frames.last().context("no picture")?;
    ensure!(last["stamp"].is_u64(), "the program is not seen again: {last:#}\n{}", lab.logs());
    stop_without_a_trace(&lab)
}
