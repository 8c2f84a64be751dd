//! Modes that nobody can show, apps that do not exist, a desktop without sway: the client gets a message that
//! says what to do, and the next client is served.
//!
//! Sabotage: let a mode of 0×0 through to the compositor, or answer "internal error".

use anyhow::{Result, ensure};
use lumen_tests::{
    Constellation, Probe,
    constellation::{Setup, text},
};

/// The launch was refused with all these words.
fn refused(host: &Constellation, arguments: &[&str], words: &[&str]) -> Result<()> {
    let all = [&["--seconds", "1"], arguments].concat();
    let report = Probe::allowed(host)?.stream(&all)?;
    let said = text(&report.output);
    ensure!(report.output.status.code() == Some(6), "{arguments:?}: {:?}: {said}", report.output.status);
    for word in words {
        ensure!(said.contains(word), "{arguments:?}: {word:?} is missing in: {said}");
    }
    Ok(())
}

#[test]
fn impossible_modes_are_explained() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    for mode in ["0x0@60", "1x1@60", "20000x20000@60"] {
        refused(&host, &["--mode", mode], &["at least", "at most"])?;
    }
    refused(&host, &["--mode", "1280x720@0"], &["between"])?;
    let odd = Probe::allowed(&host)?.stream(&["--mode", "1280x720@59.94", "--seconds", "3"])?.success()?;
    super::stamps_arrive_rising_sharp_and_true::complete(&odd)
}

#[test]
fn missing_and_short_lived_apps_are_explained() -> Result<()> {
    let apps = "[apps]\nmissing = [\"/usr/bin/there-is-no-such-program\"]\nshort = [\"/bin/false\"]\n";
    let host = Setup::stamp(&[]).config("apps", apps).start()?;
    refused(&host, &["--app", "missing"], &["there-is-no-such-program", "apps.toml"])?;
    // A program that ends leaves the desktop: it is streamed, and the administrator is told.
    Probe::allowed(&host)?.stream(&["--seconds", "1", "--app", "short"])?.success()?;
    let logged = host.logs();
    ensure!(
        logged.contains("exit status 1") && logged.contains("lumen-app-"),
        "nothing about /bin/false: {logged}"
    );
    refused(&host, &["--app", "unheard-of"], &["unheard-of", "[apps]"])?;
    Probe::allowed(&host)?.stream(&["--seconds", "1"])?.success()?;
    Ok(())
}

#[test]
fn a_machine_without_sway_is_explained() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    // What a machine without the package sway looks like to vdisplayd, which searches the manager's PATH.
    host.systemctl(&["set-environment", "PATH=/nowhere"])?;
    refused(&host, &[], &["sway", "install"])
}
