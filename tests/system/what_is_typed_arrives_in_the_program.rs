//! End to end on the host: what a person does at the probe is what lumen-see gets in a headless sway, in characters and
//! places; and what it does there on each layout that the host may have.
//!
//! Sabotage: tell inputd another session's Output, send codes of another layout, or type into a log.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use lumen_see::{Seen, Thing};
use lumen_tests::{
    Constellation, Probe,
    constellation::{Setup, USER, run, user, wait},
    layouts::{LAYOUTS, Layout},
    watch::hit,
};

const SOON: Duration = Duration::from_secs(15);

/// Text that is typed, and looked for in all logs.
const TEXT: &str = "Grüße, ß→中 😀";

const SCRIPT: &str = "\
0 press 42
50 text Grüße, ß→中 😀
250 press 21
20 release 21
20 release 42
60 press 21
20 release 21
80 to 0 0
100 to 65535 0
100 to 65535 65535
100 to 32768 32768
100 move 100 -50
100 press 272
50 release 272
50 scroll 0 240
100 scroll -120 0
100 press 57
50 release 57
";

#[test]
fn what_is_typed_arrives_in_the_program() -> Result<()> {
    let (host, journal) = desk("")?;
    let probe = Probe::allowed(&host)?;
    let mut running = probe.start(&["--seconds", "60", "--script", "-"])?;
    await_focus(&journal, 0)?;
    running.play(SCRIPT)?;
    await_text(&host, &journal, &format!("{TEXT}Zz "))?;
    let seen = Seen::read(&journal)?;
    // Of its clicks the pointer's own, at the place to which it had moved.
    let clicked = seen.0.iter().position(|thing| matches!(thing, Thing::Button { code: 272, .. }));
    let before = Seen(seen.0[..clicked.context("no click")?].to_vec());
    let corners = [(0.0, 0.0), (1280.0, 0.0), (1280.0, 720.0), (640.0, 360.0), (740.0, 310.0)];
    hit(&before.places(), &corners)?;
    ensure!(seen.scrolled() == [(30.0, 2), (-15.0, -1)], "{:?}", seen.scrolled());
    types_on_each_layout(&host, &journal, |layout| running.play(&layout.at_the_probe()))?;
    run("kill", &["-INT", &running.pid().to_string()])?;
    let report = running.finish()?;
    ensure!(report.number("/connections")? == 1.0, "{:#}", report.summary);
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

/// Waits until the program has the keyboard, for the first time or since the first `things`: what is typed before is nobody's.
pub fn await_focus(journal: &Path, things: usize) -> Result<()> {
    let read = || Seen::read(journal).unwrap_or_default();
    let has_it = || read().0.iter().skip(things).any(|thing| matches!(thing, Thing::Enter(_)));
    wait("the keyboard to be on the program", SOON, has_it).with_context(|| format!("{:?}", read()))
}

/// Waits until all that was typed is `typed`, and nothing is held any more.
pub fn await_text(host: &Constellation, journal: &Path, typed: &str) -> Result<()> {
    let read = || Seen::read(journal).unwrap_or_default();
    wait("the text in the program", SOON, || {
        let seen = read();
        seen.text() == typed && seen.held() == Ok([].into())
    })
    .with_context(|| format!("typed was {:?}, held is {:?}\n{}", read().text(), read().held(), host.status()))
}

/// What `play` types at a client on each layout of the host's is what the program gets.
pub fn types_on_each_layout(
    host: &Constellation,
    journal: &Path,
    mut play: impl FnMut(&Layout) -> Result<()>,
) -> Result<()> {
    for layout in &LAYOUTS {
        let config = format!("/home/{USER}/.config/lumen/inputd.toml");
        fs::write(config, format!("layout = {:?}\n", layout.name))?;
        let before = Seen::read(journal)?;
        host.unit("restart", "inputd")?;
        await_focus(journal, before.0.len())?;
        play(layout)?;
        await_text(host, journal, &(before.text() + &layout.typed())).with_context(|| layout.name)?;
    }
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
