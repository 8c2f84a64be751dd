//! Deaths at random phases, one stage after the other or two at once. Promise C1.
//!
//! Sabotage: leave a socket or a record out of the fd store, start the sequence anew, or release the Output at a hang-up.

use std::{thread, time::Duration};

use anyhow::Result;
use lumen_stage::clock::now_ns;
use lumen_tests::Constellation;

use super::{
    gaps::{self, Death, IN_PAIRS},
    plan::Blow,
    scene,
    toy::Toy,
    victim,
    witness::{self, Desktop},
};

/// Strikes all `blows`, and the toy between them.
///
/// # Errors
/// The client noticed, something is left over, or the gaps are longer than the toy's allow.
pub fn run(blows: &[Blow]) -> Result<()> {
    let (report, (deaths, toys)) = scene::play(&[], Desktop::Same, |host| {
        let toy = Toy::start(host)?;
        let (mut deaths, mut toys) = (Vec::new(), Vec::new());
        for blow in blows {
            // Each in the middle between two of the other's, so that neither waits for the other's start.
            thread::sleep(blow.after / 2);
            toys.push(toy.kill()?);
            thread::sleep(blow.after / 2);
            strike(host, blow, &mut deaths)?;
        }
        thread::sleep(Duration::from_secs(1));
        Ok((deaths, toy.gaps(&toys)))
    })?;
    gaps::judge(&witness::arrivals(&report), &deaths, &toys)
}

/// Kills whom `blow` says, and adds the death to `deaths`.
///
/// # Errors
/// There is nobody to kill.
pub fn strike(host: &Constellation, blow: &Blow, deaths: &mut Vec<Death>) -> Result<()> {
    let first = victim::running(host, blow.stage)?;
    let second = blow.second.map(|(stage, later)| victim::running(host, stage).map(|pid| (later, pid)));
    let second = second.transpose()?;
    victim::send("KILL", first)?;
    let mut death = Death { whose: blow.stage, at_ns: now_ns() };
    if let Some((later, pid)) = second {
        thread::sleep(later);
        victim::send("KILL", pid)?;
        death = Death { whose: IN_PAIRS, at_ns: now_ns() };
    }
    deaths.push(death);
    Ok(())
}
