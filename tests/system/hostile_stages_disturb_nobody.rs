//! A stage that turned hostile sends wrong greetings, unknown schemas, noise and wrong descriptors to a running encoded, from
//! either side: each time encoded hangs up and says why; it stays the same process, keeps no descriptor, and streams on.
//!
//! Sabotage: leave the schema out of `Hello::check`, `check_fds` out of the link, or panic on a malformed packet.

use anyhow::{Context, Result, ensure};
use lumen_tests::{
    Constellation, Probe,
    constellation::{Setup, wait},
};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_hostile_reader_is_hung_up_on() -> Result<()> {
    let pattern = "backend = \"pattern\"\n";
    let host =
        Setup::default().config("vdisplayd", pattern).replace("transportd", "lumen-hostile").start()?;
    let encoded = host.pid("encoded")?;
    wait("the hostile transportd's end", LIMIT, || host.logs().contains("HONEST"))?;
    judge(
        &host,
        encoded,
        6,
        &["starts with", "schema 99", "expected transportd", "was not sent", "takes 0"],
    )?;
    ensure!(host.logs().contains("HONEST pictures: 10"), "encoded did not stream afterwards");
    Ok(())
}

#[test]
fn a_hostile_writer_is_hung_up_on() -> Result<()> {
    let host = Setup::default().replace("captured", "lumen-hostile").start()?;
    let encoded = host.pid("encoded")?;
    let probe = Probe::allowed(&host)?;
    let waiting = probe.start(&["--seconds", "1", "--patience", "40"])?;
    wait("the hostile captured's end", LIMIT, || host.logs().matches("CRIME").count() >= 10)?;
    let words = [
        "starts with",
        "schema 99",
        "expected captured",
        "not a memfd",
        "not sealed against shrinking",
        "were announced",
        "impossible",
        "it takes 1",
        "has not announced",
    ];
    judge(&host, encoded, 10, &words)?;
    drop(waiting);
    Ok(())
}

fn judge(host: &Constellation, encoded: u32, crimes: usize, words: &[&str]) -> Result<()> {
    let logs = host.logs();
    let noticed = logs.lines().filter(|line| line.contains("CRIME") && line.contains("hung up on")).count();
    ensure!(noticed == crimes, "{noticed} of {crimes} crimes were noticed");
    for word in words {
        ensure!(logs.contains(word), "encoded did not say {word:?}");
    }
    ensure!(host.pid("encoded")? == encoded, "encoded is another process than before");
    let open = std::fs::read_dir(format!("/proc/{encoded}/fd")).context("encoded is gone")?.count();
    ensure!(open < 60, "encoded has {open} descriptors open");
    Ok(())
}
