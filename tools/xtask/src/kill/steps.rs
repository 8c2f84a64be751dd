//! A death at each step of each stage's recovery. That a step was not come to is a failure as well. Promise C1.
//!
//! Sabotage: take a record out of the fd store once it is adopted, or leave a step out.

use std::{thread, time::Duration};

use anyhow::{Result, ensure};
use lumen_tests::{Constellation, constellation::wait};

use super::{
    scene,
    switch::{Switches, steps_of},
    victim,
    witness::Desktop,
};

/// Between two steps, because ten starts within a minute that never were READY ask for a pause of ten seconds.
pub const APART: Duration = Duration::from_millis(1300);
/// Within which the next incarnation comes to any step: the client's next wish takes longest.
const COMES: Duration = Duration::from_secs(6);
/// For so long the client asks for another bitrate or refresh rate every other second, so that transportd writes it down.
const WISHES_S: usize = 400;

/// Kills each of `stages`, and its next incarnation at one step after the other.
///
/// # Errors
/// A step was not died at, or the client noticed.
pub fn run(stages: &[&'static str]) -> Result<()> {
    let all = order(stages)?;
    let wishes = wishes();
    let arguments: Vec<&str> = wishes.iter().flat_map(|wish| ["--change", wish]).collect();
    let (_, missed) = scene::play(&arguments, Desktop::Same, |host| {
        let switches = Switches::install(host)?;
        let mut missed = Vec::new();
        for (stage, step) in &all {
            thread::sleep(APART);
            if let Err(error) = die_at(host, &switches, stage, step) {
                println!("{error:#}");
                switches.disarm(stage);
                missed.push(format!("{stage} at {step}"));
            }
        }
        Ok(missed)
    })?;
    println!("{} steps, died at {}", all.len(), all.len() - missed.len());
    ensure!(missed.is_empty(), "not died at: {}", missed.join(", "));
    Ok(())
}

/// Changes of the stream, for the probe.
pub fn wishes() -> Vec<String> {
    const TURN: [&str; 4] = ["bitrate=9M", "mode=1280x720@50", "bitrate=10M", "mode=1280x720@60"];
    let wish = |(n, what)| format!("{}:{what}", 2 * n + 2);
    TURN.into_iter().cycle().enumerate().take(WISHES_S / 2).map(wish).collect()
}

/// Lets the next incarnation of `stage` die at `step`, and waits until it did.
///
/// # Errors
/// It did not come there.
pub fn die_at(host: &Constellation, switches: &Switches, stage: &str, step: &str) -> Result<()> {
    let pid = victim::running(host, stage)?;
    switches.arm(stage, "die", step, pid)?;
    // vdisplayd is asked for an Output only when captured comes back.
    let asking = if stage == "vdisplayd" { Some(victim::running(host, "captured")?) } else { None };
    victim::send("KILL", pid)?;
    asking.map_or(Ok(()), |captured| victim::send("KILL", captured))?;
    wait(&format!("{stage} to die at {step}"), COMES, || !switches.is_armed(stage))
}

/// All steps of `stages`, so that those of one stage lie far apart, and those before READY too.
fn order(stages: &[&'static str]) -> Result<Vec<(&'static str, String)>> {
    let mut placed = Vec::new();
    for stage in stages {
        let steps = steps_of(stage)?;
        let (early, late) = steps.split_at(steps.len().div_ceil(2));
        let mixed = (0..early.len()).flat_map(|n| [early.get(n), late.get(n)]).flatten();
        let share = 1.0 / steps.len() as f64;
        placed.extend(mixed.enumerate().map(|(n, step)| ((n as f64 + 0.5) * share, *stage, step.clone())));
    }
    placed.sort_by(|(one, ..), (other, ..)| one.total_cmp(other));
    Ok(placed.into_iter().map(|(_, stage, step)| (stage, step)).collect())
}
