//! Every core is busy for minutes: a slow stage is no stage that hangs. Promise C5.
//!
//! Sabotage: take a loop that was silent for a tenth of a second for hung.

use std::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use anyhow::{Result, ensure};

use super::{scene, victim, witness::Desktop};

/// Lets two threads a core do nothing for `minutes` while each of `stages` streams.
///
/// # Errors
/// A stage was restarted, or the client noticed.
pub fn run(stages: &[&'static str], minutes: f64) -> Result<()> {
    let threads = 2 * thread::available_parallelism()?.get();
    let (report, ()) = scene::play(&[], Desktop::Same, |host| {
        let pids = || stages.iter().map(|stage| victim::running(host, stage)).collect::<Result<Vec<_>>>();
        let before = pids()?;
        burn(threads, Duration::from_secs_f64(minutes * 60.0));
        let after = pids()?;
        let restarted = stages.iter().zip(before.iter().zip(&after)).filter(|(_, (then, now))| then != now);
        let names: Vec<_> = restarted.map(|(stage, _)| *stage).collect();
        ensure!(names.is_empty(), "restarted although they only were slow: {}", names.join(", "));
        Ok(())
    })?;
    println!(
        "{} pictures in {minutes} minutes with {threads} busy threads, no stage restarted",
        report.frames.len()
    );
    Ok(())
}

fn burn(threads: usize, time: Duration) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    spin_loop();
                }
            });
        }
        thread::sleep(time);
        is_over.store(true, Relaxed);
    });
}
