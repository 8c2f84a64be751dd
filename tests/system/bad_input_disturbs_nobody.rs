//! What no person does, said by the genuine Moonlight client's own calls: a place on a picture of one pixel, keys that are none, text
//! that is none, scrolling without end, thousands of taps a second. All of it is without effect on the client's own session and on
//! another one's, whose taps arrive one by one meanwhile.
//!
//! Sabotage: end the session that says so, divide by the picture's width less one (core/gamestream), type control characters, or let all
//! sessions share one quota (inputd).

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use lumen_see::Seen;
use lumen_tests::{
    Moonlight, Probe,
    constellation::{Setup, run, user, wait},
};

use crate::what_is_typed_arrives_in_the_program::await_focus;

const SOON: Duration = Duration::from_secs(20);

/// The texts are one with NUL in it, half a pair of UTF-16, half a character, and ESC. Clients send a character at a time, so of the first
/// one two are typed.
const NONSENSE: &str = "\
0 to 5 5 1 720
0 to 5 5 1280 1
0 key 0 down
0 key 0xffff down
0 bytes 610062
0 bytes eda080
0 bytes f09f
0 bytes 1b
0 finescroll 32767
0 finescroll -32768
0 finehscroll 32767
0 finehscroll -32768
0 key 0 up
0 key 0xffff up
0 text here
";

/// Taps of the other client's, a key's code, and from one to the next.
const TAPS: usize = 30;
const SPACE: u32 = 57;

fn taps() -> String {
    format!("10 press {SPACE}\n10 release {SPACE}\n").repeat(TAPS)
}

/// Waits until what was seen is as wished.
fn await_seen(what: &str, journal: &Path, wished: impl Fn(&Seen) -> bool) -> Result<()> {
    let read = || Seen::read(journal).unwrap_or_default();
    wait(what, SOON, || wished(&read())).with_context(|| format!("{:?}, {:?}", read().text(), read().held()))
}

#[test]
fn bad_input_disturbs_nobody() -> Result<()> {
    let [bad, good] = ["bad", "good"].map(|name| format!("/run/user/{}/{name}.jsonl", user().unwrap_or(0)));
    let apps = [("bad", &bad), ("good", &good)].map(|(name, log)| {
        let _ = fs::remove_file(log);
        format!("{name} = [\"/usr/lib/lumen/lumen-see\", \"--log\", {log:?}]\n")
    });
    let host = Setup::default().config("apps", &format!("[apps]\n{}", apps.concat())).start()?;
    let [bad, good] = [Path::new(&bad), Path::new(&good)];
    let (client, probe) = (Moonlight::paired(&host)?, Probe::allowed(&host)?);
    let mut other = probe.start(&["--seconds", "60", "--app", "good", "--script", "-"])?;
    let app = client.app("bad")?;
    let mut playing = client.start("launch", &["--seconds", "60", "--app", &app, "--script", "-"])?;
    await_focus(bad, 0)?;
    await_focus(good, 0)?;
    playing.play(NONSENSE)?;
    await_seen("the text after the nonsense", bad, |seen| seen.text() == "abhere")?;
    other.play("0 text there\n")?;
    await_seen("the other one's text", good, |seen| seen.text() == "there")?;
    let characters = host.lumenctl("status", &["--json"])?;
    let characters = String::from_utf8_lossy(&characters.stdout).replace(' ', "");
    ensure!(characters.contains("\"characters_refused\":1"), "ESC was not counted: {characters}");

    playing.play("0 flood 6\n0 text done\n")?;
    await_seen("the flood", bad, |seen| seen.presses().len() > 100)?;
    other.play(&taps())?;
    let tapped = |seen: &Seen| seen.presses().iter().filter(|code| **code == SPACE).count();
    await_seen("each of the other one's taps", good, |seen| {
        tapped(seen) == TAPS && seen.held() == Ok([].into())
    })?;
    let is_over = Seen::read(bad)?.text().ends_with("done");
    ensure!(!is_over, "the flood was over before the taps");
    await_seen("the end of the flood, with nothing down", bad, |seen| {
        seen.text().ends_with("done") && seen.held() == Ok([].into())
    })?;
    println!("the program of the flood saw {} taps", Seen::read(bad)?.presses().len());
    let played = playing.end("INT")?;
    played.unbroken()?;
    run("kill", &["-INT", &other.pid().to_string()])?;
    let report = other.finish()?;
    ensure!(report.number("/connections")? == 1.0 && report.number("/frames")? > 0.0, "{:#}", report.summary);
    ensure!(host.failed_units()?.is_empty(), "{}", host.failed_units()?);
    Ok(())
}
