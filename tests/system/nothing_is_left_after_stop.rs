//! `systemctl --user stop lumen.target` leaves nothing behind, also after kill -9 of all stages at once.
//!
//! Sabotage: leave StopPropagatedFrom= out of the transient units, the sweep out of the keeper's, lumen-sweep out of captured's, or
//! sources out of that.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use lumen_tests::{
    Constellation, Probe,
    constellation::{STAGES, Setup, run, wait},
    probe::Running,
    sound::{PipeWire, sinks, sources},
};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn nothing_is_left_after_stop() -> Result<()> {
    after(|_| Ok(()))
}

#[test]
fn nothing_is_left_after_kill_nine_of_all_and_stop() -> Result<()> {
    after(|host| {
        STAGES.into_iter().try_for_each(|stage| run("kill", &["-9", &host.pid(stage)?.to_string()]).map(drop))
    })
}

/// A client that has a microphone.
fn speaking(probe: &Probe) -> Result<Running<'_>> {
    let sound = probe.file("sound.opus");
    let sound = sound.to_string_lossy();
    probe.start(&["--seconds", "30", "--sound", &sound, "--microphone", "tone:500"])
}

/// Sinks and sources of sessions.
fn nodes(host: &Constellation) -> Result<Vec<String>> {
    Ok([sinks(host)?, sources(host)?].concat())
}

/// Stops a host that streams, with sound, after `harm` was done to it, and looks at what is left.
fn after(harm: impl Fn(&Constellation) -> Result<()>) -> Result<()> {
    let host = Setup::stamp(&[]).config("transportd", "microphone = true\n").start()?;
    let _pipewire = PipeWire::start(&host)?;
    let probe = Probe::allowed(&host)?;
    let streaming = speaking(&probe)?;
    wait("the program in the desktop", SOON, || !host.processes("lumen-stamp").is_empty())?;
    wait("the session's sink and source", SOON, || nodes(&host).is_ok_and(|all| all.len() == 2))?;
    harm(&host)?;
    stop_and_look(&host)?;
    let left = nodes(&host)?;
    ensure!(left.is_empty(), "sinks or sources are left: {left:?}");
    streaming.finish().map(drop)
}

/// Two seconds after `stop` no process, transient unit or socket of ours is there.
fn stop_and_look(host: &Constellation) -> Result<()> {
    let before = Instant::now();
    host.stop_target()?;
    let took = before.elapsed();
    println!("stop took {took:?}");
    ensure!(took <= Duration::from_secs(2), "stop took {took:?}");
    let left = || ["/usr/lib/lumen/", "sway", "lumen/bus"].map(|needle| host.processes(needle)).concat();
    let rest = Duration::from_secs(2).saturating_sub(took);
    // Judged from outside: what is still there two seconds after the command was given is left over.
    wait("our processes to end", rest.max(Duration::from_millis(100)), || left().is_empty())?;
    let units = host.systemctl(&[
        "list-units",
        "--plain",
        "--no-legend",
        "--state=active,activating",
        "lumen*.service",
    ])?;
    let units = String::from_utf8_lossy(&units.stdout).trim().to_owned();
    ensure!(units.is_empty(), "units are left: {units}");
    let sockets: Vec<String> = fs::read_dir(host.runtime_dir())?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| ["wayland-", "sway-ipc", "lumen-output"].iter().any(|ours| name.starts_with(ours)))
        .collect();
    ensure!(sockets.is_empty(), "sockets are left: {sockets:?}");
    ensure!(!host.runtime_dir().join("lumen/bus").exists(), "the bus's socket is left");
    Ok(())
}
