//! State that cannot be used: records of another version or damaged ones, a fd store that is full,
//! no systemd at all, a library that is gone, a sandbox that cannot be set up, a stage that crashes before it is READY.
//! Each is told in words, ends what it must end and nothing else, and makes no storm of restarts.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use lumen_tests::{
    Constellation, Probe,
    constellation::{Setup, binaries, run, text, wait},
    overview::Overview,
};

fn streams(host: &Constellation) -> bool {
    let is_well =
        |session: &serde_json::Value| session["state"] == "streams" && session["frames"].as_u64() > Some(50);
    Overview::of(host).is_ok_and(|overview| overview.sessions().iter().any(is_well))
}

fn restarts(host: &Constellation, stage: &str) -> Result<u32> {
    Ok(host.property(&format!("lumen-{stage}.service"), "NRestarts")?.parse()?)
}

fn kill(host: &Constellation, stage: &str) -> Result<()> {
    let pid = host.pid(stage)?;
    run("kill", &["-9", &pid.to_string()])?;
    wait("the next incarnation", Duration::from_secs(10), || {
        host.pid(stage).is_ok_and(|now| now != 0 && now != pid)
            && host
                .property(&format!("lumen-{stage}.service"), "SubState")
                .is_ok_and(|state| state == "running")
    })
}

/// The one session's record, as transportd has it open.
fn record(host: &Constellation) -> Result<PathBuf> {
    let fds = fs::read_dir(format!("/proc/{}/fd", host.pid("transportd")?))?;
    let is_record = |path: &PathBuf| {
        fs::read_link(path).is_ok_and(|target| target.to_string_lossy().contains("memfd:lumen-session"))
    };
    fds.flatten().map(|entry| entry.path()).find(is_record).context("transportd has no record of a session")
}

/// Streams, spoils the record at these places, kills transportd; what the client saw, and whether its session went on.
fn spoilt(bytes: &[(u64, &[u8])], goes_on: bool) -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    let probe = Probe::allowed(&host)?;
    let watching = probe.start(&["--seconds", "7"])?;
    wait("the stream", Duration::from_secs(10), || streams(&host))?;
    let file = OpenOptions::new().write(true).open(record(&host)?)?;
    for (at, bytes) in bytes {
        file.write_all_at(bytes, *at)?;
    }
    drop(file);
    kill(&host, "transportd")?;
    let report = watching.finish()?;
    let logs = host.logs();
    if goes_on {
        let report = report.success()?;
        ensure!(logs.contains("goes on") && !logs.contains("does not go on"), "{logs}");
        ensure!(report.summary["stamp"]["fallen"] == 0, "{:#}", report.summary["stamp"]);
    } else {
        ensure!(
            logs.contains("does not go on: the record of a session is of another version or damaged"),
            "{logs}"
        );
        println!("the client said: {}", text(&report.output));
        ensure!(!report.output.status.success(), "a lost session looked like a good one");
    }
    ensure!(restarts(&host, "transportd")? == 1, "{} restarts", restarts(&host, "transportd")?);
    ensure!(host.failed_units()?.is_empty(), "{}", host.failed_units()?);
    probe.stream(&["--seconds", "2"])?.success()?;
    Ok(())
}

/// Sabotage: read records of any version.
#[test]
fn a_record_of_a_future_version_ends_its_session_with_a_reason() -> Result<()> {
    spoilt(&[(8, &99u32.to_le_bytes())], false)
}

/// Sabotage: leave out the checksum of a record.
#[test]
fn a_record_with_a_bad_checksum_ends_its_session_with_a_reason() -> Result<()> {
    spoilt(&[(16, &[0x5a; 8])], false)
}

/// What version 1 did not have yet was zero in it. Sabotage: read this version alone.
#[test]
fn a_record_of_the_version_before_goes_on() -> Result<()> {
    spoilt(&[(2080, &[0; 16]), (8, &1u32.to_le_bytes())], true)
}

/// Sabotage: wait for ever for a session that nobody kept, or end without a word.
#[test]
fn a_full_fd_store_costs_the_session_at_a_crash_and_nothing_else() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    for stage in ["transportd", "captured", "encoded"] {
        host.drop_in(stage, "FileDescriptorStoreMax=1")?;
        host.unit("restart", stage)?;
    }
    let probe = Probe::allowed(&host)?;
    let watching = probe.start(&["--seconds", "7"])?;
    wait("the stream", Duration::from_secs(10), || streams(&host))?;
    for stage in ["captured", "encoded"] {
        kill(&host, stage)?;
        wait("the stream", Duration::from_secs(10), || streams(&host))?;
    }
    kill(&host, "transportd")?;
    let report = watching.finish()?;
    println!("the client said: {}", text(&report.output));
    ensure!(!report.output.status.success(), "a lost session looked like a good one");
    for stage in ["transportd", "captured", "encoded"] {
        ensure!(restarts(&host, stage)? == 1, "{} restarts of {stage}", restarts(&host, stage)?);
        let stored = host.property(&format!("lumen-{stage}.service"), "NFileDescriptorStore")?;
        ensure!(stored == "1", "{stored} descriptors of {stage} in a store of one");
    }
    ensure!(host.failed_units()?.is_empty(), "{}", host.failed_units()?);
    probe.stream(&["--seconds", "2"])?.success()?;
    Ok(())
}

/// Sabotage: fail where systemd does not answer.
#[test]
fn a_stage_without_systemd_runs_and_ends_in_order() -> Result<()> {
    let host = Setup::default().start()?;
    host.unit("stop", "inputd")?;
    let program = binaries().join("lumen-inputd");
    let program = program.to_string_lossy();
    let alone = ["env", "-u", "NOTIFY_SOCKET", "HOME=/nonexistent"];
    let ended = host.as_user(&[&alone[..], &["timeout", "-s", "TERM", "2", &program]].concat())?;
    // `timeout` says 124 when it had to send the signal, whatever came of it.
    ensure!(ended.status.code() == Some(124), "it ended by itself: {}", text(&ended));
    let program = binaries().join("lumen-transportd");
    let ended = host.as_user(&[&alone[..], &[&*program.to_string_lossy()]].concat())?;
    ensure!(ended.status.code() == Some(69), "{:?}: {}", ended.status, text(&ended));
    ensure!(text(&ended).contains("STATE_DIRECTORY is not set"), "{}", text(&ended));
    Ok(())
}

/// The unit of `stage` is given up after one start, with this exit code, and `lumenctl status` has all these words.
fn given_up(host: &Constellation, stage: &str, lines: &str, code: &str, words: &[&str]) -> Result<()> {
    host.drop_in(stage, lines)?;
    // Its failure is what is wanted.
    let _ = host.unit("restart", stage);
    let unit = format!("lumen-{stage}.service");
    wait("the unit to be given up", Duration::from_secs(5), || {
        host.property(&unit, "ActiveState").is_ok_and(|state| state == "failed")
    })?;
    ensure!(host.property(&unit, "ExecMainStatus")? == code, "{}", host.property(&unit, "ExecMainStatus")?);
    ensure!(restarts(host, stage)? == 0, "{} restarts", restarts(host, stage)?);
    let status = host.status();
    for word in words {
        ensure!(status.contains(word), "{word:?} is missing in:\n{status}\n{}", host.logs());
    }
    Ok(())
}

/// Sabotage: take the codes from 200 on, or 127, out of RestartPreventExitStatus.
#[test]
fn what_systemd_cannot_set_up_and_what_cannot_be_loaded_is_told_and_not_tried_again() -> Result<()> {
    let host = Setup::default().start()?;
    let missing = "BindPaths=/nonexistent/lumen-test";
    given_up(&host, "inputd", missing, "226", &["failed (exit 226)", "/nonexistent/lumen-test"])?;
    let library = library("libpipewire-0.3.so.0")?;
    let hidden = format!("InaccessiblePaths={}", library.display());
    given_up(&host, "captured", &hidden, "127", &["failed (exit 127)", "libpipewire-0.3.so.0"])?;
    host.drop_in("captured", "")?;
    host.unit("restart", "captured")?;
    wait("captured", Duration::from_secs(5), || {
        host.property("lumen-captured.service", "SubState").is_ok_and(|s| s == "running")
    })
}

/// Where the loader finds a library.
fn library(name: &str) -> Result<PathBuf> {
    let output = run("ldd", &[&binaries().join("lumen-captured").to_string_lossy()])?;
    let said = text(&output);
    let line = said.lines().find(|line| line.contains(name)).with_context(|| said.clone())?;
    let path = line.split_whitespace().nth(2).context("no path")?;
    fs::canonicalize(path).map_err(Into::into)
}

/// Promise C9. Sabotage: do not wait before READY.
#[test]
fn a_stage_that_crashes_before_it_is_ready_makes_no_storm() -> Result<()> {
    let host = Setup::default().start()?;
    host.drop_in("inputd", "Environment=\"LUMEN_REHEARSE=start crash\"")?;
    let begun = Instant::now();
    let _ = host.systemctl(&["restart", "--no-block", "lumen-inputd.service"])?;
    thread::sleep(Duration::from_secs(60));
    let starts = restarts(&host, "inputd")? + 1;
    println!("{starts} starts in {:?}", begun.elapsed());
    ensure!(starts > 5, "it was not started again: {starts}");
    ensure!(starts <= 20, "{starts} starts in a minute");
    Ok(())
}
