//! A backend that crashes in each of its calls is set aside after three crashes, the client sees pictures of the next
//! one, `lumenctl status` says why, and after the quiet time it is tried again.
//!
//! Sabotage: do not count what the incarnation before died of, or never forgive.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lumen_tests::{
    Constellation, Probe,
    constellation::{Setup, wait},
    lab::Lab,
    overview::Overview,
};

/// Promise C5: how soon an encoder that hangs is back.
const ENCODER_BACK: Duration = Duration::from_secs(4);
/// What this machine's own slowness may add to a promise: a test is no stop-watch.
const SLACK: Duration = Duration::from_secs(2);

fn restarts(host: &Constellation) -> Result<u32> {
    Ok(host.property("lumen-encoded.service", "NRestarts")?.parse()?)
}

fn set_aside(host: &Constellation) -> Result<String> {
    let overview = Overview::of(host)?;
    let texts = overview.stage("encoded")?["set_aside"].as_array().context("no set_aside")?.clone();
    Ok(texts.iter().filter_map(|text| text.as_str()).collect::<Vec<_>>().join("\n"))
}

/// Streams for 6 s; how long the client waited for its first picture, milliseconds.
fn stream(host: &Constellation, probe: &Probe, backend: &str) -> Result<f64> {
    let watching = probe.start(&["--seconds", "6"])?;
    let of_session = |overview: &Overview| Some(overview.session_of("encoded").ok()?["backend"].clone());
    let runs = || {
        let seen = Overview::of(host).ok().and_then(|overview| of_session(&overview));
        seen.is_some_and(|seen| seen.as_str().is_some_and(|seen| seen.starts_with(backend)))
    };
    wait(&format!("pictures by {backend}"), Duration::from_secs(10), runs)?;
    let report = watching.finish()?.success()?;
    ensure!(report.summary["stamp"]["fallen"] == 0, "{:#}", report.summary);
    report.number("/launch_to_picture_ms")
}

#[test]
fn an_encoder_that_crashes_falls_to_the_next_rung_and_is_forgiven() -> Result<()> {
    let host = Setup::stamp(&[]).config("encoded", "set_aside = \"20 s\"\n").start()?;
    let probe = Probe::allowed(&host)?;
    let sound = stream(&host, &probe, "openh264 ")?;
    ensure!(set_aside(&host)?.is_empty(), "a sound encoder was set aside: {}", set_aside(&host)?);
    host.drop_in("encoded", "Environment=\"LUMEN_REHEARSE=openh264 crash\"")?;
    host.unit("restart", "encoded")?;
    let before = restarts(&host)?;
    let falling = stream(&host, &probe, "openh264-plain ")?;
    let fell = Instant::now();
    ensure!(
        restarts(&host)? == before + 3,
        "{} restarts, not 3:\n{}",
        restarts(&host)? - before,
        host.logs()
    );
    let why = set_aside(&host)?;
    for word in ["openh264 is set aside for h264 1280x720@60", "SIGABRT", "3 times"] {
        ensure!(why.contains(word), "{word:?} is missing in {why:?}");
    }
    ensure!(host.status().contains(&why), "lumenctl status does not show it:\n{}", host.status());
    let fallen = stream(&host, &probe, "openh264-plain ")?;
    ensure!(restarts(&host)? == before + 3, "it was tried although it is set aside");
    println!("launch to picture: {sound} ms, with three crashes {falling} ms, afterwards {fallen} ms");
    wait("the quiet time to pass", Duration::from_secs(25), || {
        set_aside(&host).is_ok_and(|texts| texts.is_empty())
    })?;
    println!("forgiven {:?} after the session that fell", fell.elapsed());
    stream(&host, &probe, "openh264-plain ")?;
    ensure!(restarts(&host)? == before + 6, "it was not tried again: {} restarts", restarts(&host)? - before);
    Ok(())
}

/// Promise C5, a stuck frame loop. Sabotage: feed the watchdog while a session's loop is silent, or let the next incarnation
/// forget that the watchdog found one.
#[test]
fn an_encoder_that_hangs_is_killed_by_the_watchdog_and_falls_too() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    let probe = Probe::allowed(&host)?;
    let watching = probe.start(&["--seconds", "24"])?;
    let backend = |host: &Constellation| {
        let overview = Overview::of(host).ok()?;
        Some(overview.session_of("encoded").ok()?["backend"].as_str()?.to_owned())
    };
    wait("the stream", Duration::from_secs(10), || backend(&host).is_some_and(|name| !name.is_empty()))?;
    host.drop_in("encoded", "Environment=\"LUMEN_REHEARSE=openh264 hang\"")?;
    host.unit("restart", "encoded")?;
    let (before, begun) = (restarts(&host)?, Instant::now());
    wait("the next rung", Duration::from_secs(20), || {
        backend(&host).is_some_and(|name| name.starts_with("openh264-plain "))
    })?;
    let took = begun.elapsed();
    println!("three times hung, and on the next rung after {took:?}");
    ensure!(took < 3 * ENCODER_BACK + SLACK, "{took:?} for three hangs");
    ensure!(
        restarts(&host)? == before + 3,
        "{} restarts, not 3:\n{}",
        restarts(&host)? - before,
        host.logs()
    );
    ensure!(set_aside(&host)?.contains("did not return from a call"), "{:?}", set_aside(&host)?);
    let report = watching.finish()?.success()?;
    ensure!(report.summary["stamp"]["fallen"] == 0, "{:#}", report.summary["stamp"]);
    ensure!(report.number("/connections")? == 1.0, "{:#}", report.summary);
    Ok(())
}

#[test]
fn a_way_of_capturing_that_crashes_falls_to_the_next_rung() -> Result<()> {
    let lab = Lab::start("sid")?;
    lab.config("vdisplayd", "app = [\"/home/lumen/bin/lumen-stamp\"]\n")?;
    let folder = "$HOME/.config/systemd/user/lumen-captured.service.d";
    let line = "Environment=\"LUMEN_REHEARSE=ext-image-copy-capture crash\"";
    let write = format!("mkdir -p {folder} && printf '[Service]\\n%s\\n' '{line}' > {folder}/95-test.conf");
    lab.user(&["sh", "-c", &write])?;
    lab.user(&["systemctl", "--user", "daemon-reload"])?;
    lab.user(&["systemctl", "--user", "start", "lumen.target"])?;
    let report = lab.stream(&["--seconds", "6"])?.success().map_err(|error| error.context(lab.logs()))?;
    ensure!(report.summary["stamp"]["fallen"] == 0, "{:#}", report.summary);
    let unit = ["systemctl", "--user", "show", "--value", "-p", "NRestarts", "lumen-captured.service"];
    let restarts = lab.user(&unit)?;
    ensure!(restarts.trim() == "3", "{restarts} restarts, not 3:\n{}", lab.logs());
    let logs = lab.logs();
    for word in ["ext-image-copy-capture is set aside for 1280x720@60", "pictures come by wlr-screencopy"] {
        ensure!(logs.contains(word), "{word:?} is missing in:\n{logs}");
    }
    Ok(())
}
