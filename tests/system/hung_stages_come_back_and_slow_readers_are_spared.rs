//! The watchdog is 2 s while a session runs and 30 s else; a stage that hangs is killed by it and costs no session; a
//! reader that only sleeps for a second is left alone, and what it gets next is young.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use lumen_stage::clock::now_ns;
use lumen_tests::{
    Constellation, Probe,
    constellation::{STAGES, Setup, run, wait},
    overview::{Overview, pids},
};
use serde_json::Value;

/// Promise C5: the watchdog's 2 s, and what a restart takes.
const BACK: Duration = Duration::from_millis(2300);
/// Encoders may take longer, because a picture may.
const ENCODER_BACK: Duration = Duration::from_secs(4);
/// What this machine's own slowness may add to a promise: a test is no stop-watch.
const SLACK: Duration = Duration::from_secs(2);

const THREE_FRAMES_MS: f64 = 50.0;
/// Pictures that had left their writer before the reader fell asleep: they were in its hands.
const STALE: usize = 2;

fn streams(host: &Constellation) -> bool {
    let is_well = |session: &Value| session["state"] == "streams" && session["frames"].as_u64() > Some(50);
    Overview::of(host).is_ok_and(|overview| overview.sessions().iter().any(is_well))
}

fn signal(name: &str, pid: u32) -> Result<()> {
    run("kill", &[name, &pid.to_string()]).map(drop)
}

fn watchdog(host: &Constellation, stage: &str) -> Result<String> {
    host.property(&format!("lumen-{stage}.service"), "WatchdogUSec")
}

/// Sabotage: leave the unit's own limit while a session runs, or forget to go back to it.
#[test]
fn watchdog_is_tight_in_a_session_and_loose_without() -> Result<()> {
    let host = Setup::stamp(&[])
        .config("captured", "lease = \"1 s\"\n")
        .config("encoded", "lease = \"1 s\"\n")
        .start()?;
    let all = |limit: &str| STAGES.iter().all(|stage| watchdog(&host, stage).is_ok_and(|now| now == limit));
    let seen = || STAGES.map(|stage| watchdog(&host, stage).unwrap_or_default());
    ensure!(all("30s"), "without a session: {:?}", seen());
    let probe = Probe::allowed(&host)?;
    let watching = probe.start(&["--seconds", "5"])?;
    wait("the stream", Duration::from_secs(10), || streams(&host))?;
    wait("tight watchdogs", Duration::from_secs(3), || all("2s")).with_context(|| format!("{:?}", seen()))?;
    watching.finish()?.success()?;
    wait("loose watchdogs", Duration::from_secs(30), || all("30s")).with_context(|| format!("{:?}", seen()))
}

/// Stops `stage` and waits until another process has its place; how long that took.
fn hang(host: &Constellation, stage: &str) -> Result<Duration> {
    let (before, begun) = (host.pid(stage)?, Instant::now());
    signal("-STOP", before)?;
    wait("the watchdog", Duration::from_secs(15), || {
        host.pid(stage).is_ok_and(|now| now != 0 && now != before)
            && host
                .property(&format!("lumen-{stage}.service"), "SubState")
                .is_ok_and(|state| state == "running")
    })?;
    Ok(begun.elapsed())
}

/// Sabotage: feed the watchdog by a timer of its own process, or not at all.
#[test]
fn a_stage_that_hangs_in_a_session_is_back_soon() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    let probe = Probe::allowed(&host)?;
    let watching = probe.start(&["--seconds", "34"])?;
    wait("the stream", Duration::from_secs(10), || streams(&host))?;
    thread::sleep(Duration::from_secs(1));
    for stage in STAGES {
        let took = hang(&host, stage)?;
        let promised = if stage == "encoded" { ENCODER_BACK } else { BACK };
        println!("{stage}: back after {took:?}, promised {promised:?}");
        ensure!(took <= promised + SLACK, "{stage} was away for {took:?}");
        let result = host.property(&format!("lumen-{stage}.service"), "NRestarts")?;
        ensure!(result == "1", "{result} restarts of {stage}");
        wait("the stream", Duration::from_secs(10), || streams(&host))?;
    }
    let report = watching.finish()?.success()?;
    ensure!(report.summary["stamp"]["fallen"] == 0, "{:#}", report.summary["stamp"]);
    ensure!(report.number("/network/replayed")? == 0.0, "{:#}", report.summary["network"]);
    ensure!(host.failed_units()?.is_empty(), "{}", host.failed_units()?);
    Ok(())
}

/// When the client had each picture, and how long it had waited until it was sent, the encoder's own time left out, in
/// milliseconds; on the client's clock, which is that of the host here.
fn waits(frames: &[Value]) -> Vec<(f64, f64)> {
    let wait = |frame: &Value| {
        let at = |name: &str| Some(frame.pointer(&format!("/moments/{name}"))?.as_f64()? / 1e6);
        let encoding = at("encode_end_ns")? - at("encode_begin_ns")?;
        Some((at("received_ns")?, at("sent_ns")? - at("dequeued_ns")? - encoding))
    };
    frames.iter().filter_map(wait).collect()
}

/// Sabotage: let a stage queue pictures for a reader that sleeps.
#[test]
fn a_reader_that_sleeps_for_a_second_is_left_alone_and_gets_what_is_new() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    let probe = Probe::allowed(&host)?;
    let watching = probe.start(&["--seconds", "12"])?;
    wait("the stream", Duration::from_secs(10), || streams(&host))?;
    thread::sleep(Duration::from_secs(1));
    let (before, mut woken) = (pids(&host)?, Vec::new());
    for stage in ["encoded", "transportd"] {
        signal("-STOP", before[stage])?;
        thread::sleep(Duration::from_secs(1));
        signal("-CONT", before[stage])?;
        woken.push((stage, now_ns() as f64 / 1e6));
        thread::sleep(Duration::from_secs(2));
    }
    ensure!(pids(&host)? == before, "a stage was restarted:\n{}", host.logs());
    let report = watching.finish()?.success()?;
    ensure!(report.number("/connections")? == 1.0, "{:#}", report.summary);
    ensure!(report.summary["stamp"]["fallen"] == 0, "{:#}", report.summary["stamp"]);
    let waits = waits(&report.frames);
    let first_sleep = woken.first().context("nobody slept")?.1 - 1000.0;
    let mut usual: Vec<f64> =
        waits.iter().filter(|(at, _)| *at < first_sleep).map(|(_, wait)| *wait).collect();
    usual.sort_by(f64::total_cmp);
    let usual = usual.get(usual.len() * 99 / 100).copied().context("no picture before")?;
    for (stage, woken) in woken {
        let next: Vec<f64> =
            waits.iter().filter(|(at, _)| *at > woken).map(|(_, wait)| *wait).take(4).collect();
        println!(
            "{stage} slept for a second: the next pictures were {next:.0?} ms waiting, usual is {usual:.0}"
        );
        let youngest = next.iter().take(STALE + 1).copied().fold(f64::MAX, f64::min);
        ensure!(youngest <= THREE_FRAMES_MS + usual, "{stage}: {next:?} ms");
    }
    Ok(())
}
