//! What the stages stand on: lumen's bus dies, the user manager executes itself anew. After each of them every stage
//! dies once, because only then it shows whether the stages found each other again and the fd store is still whole.
//!
//! Sabotage: end a stage with its bus, or do not take the name again on the new one.

use std::{thread, time::Duration};

use anyhow::{Result, ensure};
use lumen_tests::{
    Constellation,
    constellation::{STAGES, text, wait},
};

use super::{scene, victim, witness::Desktop};

/// Between two harms.
const APART: Duration = Duration::from_secs(1);

/// Kills the bus, lets systemd execute itself anew.
///
/// # Errors
/// The client noticed.
pub fn run() -> Result<()> {
    scene::play(&[], Desktop::Same, |host| {
        let before = pids(host)?;
        victim::kill_and_wait(host, "bus")?;
        thread::sleep(APART);
        ensure!(pids(host)? == before, "a stage died with the bus: {before:?} became {:?}", pids(host)?);
        println!("the bus died, and no stage with it");
        kill_each(host)?;
        let before = pids(host)?;
        let output = host.systemctl(&["daemon-reexec"])?;
        ensure!(output.status.success(), "daemon-reexec: {}", text(&output));
        wait("systemd to answer again", Duration::from_secs(10), || pids(host).is_ok())?;
        ensure!(pids(host)? == before, "a stage died: {before:?} became {:?}", pids(host)?);
        println!("systemd executed itself anew, and no stage died");
        kill_each(host)
    })
    .map(drop)
}

fn pids(host: &Constellation) -> Result<Vec<u32>> {
    STAGES.into_iter().map(|stage| host.pid(stage)).collect()
}

fn kill_each(host: &Constellation) -> Result<()> {
    STAGES.into_iter().try_for_each(|stage| {
        victim::kill_and_wait(host, stage)?;
        thread::sleep(APART);
        Ok(())
    })
}
