//! Keys that are down or tapped when inputd, transportd or the client dies: what the program holds in the end is what the client
//! holds, nothing goes up or down twice, and of transportd's death a held key knows nothing.
//!
//! Sabotage: keep the held set when the client is gone, or do not record it (transportd), do not say what is held again on a
//! new connection (lumen-core) or a new link (transportd), do not press it on a fresh Output (inputd), ask for an Output once (inputd), or
//! restart a stage after a while (its unit).

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use lumen_see::{Seen, Thing, held_from};
use lumen_tests::{
    Constellation, Probe,
    constellation::{run, wait},
    overstays::{Held, client, spans},
};

use crate::what_is_typed_arrives_in_the_program::{await_focus, desk};

const LONG: Duration = Duration::from_secs(15);

/// Within this the program holds what the client holds.
const SOON: Duration = Duration::from_millis(100);

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
    for _ in 0..2 {
        let things = Seen::read(&journal)?.0.len();
        kill(host.pid("inputd")?)?;
        let anew = || Seen::read(&journal).is_ok_and(|seen| seen.0.len() > things);
        wait("the keys to go up", LONG, anew).with_context(|| host.status())?;
        let took = await_held(&host, &journal, &HELD, "both keys to be down again")?;
        println!(
            "inputd was killed; what is held is held again, {took:?} after the first that was seen of it"
        );
        let before = Seen::read(&journal)?.0.len();
        let pid = host.pid("transportd")?;
        kill(pid)?;
        let anew = || host.pid("transportd").is_ok_and(|anew| anew != 0 && anew != pid);
        wait("the next transportd", LONG, anew)?;
        wait("the client to be back", LONG, || host.status().contains("streams"))
            .with_context(|| host.status())?;
        sleep(Duration::from_secs(1));
        let seen = Seen(Seen::read(&journal)?.0.split_off(before));
        let is_key = |thing: &Thing| matches!(thing, Thing::Key { .. } | Thing::Enter(_) | Thing::Leave);
        ensure!(!seen.0.iter().any(is_key), "transportd was killed, and its client's keys moved: {seen:?}");
    }
    kill(running.pid())?;
    let took = await_held(&host, &journal, &[], "the keys of a client that is gone to be up")?;
    println!("the client was killed; its keys are up after {took:?}");
    drop(running.finish());
    ensure!(host.failed_units()?.is_empty(), "{}", host.failed_units()?);
    Ok(())
}

/// Bursts of presses, and presses of one: ten thousand in all, and some more while the session gets another compositor.
const BURSTS: usize = 20;
const MORE: usize = 2;
const PRESSES: usize = 500;

/// KEY_SPACE is down, alone, for a second after each burst.
const REST: u32 = 57;

/// Presses of ten keys in turn, 4 ms after one another and 2 ms long.
fn bursts() -> String {
    let mut script = String::new();
    for burst in 0..BURSTS + MORE {
        let start_ms = 500 + burst * (PRESSES * 4 + 1100);
        for n in 0..PRESSES {
            let (at_ms, code) = (start_ms + n * 4, 16 + n % 10);
            script += &format!("{at_ms} press {code}\n{} release {code}\n", at_ms + 2);
        }
        let end_ms = start_ms + PRESSES * 4;
        script += &format!("{end_ms} press {REST}\n{} release {REST}\n", end_ms + 1000);
    }
    script
}

/// How often the key that is down after each burst went down.
fn rests(seen: &Seen) -> usize {
    seen.presses().iter().filter(|code| **code == REST).count()
}

#[test]
fn ten_thousand_presses_while_stages_die_leave_nothing_down_and_press_nothing_twice() -> Result<()> {
    let (host, journal) = desk("")?;
    let probe = Probe::allowed(&host)?;
    let script = probe.file("script");
    fs::write(&script, bursts())?;
    let (script, acts) = (script.to_string_lossy(), probe.file("acts"));
    let log = acts.to_string_lossy();
    let running = probe.start(&["--seconds", "72", "--script", &script, "--acts-log", &log])?;
    let read = || Seen::read(&journal).unwrap_or_default();
    for (burst, dying) in
        (0..BURSTS).zip([&["inputd"][..], &["transportd"], &["inputd", "transportd"]].iter().cycle())
    {
        let before = read().presses().len();
        let under_way = || read().presses().len() > before + PRESSES / 5;
        wait("some of the burst", LONG, under_way)
            .with_context(|| format!("burst {burst}: {}", host.status()))?;
        for stage in *dying {
            kill(host.pid(stage)?)?;
        }
        let at_rest = || holds(&journal, &[REST]);
        let told = || format!("burst {burst}, {dying:?}: {:?}\n{}", read().held(), host.status());
        wait("nothing but the key after the burst to be down", LONG, at_rest).with_context(told)?;
        wait("nothing to be down", LONG, || holds(&journal, &[])).with_context(told)?;
    }
    let (seen, kept) = (read(), probe.file("kept"));
    fs::copy(&journal, &kept)?;
    let things = another_compositor(&host, &journal)?;
    running.finish()?.success()?;
    seen.held()?;
    let (sent, got, rests) = (BURSTS * PRESSES, seen.presses().len(), rests(&seen));
    println!("of {sent} presses {} were seen across {BURSTS} rounds of kills", got - rests);
    // What is down when inputd dies goes down once more, and taps of its last moment are lost.
    ensure!(
        (sent / 2..=sent + BURSTS).contains(&(got - rests)) && rests == BURSTS,
        "{got} of {sent}, {rests}"
    );
    let acts = fs::read_to_string(&acts)?;
    let acts_ns: Vec<u64> = acts.lines().filter_map(|line| line.parse().ok()).collect();
    ensure!(acts_ns.len() == bursts().lines().count(), "{} acts were done", acts_ns.len());
    let client = client(&bursts(), &acts_ns);
    let kept = held_from(&kept)?;
    let is_before = |(at, _): &(u64, BTreeSet<u32>)| kept.last().is_some_and(|(last, _)| at <= last);
    let before = client.partition_point(is_before);
    judge_spans(&client[..before], &kept, LATE_AT_MOST)?;
    judge_spans(&client, &held_from(&journal)?.split_off(things), 0)?;
    ensure!(host.failed_units()?.is_empty(), "{}", host.failed_units()?);
    Ok(())
}

/// Kills the session's sway amid a burst. Its program is shown in the next one, and holds what the client holds; how many things were seen
/// before it was.
fn another_compositor(host: &Constellation, journal: &Path) -> Result<usize> {
    let read = || Seen::read(journal).unwrap_or_default();
    let before = read().presses().len();
    wait("some of the burst", LONG, || read().presses().len() > before + PRESSES / 5)?;
    let killed = Instant::now();
    host.systemctl(&["kill", "--signal=KILL", "lumen-output-*.service"])?;
    let shown = |things: usize| {
        let is_shown = |thing: &Thing| matches!(thing, Thing::Shown { .. });
        read().0.iter().skip(things).position(is_shown).map(|place| things + place)
    };
    let first = shown(0).context("the first program was never shown")?;
    wait("the program in another sway", LONG, || shown(first + 1).is_some())
        .with_context(|| host.status())?;
    let things = shown(first + 1).context("it was shown")?;
    await_focus(journal, things)?;
    println!("sway was killed; its program has the keyboard of another one after {:?}", killed.elapsed());
    wait("nothing but the key after a burst to be down", LONG, || holds(journal, &[REST]))
        .with_context(|| host.status())?;
    wait("nothing to be down", LONG, || holds(journal, &[])).with_context(|| host.status())?;
    Ok(things)
}

/// Of the rounds of kills, in how many the program may hold something else than the client for longer than [`SOON`]. Because a machine
/// may be busy with something else for that long.
const LATE_AT_MOST: usize = BURSTS / 4;

/// The program held something else than its client for no longer than [`SOON`], save `late_at_most` times; looks at the client from the
/// first on that the program saw.
fn judge_spans(client: &[(u64, BTreeSet<u32>)], program: &Held, late_at_most: usize) -> Result<()> {
    let (from, _) = program.first().context("the program saw nothing")?;
    let so_far = client.iter().rposition(|(at, _)| at <= from);
    let since = client.iter().skip(so_far.unwrap_or(0));
    let since: Held = since.map(|(at, held)| (*at.max(from), held.clone())).collect();
    let mut spans = spans(&since, program);
    spans.sort_unstable();
    let late = spans.iter().filter(|span| **span > SOON).count();
    let longest: Vec<&Duration> = spans.iter().rev().take(5).collect();
    println!(
        "the program held something else {} times, {late} times over {SOON:?}; longest: {longest:?}",
        spans.len()
    );
    ensure!(late <= late_at_most, "{late} times over {SOON:?}, longest: {longest:?}");
    Ok(())
}
