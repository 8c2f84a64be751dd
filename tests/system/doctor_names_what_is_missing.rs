//! `lumenctl doctor`: nothing is missing where a session streams, and what is taken away is named with what mends it.
//!
//! Sabotage: let a stage answer `Need::met` for a desktop without looking for one.

use std::net::UdpSocket;

use anyhow::{Context, Result, ensure};
use lumen_tests::{
    Constellation, Probe,
    constellation::{PORT, Setup, text},
};
use serde_json::Value;

/// What the doctor finds, and its exit code.
fn examine(host: &Constellation) -> Result<(Vec<Value>, Option<i32>)> {
    let output = host.lumenctl("doctor", &["--json"])?;
    let findings = serde_json::from_slice(&output.stdout).with_context(|| text(&output))?;
    Ok((findings, output.status.code()))
}

/// What the doctor finds of one thing: how it is graded, what it says, what mends it.
fn of(findings: &[Value], whose: &str, need: &str) -> Result<[String; 3]> {
    let found = findings.iter().find(|found| found["whose"] == whose && found["of"] == need);
    let found = found.with_context(|| format!("nothing is said of {whose}'s {need}: {findings:#?}"))?;
    Ok(["grade", "says", "mend"].map(|key| found[key].as_str().unwrap_or_default().to_owned()))
}

/// It is graded so, and says or mends with all these words.
fn judge(findings: &[Value], (whose, need): (&str, &str), grade: &str, words: &[&str]) -> Result<()> {
    let found = of(findings, whose, need)?;
    ensure!(found[0] == grade, "{whose}'s {need} is not {grade}: {found:?}");
    let said = found.concat();
    for word in words {
        ensure!(said.contains(word), "{word:?} is missing in what is said of {whose}'s {need}: {found:?}");
    }
    Ok(())
}

#[test]
fn doctor_finds_nothing_missing_where_a_session_streams() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    let (findings, _) = examine(&host)?;
    judge(&findings, ("transportd", "clients"), "worse", &["lumenctl pair", "lumenctl allow"])?;
    Probe::allowed(&host)?.stream(&["--seconds", "1"])?.success()?;
    let (findings, code) = examine(&host)?;
    let missing: Vec<_> = findings.iter().filter(|found| found["grade"] == "missing").collect();
    ensure!(missing.is_empty() && code == Some(0), "exit {code:?}, and missing are {missing:#?}");
    judge(&findings, ("vdisplayd", "desktop"), "met", &["sway"])?;
    judge(&findings, ("encoded", "encoder"), "met", &["openh264"])?;
    judge(&findings, ("transportd", "ports of lumen/1"), "met", &["lumen's own"])?;
    judge(&findings, ("transportd", "ports of Moonlight"), "met", &["lumen's own"])?;
    judge(&findings, ("inputd", "keyboard"), "met", &["us"])?;
    judge(&findings, ("transportd", "clients"), "met", &["1 may"])?;
    for stage in ["vdisplayd", "captured", "encoded", "transportd", "inputd"] {
        judge(&findings, (stage, "unit"), "met", &["runs as process"])?;
    }
    Ok(())
}

#[test]
fn doctor_names_what_is_missing_with_what_mends_it() -> Result<()> {
    let _holder = UdpSocket::bind(("127.0.0.1", PORT))?;
    let settings =
        Setup::default().config("inputd", "layout = \"nowhere\"\n").config("encoded", "\nbitrat = 1\n");
    let host = settings.start_expecting(&["vdisplayd", "captured", "inputd"])?;
    host.systemctl(&["set-environment", "PATH=/nowhere"])?;
    let (findings, code) = examine(&host)?;
    ensure!(code == Some(1), "exit {code:?}");
    judge(&findings, ("vdisplayd", "desktop"), "missing", &["apt-get install", "sway"])?;
    judge(&findings, ("transportd", "ports of lumen/1"), "missing", &[&PORT.to_string(), "`listen`"])?;
    judge(&findings, ("encoded", "settings"), "missing", &["encoded.toml:2", "unknown field"])?;
    judge(&findings, ("encoded", "unit"), "missing", &["exit code 78", "encoded.toml:2"])?;
    judge(&findings, ("inputd", "keyboard"), "worse", &["nowhere", "inputd.toml"])
}
