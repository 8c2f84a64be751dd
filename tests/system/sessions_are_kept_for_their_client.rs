//! A client that vanishes without Stop finds its desktop again, in the mode that it asks for then, until it is released.
//!
//! Sabotage: end the session with the connection, start another desktop for the client that is back, go on encoding for
//! nobody, or let `lumenctl end` leave the Output.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lumen_tests::{
    Constellation, Probe,
    constellation::{Setup, run, text, wait},
    overview::{Overview, count, sway_mode},
};
use serde_json::Value;

fn only_session(host: &Constellation) -> Result<Value> {
    let overview = Overview::of(host)?;
    ensure!(overview.sessions().len() == 1, "{:#?}", overview.sessions());
    overview.sessions().first().cloned().context("no session")
}

fn streams(host: &Constellation) -> bool {
    only_session(host)
        .is_ok_and(|session| session["state"] == "streams" && session["frames"].as_u64() > Some(30))
}

fn vanish(host: &Constellation, probe: &Probe, arguments: &[&str]) -> Result<Value> {
    let watching = probe.start(arguments)?;
    wait("the stream", Duration::from_secs(10), || streams(host))?;
    run("kill", &["-9", &watching.pid().to_string()])?;
    watching.finish()?;
    let is_kept = |session: Value| session["state"].as_str().is_some_and(|state| state.starts_with("kept"));
    wait("the session to be kept", Duration::from_secs(20), || only_session(host).is_ok_and(is_kept))?;
    only_session(host)
}

/// The host does not know yet that the connection is lost: only the hellos on the video port are missing.
#[test]
fn a_client_that_crashed_finds_its_desktop_before_its_connection_times_out() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    let probe = Probe::allowed(&host)?;
    let watching = probe.start(&["--seconds", "60"])?;
    wait("the stream", Duration::from_secs(10), || streams(&host))?;
    let before = only_session(&host)?;
    run("kill", &["-9", &watching.pid().to_string()])?;
    watching.finish()?;
    std::thread::sleep(Duration::from_millis(3500));
    let report = probe.stream(&["--seconds", "3"])?.success()?;
    ensure!(report.summary["session"] == before["session"], "another session: {:#}", report.summary);
    ensure!(report.number("/stamp/first")? > 30.0, "the app was started anew: {:#}", report.summary["stamp"]);
    Ok(())
}

#[test]
fn a_desktop_is_kept_until_it_is_released() -> Result<()> {
    let keep = "keep = \"until-released\"\nresume = \"1 s\"\nidle = \"3 s\"\n";
    let host = Setup::stamp(&[]).config("transportd", keep).start()?;
    let probe = Probe::allowed(&host)?;
    let first = vanish(&host, &probe, &["--seconds", "60", "--mode", "1280x720@60"])?;
    let frames = count(&first, "frames")?;
    std::thread::sleep(Duration::from_secs(2));
    ensure!(count(&only_session(&host)?, "frames")? == frames, "frames go on for nobody");
    let report = probe.stream(&["--seconds", "3", "--frames", "60", "--mode", "1920x1080@60"])?.success()?;
    ensure!(report.summary["session"] == first["session"], "another session: {:#}", report.summary);
    ensure!(report.number("/width")? == 1920.0, "{:#}", report.summary["modes"]);
    ensure!(report.number("/stamp/first")? > 30.0, "the app was started anew: {:#}", report.summary["stamp"]);
    let second = vanish(&host, &probe, &["--seconds", "60", "--mode", "1920x1080@60"])?;
    let id = second["session"].as_str().context("no id")?.to_owned();
    ensure!(sway_mode(&host)? == (1920, 1080, 60_000), "{:?}", sway_mode(&host)?);
    let ended = host.lumenctl("end", &["all"])?;
    ensure!(ended.status.success() && text(&ended).contains(&id), "{}", text(&ended));
    wait("the Output to go", Duration::from_secs(5), || {
        host.processes("lumen-stamp").is_empty()
            && Overview::of(&host).is_ok_and(|now| now.sessions().is_empty())
    })
}
