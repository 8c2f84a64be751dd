//! An orderly restart of transportd costs no session, its death no launch, and a stop of it alone ends what it served.
//!
//! Sabotage: take the records out of the fd store on SIGTERM, say Close to encoded, keep the client waiting for a host
//! that has stopped, or give a launch up with its connection.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use lumen_tests::{
    Constellation, Probe,
    constellation::{Setup, run, text, wait},
    overview::{Overview, pids, sway_sockets},
};

/// So much later each death comes.
const DEATH_AFTER: Duration = Duration::from_millis(25);

fn transportd(host: &Constellation, verb: &str) -> Result<()> {
    let output = host.systemctl(&[verb, "lumen-transportd.service"])?;
    ensure!(output.status.success(), "{verb}: {}", text(&output));
    Ok(())
}

fn streams(host: &Constellation) -> bool {
    let is_well =
        |session: &serde_json::Value| session["state"] == "streams" && session["frames"].as_u64() > Some(50);
    Overview::of(host).is_ok_and(|overview| overview.sessions().iter().any(is_well))
}

#[test]
fn an_orderly_restart_costs_no_session() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    let probe = Probe::allowed(&host)?;
    let watching = probe.start(&["--seconds", "12"])?;
    wait("the stream", Duration::from_secs(10), || streams(&host))?;
    let (before, sway) = (pids(&host)?, host.processes("sway"));
    for _ in 0..2 {
        transportd(&host, "restart")?;
        wait("the stream", Duration::from_secs(10), || streams(&host))?;
    }
    let after = pids(&host)?;
    ensure!(after["transportd"] != before["transportd"], "it was not restarted");
    ensure!(after["encoded"] == before["encoded"] && host.processes("sway") == sway, "more was restarted");
    let report = watching.finish()?.success()?;
    ensure!(report.number("/connections")? == 3.0, "{:#}", report.summary);
    let stamp = &report.summary["stamp"];
    ensure!(stamp["fallen"] == 0, "{stamp:#}");
    ensure!(report.number("/network/replayed")? == 0.0, "a number came twice: {:#}", report.summary);
    let waiting = report.summary["notices"].as_array().map_or(0, Vec::len);
    println!("{waiting} notices over two restarts, {} frames lost", report.number("/network/lost")?);
    Ok(())
}

/// Of deaths at growing distances from the client's start some come before its launch is answered: what the host began for it
/// is what the second launch gets.
#[test]
fn a_launch_outlives_a_death_of_transportd() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    let probe = Probe::allowed(&host)?;
    let mut before_the_launch = 0;
    for step in 1..=10 {
        let watching = probe.start(&["--seconds", "1"])?;
        thread::sleep(DEATH_AFTER * step);
        run("kill", &["-KILL", &host.pid("transportd")?.to_string()])?;
        let is_launched = || Overview::of(&host).is_ok_and(|overview| !overview.sessions().is_empty());
        wait("the session", Duration::from_secs(10), is_launched)?;
        let desktops = host.processes("lumen-stamp").len();
        ensure!(desktops <= 1, "{desktops} desktops for one client");
        let report = watching.finish()?.success().with_context(|| format!("step {step}"))?;
        before_the_launch += u32::from(report.number("/connections")? > 1.0);
        wait("the desktop to go", Duration::from_secs(15), || host.processes("lumen-stamp").is_empty())?;
    }
    println!("{before_the_launch} of 10 needed another connection");
    ensure!(host.failed_units()?.is_empty(), "units failed: {}", host.failed_units()?);
    Ok(())
}

#[test]
fn a_stop_of_transportd_alone_ends_what_it_served() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    let probe = Probe::allowed(&host)?;
    let watching = probe.start(&["--seconds", "60"])?;
    wait("the stream", Duration::from_secs(10), || streams(&host))?;
    let stopped = Instant::now();
    transportd(&host, "stop")?;
    let report = watching.finish()?;
    let said = text(&report.output);
    ensure!(said.contains("the host has stopped"), "the client was left alone: {said}");
    println!("the client knew after {:?}", stopped.elapsed());
    ensure!(!sway_sockets(&host).is_empty(), "the Output went before the leases");
    // encoded's lease, and what captured and vdisplayd take to let go.
    wait("the Output to go", Duration::from_secs(30), || host.processes("lumen-stamp").is_empty())?;
    transportd(&host, "start")?;
    ensure!(Overview::of(&host)?.sessions().is_empty(), "a stopped session came back");
    probe.stream(&["--seconds", "2"])?.success()?;
    Ok(())
}
