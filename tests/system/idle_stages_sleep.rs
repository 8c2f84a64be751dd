//! Without a client the stages sleep; with one on a still screen they do next to nothing.
//!
//! Sabotage: poll for anything every 100 ms, encode each refresh of a screen on which nothing moves, or let vdisplayd keep its last
//! session's pulse while it waits for the next one.

use std::{collections::BTreeMap, thread, time::Duration};

use anyhow::{Result, ensure};
use lumen_tests::{
    Constellation, Probe,
    constellation::{STAGES, Setup, wait},
    effort::{Effort, resident},
    overview::{Overview, pids},
};

/// Promise P7: times a second that a stage may run while nobody is there.
const WAKEUPS: f64 = 3.0;
/// Promise P7: memory of all stages, in bytes.
const MEMORY: u64 = 100 << 20;
/// Promise P7: CPU on a still screen, of that on a moving one.
const STILL: f64 = 0.1;

fn efforts(host: &Constellation) -> Result<BTreeMap<&'static str, Effort>> {
    pids(host)?.into_iter().map(|(stage, pid)| Ok((stage, Effort::of(pid)?))).collect()
}

/// What each stage does in `span`.
fn spent(host: &Constellation, span: Duration) -> Result<BTreeMap<&'static str, Effort>> {
    let before = efforts(host)?;
    thread::sleep(span);
    let after = efforts(host)?;
    Ok(before.into_iter().map(|(stage, before)| (stage, after[stage].since(before))).collect())
}

fn judge_idle(host: &Constellation, when: &str) -> Result<()> {
    let span = Duration::from_secs(10);
    let spent = spent(host, span)?;
    for stage in STAGES {
        let a_second = spent[stage].runs as f64 / span.as_secs_f64();
        println!("{when}: {stage} runs {a_second:.1} times a second, {:?} in {span:?}", spent[stage].on_cpu);
        ensure!(a_second <= WAKEUPS, "{when}: {stage} runs {a_second} times a second");
    }
    Ok(())
}

#[test]
fn stages_without_a_client_sleep() -> Result<()> {
    let lease = "lease = \"1 s\"\n";
    let apps = "[apps]\nstamp = [\"/usr/lib/lumen/lumen-stamp\"]\n";
    let setup = Setup::default().config("apps", apps).config("captured", lease).config("encoded", lease);
    let host = setup.start()?;
    thread::sleep(Duration::from_secs(2));
    judge_idle(&host, "before the first session")?;
    let probe = Probe::allowed(&host)?;
    let watching = probe.start(&["--app", "stamp", "--seconds", "4"])?;
    thread::sleep(Duration::from_secs(3));
    let memory: u64 = pids(&host)?.into_values().map(resident).sum::<Result<u64>>()?;
    println!("{} MiB in RAM of all stages while one streams", memory >> 20);
    ensure!(memory <= MEMORY, "{memory} bytes in RAM");
    watching.finish()?.success()?;
    wait("the Output to go", Duration::from_secs(20), || host.processes("lumen-stamp").is_empty())?;
    thread::sleep(Duration::from_secs(2));
    ensure!(Overview::of(&host)?.sessions().is_empty(), "there is a session");
    judge_idle(&host, "after a session")?;
    // No app's end wakes vdisplayd after this one, and its watchdog must not take that for a hang.
    let before = pids(&host)?;
    probe.stream(&["--seconds", "1"])?.success()?;
    wait("the desktop to go", Duration::from_secs(20), || host.processes("sway").is_empty())?;
    thread::sleep(Duration::from_secs(5));
    ensure!(pids(&host)? == before, "stages died after a session without an app: {}", host.logs());
    Ok(())
}

/// CPU of all stages in 4 s of a session whose first seconds have passed.
fn streaming(arguments: &[&str]) -> Result<Duration> {
    let host = Setup::stamp(arguments).start()?;
    let probe = Probe::allowed(&host)?;
    let watching = probe.start(&["--seconds", "9"])?;
    thread::sleep(Duration::from_secs(4));
    let spent = spent(&host, Duration::from_secs(4))?;
    watching.finish()?.success()?;
    for (stage, effort) in &spent {
        println!("{arguments:?}: {stage} {:?}, {} times in 4 s", effort.on_cpu, effort.runs);
    }
    Ok(spent.values().map(|effort| effort.on_cpu).sum())
}

#[test]
fn a_still_screen_costs_a_tenth_of_a_moving_one() -> Result<()> {
    let (moving, still) = (streaming(&[])?, streaming(&["--still"])?);
    let ratio = still.as_secs_f64() / moving.as_secs_f64();
    println!("CPU of all stages in 4 s: moving {moving:?}, still {still:?}, ratio {ratio:.3}");
    ensure!(ratio <= STILL, "a still screen costs {ratio} of a moving one");
    Ok(())
}
