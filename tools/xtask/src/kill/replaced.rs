//! Each stage's program is replaced while it runs, as an upgrade does, and then restarted by a death. Promise C7.
//!
//! Sabotage: keep in the process what a record has to keep, or refuse a caller whose program file is gone.

use std::{fs, path::PathBuf, thread, time::Duration};

use anyhow::{Context, Result, ensure};

use super::{scene, victim, witness::Desktop};

/// Between two stages.
const APART: Duration = Duration::from_secs(1);

/// Replaces the program of each of `stages` and kills what runs of the old one.
///
/// # Errors
/// The client noticed, or the new program is not what runs.
pub fn run(stages: &[&'static str]) -> Result<()> {
    scene::play(&[], Desktop::Same, |host| {
        for stage in stages {
            let pid = victim::running(host, stage)?;
            let place = host.programs().join(format!("lumen-{stage}"));
            let new = place.with_extension("new");
            fs::copy(&place, &new).with_context(|| format!("copying {}", place.display()))?;
            fs::rename(&new, &place)?;
            thread::sleep(APART);
            ensure!(is_gone(&program(pid)?), "{stage} still runs what lies there: nothing was replaced");
            let pid = victim::kill_and_wait(host, stage)?;
            ensure!(!is_gone(&program(pid)?), "{stage} runs its old program");
            println!("{stage:<14} replaced, and runs the new program");
            thread::sleep(APART);
        }
        Ok(())
    })
    .map(drop)
}

/// What a process runs.
fn program(pid: u32) -> Result<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).with_context(|| format!("what does {pid} run?"))
}

fn is_gone(program: &std::path::Path) -> bool {
    program.to_string_lossy().ends_with(" (deleted)")
}
