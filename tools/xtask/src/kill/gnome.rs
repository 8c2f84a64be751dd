//! The same on GNOME: stages die, then PipeWire and WirePlumber, while the user's gnome-shell streams from the container.
//!
//! Sabotage: leave Mutter's socket out of the fd store, or end the session when PipeWire hangs up.

use std::{thread, time::Duration};

use anyhow::{Result, ensure};
use lumen_stage::clock::now_ns;
use lumen_tests::lab::Lab;

use super::{
    gaps::{self, Death},
    witness::{self, Desktop},
};

/// What a client may name.
const STAMP: &str = "[apps]\nstamp = [\"/home/lumen/bin/lumen-stamp\"]\n";
/// Deaths of each stage.
const DEATHS: usize = 3;
/// Between two deaths; a GNOME drawn by two busy cores is slow.
const APART: Duration = Duration::from_millis(1500);
/// After the death of a daemon of PipeWire's.
const MENDED: Duration = Duration::from_secs(4);
/// Longer than any machine takes for all of it; the stream is ended by a signal.
const FOR_EVER: &str = "86400";

/// Kills each of `stages`, then PipeWire and WirePlumber.
///
/// # Errors
/// The client noticed, or the container does not run.
pub fn run(stages: &[&'static str]) -> Result<()> {
    let lab = Lab::start("trixie")?;
    lab.start_gnome(&[])?;
    lab.config("apps", STAMP)?;
    lab.user(&["systemctl", "--user", "start", "lumen.target"])?;
    let client = lab.start_client("probe", &["--seconds", FOR_EVER, "--app", "stamp"])?;
    lab.wait("the program", Duration::from_secs(15), || {
        Ok(lab.user(&["pgrep", "-x", "lumen-stamp"]).is_ok())
    })?;
    thread::sleep(Duration::from_secs(3));
    let app = lab.user(&["pgrep", "-x", "lumen-stamp"])?;
    let mut deaths = Vec::new();
    for _ in 0..DEATHS {
        for stage in stages {
            lab.user(&["kill", "-KILL", &lab.pid(stage)?.to_string()])?;
            deaths.push(Death { whose: stage, at_ns: now_ns() });
            thread::sleep(APART);
        }
    }
    ensure!(lab.user(&["pgrep", "-x", "lumen-stamp"])? == app, "the app was started anew");
    for daemon in ["wireplumber", "pipewire"] {
        lab.user(&["systemctl", "--user", "kill", "--signal=KILL", &format!("{daemon}.service")])?;
        deaths.push(Death { whose: daemon, at_ns: now_ns() });
        thread::sleep(MENDED);
    }
    // Pictures go on: as much time again.
    let last = now_ns();
    thread::sleep(MENDED);
    let report = client.interrupt()?;
    witness::no_disconnect(&report, Desktop::New)?;
    let arrivals = witness::arrivals(&report);
    gaps::print(&arrivals, &deaths);
    ensure!(arrivals.iter().any(|arrival| *arrival > last), "no picture came after the last death");
    Ok(())
}
