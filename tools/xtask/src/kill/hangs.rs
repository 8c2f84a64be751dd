//! Stages that hang: each is stopped by a signal, and the frame loop of encoded hangs in the encoder. Promise C5.
//!
//! Sabotage: feed the watchdog without asking the pulses, or never ask systemd for the limit of a session.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use lumen_tests::{Constellation, constellation::wait};

use super::{scene, switch::Switches, victim, witness::Desktop};

/// Promise C5: until the watchdog has killed it.
const STOPPED: Duration = Duration::from_millis(2300);
/// The same for a loop that hangs beside others that go on.
const BLOCKED: Duration = Duration::from_secs(4);
/// Longest wait for a watchdog, to tell late from never: without a session it would take thirty.
const NEVER: Duration = Duration::from_secs(10);
/// Between two hangs.
const APART: Duration = Duration::from_secs(2);

/// Stops each of `stages`, then lets encoded hang.
///
/// # Errors
/// A watchdog did not come, or the client noticed.
pub fn run(stages: &[&'static str]) -> Result<()> {
    scene::play(&[], Desktop::Same, |host| {
        for stage in stages {
            thread::sleep(APART);
            let pid = victim::running(host, stage)?;
            victim::send("STOP", pid)?;
            await_watchdog(host, stage, pid, STOPPED)?;
        }
        thread::sleep(APART);
        let switches = Switches::install(host)?;
        let pid = victim::kill_and_wait(host, "encoded")?;
        thread::sleep(APART);
        switches.arm("encoded", "hang", "encoding", 0)?;
        wait("a picture to be encoded", Duration::from_secs(2), || !switches.is_armed("encoded"))?;
        await_watchdog(host, "encoded in its encoder", pid, BLOCKED)
    })
    .map(drop)
}

fn await_watchdog(host: &Constellation, who: &str, pid: u32, limit: Duration) -> Result<()> {
    let hung = Instant::now();
    wait(&format!("the watchdog of {who}"), NEVER, || !victim::is_there(pid))?;
    let took = hung.elapsed();
    let stage = who.split(' ').next().unwrap_or(who);
    victim::back(host, stage, pid)?;
    let ms = |duration: Duration| duration.as_millis();
    let verdict = if took <= limit { "met" } else { "NOT met" };
    let (took, back, limit) = (ms(took), ms(hung.elapsed()), ms(limit));
    println!("{who:<24} killed after {took} ms, back after {back} ms   C5, {limit} ms: {verdict}");
    Ok(())
}
