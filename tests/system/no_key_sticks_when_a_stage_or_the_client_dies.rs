//! Keys that are down when inputd, transportd or the client dies: what the program holds in the end is what the client
//! holds, and nothing goes up twice.
//!
//! Sabotage: keep the held set when the client is gone (transportd), do not say what is held again on a new connection
//! (lumen-core) or a new link (transportd), or do not press it on a fresh Output (inputd).

use std::{
    fs,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use lumen_see::Seen;
use lumen_tests::{
    Constellation, Probe,
    constellation::{run, wait},
};

use crate::what_is_typed_arrives_in_the_program::desk;

const LONG: Duration = Duration::from_secs(15);

/// KEY_LEFTSHIFT and KEY_A.
const HELD: [u32; 2] = [30, 42];

fn holds(journal: &Path, codes: &[u32]) -> bool {
    Seen::read(journal).is_ok_and(|seen| seen.held() == Ok(codes.iter().copied().collect()))
}

fn await_held(host: &Constellation, journal: &Path, codes: &[u32], what: &str) -> Result<Duration> {
    let began = Instant::now();
    let said = || format!("{:#?}\n{}", Seen::read(journal).map(|seen| seen.held()), host.status());
    wait(what, LONG, || holds(journal, codes)).with_context(said)?;
    Ok(began.elapsed())
}

fn kill(pid: u32) -> Result<()> {
    ensure!(run("kill", &["-KILL", &pid.to_string()])?.status.success(), "{pid} is gone already");
    Ok(())
}

#[test]
fn no_key_sticks_when_a_stage_or_the_client_dies() -> Result<()> {
    let (host, journal) = desk("idle = \"2 s\"\n")?;
    let probe = Probe::allowed(&host)?;
    let script = probe.file("script");
    fs::write(&script, "500 press 42\n600 press 30\n")?;
    let running = probe.start(&["--seconds", "60", "--script", &script.to_string_lossy()])?;
    await_held(&host, &journal, &HELD, "both keys to be down")?;
    for stage in ["inputd", "transportd", "inputd", "transportd"] {
        let things = Seen::read(&journal)?.0.len();
        kill(host.pid(stage)?)?;
        let anew = || Seen::read(&journal).is_ok_and(|seen| seen.0.len() > things);
        wait("the keys to go up", LONG, anew).with_context(|| format!("{stage}: {}", host.status()))?;
        let took = await_held(&host, &journal, &HELD, "both keys to be down again")?;
        println!(
            "{stage} was killed; what the client holds is held again, {took:?} after the first that was seen of it"
        );
    }
    kill(running.pid())?;
    let took = await_held(&host, &journal, &[], "the keys of a client that is gone to be up")?;
    println!("the client was killed; its keys are up after {took:?}");
    drop(running.finish());
    ensure!(host.failed_units()?.is_empty(), "{}", host.failed_units()?);
    Ok(())
}

#[test]
fn keys_that_go_up_and_down_while_inputd_dies_end_up_as_the_client_has_them() -> Result<()> {
    let (host, journal) = desk("")?;
    let probe = Probe::allowed(&host)?;
    let script = probe.file("script");
    // 400 presses in 8 s, each of another one of ten keys; the last key stays down.
    let taps = (0..400).map(|n| {
        let (at_ms, code) = (500 + n * 20, 16 + n % 10);
        format!("{at_ms} press {code}\n{} release {code}\n", at_ms + 10)
    });
    fs::write(&script, taps.collect::<String>() + "8600 press 57\n")?;
    let running = probe.start(&["--seconds", "11", "--script", &script.to_string_lossy()])?;
    wait("the first key", LONG, || Seen::read(&journal).is_ok_and(|seen| !seen.presses().is_empty()))?;
    for _ in 0..8 {
        sleep(Duration::from_millis(800));
        kill(host.pid("inputd")?)?;
    }
    await_held(&host, &journal, &[57], "only the last key to be down")?;
    let seen = Seen::read(&journal)?;
    println!("of 401 presses {} were seen across 8 kills of inputd", seen.presses().len());
    ensure!(seen.presses().len() > 200, "hardly any of 401 presses: {}", seen.presses().len());
    running.finish()?.success()?;
    Ok(())
}
