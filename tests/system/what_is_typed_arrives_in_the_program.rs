//! End to end on the host: what a person does at the probe is what lumen-see gets in a headless sway, in characters and
//! places.
//!
//! Sabotage: tell inputd another session's Output, send codes of another layout, or type into a log.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use lumen_see::{Seen, Thing};
use lumen_tests::{
    Constellation, Probe,
    constellation::{Setup, user, wait},
};

/// Text that is typed, and looked for in all logs.
const TEXT: &str = "Grüße, ß→中 😀";

const SCRIPT: &str = "\
1000 press 42
1050 text Grüße, ß→中 😀
1300 press 21
1320 release 21
1340 release 42
1400 press 21
1420 release 21
1500 to 0 0
1600 to 65535 0
1700 to 65535 65535
1800 to 32768 32768
1900 move 100 -50
2000 press 272
2050 release 272
2100 scroll 0 240
2200 scroll -120 0
2300 press 57
2350 release 57
";

#[test]
fn what_is_typed_arrives_in_the_program() -> Result<()> {
    let (host, journal) = desk("")?;
    let probe = Probe::allowed(&host)?;
    let script = probe.file("script");
    fs::write(&script, SCRIPT)?;
    let report = probe.stream(&["--seconds", "4", "--script", &script.to_string_lossy()])?.success()?;
    ensure!(report.number("/connections")? == 1.0, "{:#}", report.summary);
    let seen = Seen::read(&journal)?;
    ensure!(seen.text() == format!("{TEXT}Zz "), "typed was {:?}\n{}", seen.text(), host.status());
    ensure!(seen.held()?.is_empty(), "{:?} is still held", seen.held());
    // Of its clicks the pointer's own, at the place to which it had moved.
    let clicked = seen.0.iter().position(|thing| matches!(thing, Thing::Button { code: 272, .. }));
    let before = Seen(seen.0[..clicked.context("no click")?].to_vec());
    let corners = [(0.0, 0.0), (1280.0, 0.0), (1280.0, 720.0), (640.0, 360.0), (740.0, 310.0)];
    let places = before.places();
    let near = |a: &(f64, f64), b: &(f64, f64)| (a.0 - b.0).abs() <= 1.0 && (a.1 - b.1).abs() <= 1.0;
    let mut left = places.iter();
    let hit = corners.iter().filter(|corner| left.any(|place| near(place, corner))).count();
    ensure!(hit == corners.len(), "{hit} of {corners:?} were hit, in this order: {places:?}");
    ensure!(seen.scrolled() == [(30.0, 2), (-15.0, -1)], "{:?}", seen.scrolled());
    ensure!(!host.logs().contains("Gr"), "typed text is in a log:\n{}", host.logs());
    Ok(())
}

#[test]
fn status_says_where_input_goes_and_why_not() -> Result<()> {
    let host = Setup::default().config("vdisplayd", "backend = \"pattern\"\n").start()?;
    let probe = Probe::allowed(&host)?;
    let running = probe.start(&["--seconds", "6"])?;
    let told = || host.status().contains("cannot type: the Output is a test picture");
    let waited = wait("the reason in lumenctl status", Duration::from_secs(10), told);
    let report = running.finish()?.success()?;
    waited.with_context(|| host.status())?;
    ensure!(report.number("/frames")? > 100.0, "the picture does not go on: {:#}", report.summary);
    Ok(())
}

/// A host whose desktop shows lumen-see, and where that writes.
pub fn desk(transportd: &str) -> Result<(Constellation, PathBuf)> {
    let journal = PathBuf::from(format!("/run/user/{}/lumen-see.jsonl", user()?));
    let _ = fs::remove_file(&journal);
    let app = format!("app = [\"/usr/lib/lumen/lumen-see\", \"--log\", {journal:?}]\n");
    let setup = Setup::default().config("vdisplayd", &app).config("inputd", "layout = \"de\"\n");
    Ok((setup.config("transportd", transportd).start()?, journal))
}
