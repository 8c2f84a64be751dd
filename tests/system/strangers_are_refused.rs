//! Who is not listed, or not who was pinned, gets a message that says what to do; nothing else is disturbed.
//!
//! Sabotage: take any client certificate, accept any host certificate, or leave the signature of the handshake
//! unchecked (the last in lumen-core's own tests, with the pinned certificate and another key).

use anyhow::{Result, ensure};
use lumen_tests::{
    Constellation, Probe,
    constellation::{Setup, text},
};

#[test]
fn strangers_are_refused_and_nobody_else_is_disturbed() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    let friend = Probe::allowed(&host)?;
    let watching = friend.start(&["--seconds", "8"])?;
    an_unlisted_client_is_told_the_command(&host)?;
    a_host_that_is_not_the_pinned_one_is_left(&host)?;
    malformed_fingerprints_are_explained(&host)?;
    super::stamps_arrive_rising_sharp_and_true::judge(&watching.finish()?.success()?)
}

fn an_unlisted_client_is_told_the_command(host: &Constellation) -> Result<()> {
    let stranger = Probe::new()?;
    let fingerprint = stranger.fingerprint()?;
    let report = stranger.stream(&["--seconds", "1"])?;
    let said = text(&report.output);
    ensure!(report.output.status.code() == Some(5), "{:?}: {said}", report.output.status);
    ensure!(said.contains(&format!("lumenctl allow {fingerprint}")), "no advice: {said}");
    let logged = host.logs();
    ensure!(logged.contains(&fingerprint), "the host did not log who knocked: {logged}");
    Ok(())
}

fn a_host_that_is_not_the_pinned_one_is_left(host: &Constellation) -> Result<()> {
    let report = Probe::allowed(host)?.stream(&["--seconds", "1", "--pin", &"ab".repeat(32)])?;
    ensure!(report.output.status.code() == Some(4), "{:?}: {}", report.output.status, text(&report.output));
    let own = host.lumenctl("fingerprint", &[])?;
    let own = String::from_utf8_lossy(&own.stdout).trim().to_owned();
    Probe::allowed(host)?.stream(&["--seconds", "1", "--pin", &own])?.success()?;
    Ok(())
}

fn malformed_fingerprints_are_explained(host: &Constellation) -> Result<()> {
    for wrong in ["", "1234", &"zz".repeat(32)] {
        let report = Probe::new()?.stream(&["--seconds", "1", "--pin", wrong])?;
        ensure!(report.output.status.code() == Some(2), "--pin {wrong:?}: {}", text(&report.output));
        let allow = host.lumenctl("allow", &["--", wrong])?;
        ensure!(!allow.status.success(), "lumenctl allow {wrong:?} was taken");
        ensure!(text(&allow).contains("not a fingerprint"), "no advice for {wrong:?}: {}", text(&allow));
    }
    Ok(())
}
