//! `cargo xtask soak`: sessions come and go, two at a time and at changing modes, beside one of the genuine Moonlight client
//! that lasts, and a stage dies each minute. No session may break off, and in the end every stage holds what it held in the
//! beginning, and PipeWire no sink of lumen's. Promise P8 in small.
//!
//! Sabotage: let a session's sink stay, or have a client that is revoked keep its descriptor.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use lumen_tests::{Constellation, Probe, constellation::STAGES};

use super::{
    lasting::Lasting,
    moonlight,
    plan::Dice,
    residue::Residue,
    victim,
    witness::{self, Desktop},
};

const MODES: [&str; 4] = ["1280x720@60", "800x600@30", "1366x768@60", "640x360@120"];
/// Clients at once.
const CLIENTS: u64 = 2;
/// Sessions of 2 to 8 s.
const SHORTEST_S: u64 = 2;
const LONGEST_S: u64 = 8;
const A_KILL_EACH: Duration = Duration::from_secs(60);

/// Runs for `minutes`.
///
/// # Errors
/// A session broke off, or something is left over.
pub fn run(minutes: u32, seed: u64) -> Result<()> {
    println!("seed {seed}");
    let (host, _pipewire, client, _) = moonlight::prepare()?;
    // What the first session of lumen/1 ever leaves is no leak either.
    Probe::allowed(&host)?.stream(&["--seconds", "2"])?.success()?;
    let before = Residue::of(&host)?;
    let end = Instant::now() + Duration::from_secs(u64::from(minutes) * 60);
    let lasting = Lasting::start(&client)?;
    let (sessions, deaths, failed) = (AtomicU32::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let going_on = || Instant::now() < end && !failed.load(Relaxed);
    // A session that broke off ends the soak, not only its own client.
    let heed = |result: Result<()>| {
        failed.fetch_or(result.is_err(), Relaxed);
        result
    };
    let results: Vec<Result<()>> = thread::scope(|scope| {
        let client = |n| Dice::new(seed * 7 + n + 1);
        let clients = (0..CLIENTS)
            .map(client)
            .map(|dice| scope.spawn(|| heed(come_and_go(&host, dice, &sessions, &going_on))));
        let clients: Vec<_> = clients.collect();
        let killer = scope.spawn(|| heed(kill_each_minute(&host, Dice::new(seed), &deaths, &going_on)));
        let panicked = |_| Err(anyhow::anyhow!("a thread panicked"));
        clients.into_iter().chain([killer]).map(|thread| thread.join().unwrap_or_else(panicked)).collect()
    });
    results.into_iter().collect::<Result<()>>()?;
    lasting.finish(deaths.load(Relaxed))?;
    println!("{} sessions in {minutes} minutes", sessions.load(Relaxed));
    ensure!(host.failed_units()?.is_empty(), "units failed: {}", host.failed_units()?);
    moonlight::release(&host, &client)?;
    before.judge(&host)?;
    host.end().map(drop)
}

fn come_and_go(
    host: &Constellation,
    mut dice: Dice,
    sessions: &AtomicU32,
    going_on: &impl Fn() -> bool,
) -> Result<()> {
    let probe = Probe::allowed(host)?;
    while going_on() {
        let mode = MODES.get(dice.below(MODES.len() as u64) as usize).copied().unwrap_or("1280x720@60");
        let seconds = (SHORTEST_S + dice.below(LONGEST_S - SHORTEST_S)).to_string();
        let report = probe.stream(&["--mode", mode, "--seconds", &seconds])?;
        witness::no_disconnect(&report, Desktop::Same).with_context(|| format!("{mode} for {seconds} s"))?;
        sessions.fetch_add(1, Relaxed);
        thread::sleep(Duration::from_millis(dice.below(500)));
    }
    Ok(())
}

fn kill_each_minute(
    host: &Constellation,
    mut dice: Dice,
    deaths: &AtomicU64,
    going_on: &impl Fn() -> bool,
) -> Result<()> {
    let mut next = Instant::now() + A_KILL_EACH / 4;
    while going_on() {
        thread::sleep(Duration::from_millis(200));
        if Instant::now() >= next {
            let stage = STAGES.get(dice.below(STAGES.len() as u64) as usize).copied().unwrap_or("encoded");
            victim::send("KILL", victim::running(host, stage)?)?;
            println!("killed {stage}");
            deaths.fetch_add(u64::from(stage == "transportd"), Relaxed);
            next += A_KILL_EACH;
        }
    }
    Ok(())
}
