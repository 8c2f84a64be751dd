//! A death at each step of each stage's recovery. That a step was not come to is a failure as well. Promise C1.
//!
//! Sabotage: take a record out of the fd store once it is adopted, or leave a step out.

use anyhow::{Result, ensure};

use super::{
    places::{self, Place},
    scene, sounds,
    switch::{Switches, steps_of},
    witness::Desktop,
};

/// Kills each of `stages`, and its next incarnation at one step after the other.
///
/// # Errors
/// A step was not died at, or the client noticed.
pub fn run(stages: &[&'static str]) -> Result<()> {
    let groups = stages.iter().map(|stage| mixed(stage)).collect::<Result<_>>()?;
    let all = places::spread(groups);
    let wishes = places::wishes();
    let arguments: Vec<&str> = wishes.iter().map(String::as_str).collect();
    let (_, visited) = scene::play(&arguments, Desktop::Same, |host| {
        Ok(places::visit(host, &Switches::install(host)?, &all))
    })?;
    println!("{} steps, died at {}", all.len(), visited.deaths.len());
    ensure!(visited.missed.is_empty(), "not died at: {}", visited.missed.join(", "));
    Ok(())
}

/// The steps of `stage`, so that those before READY lie far apart.
fn mixed(stage: &'static str) -> Result<Vec<Place>> {
    let mut steps = steps_of(stage)?;
    // The probe hears nothing.
    steps.retain(|step| !sounds::is_one(step));
    let (early, late) = steps.split_at(steps.len().div_ceil(2));
    let mixed = (0..early.len()).flat_map(|n| [early.get(n), late.get(n)]).flatten();
    Ok(mixed.map(|step| Place { stage, step: step.clone(), ends: None }).collect())
}
