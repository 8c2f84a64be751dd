//! `cargo xtask kill`: kills the stages of a streaming constellation, again and again, and asks the client whether it
//! noticed. Promise C1 of docs/specification.md.
//!
//! The real binaries under the shipped units stream a moving desktop to the probe. In the same run a toy stage dies as
//! often: gaps are judged against its, since milliseconds alone would judge the machine.

mod plan;
mod residue;
pub mod soak;
mod toy;
mod witness;

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use lumen_stage::clock::now_ns;
use lumen_tests::{
    Constellation, Probe,
    constellation::{STAGES, Setup, run as command, wait},
};

use crate::bench::Spread;
use plan::{Blow, Dice};
use residue::Residue;
use toy::Toy;
use witness::Identity;

/// Promise C1, on a quiet machine.
const PROMISED: Spread = Spread { p50: Duration::from_millis(50), p99: Duration::from_millis(120) };
/// What a gap may be of the toy's, and two frames at 60 Hz more.
const TIMES_THE_TOYS: u32 = 4;
const TWO_FRAMES: Duration = Duration::from_millis(34);

/// A death that happened: who, and when on CLOCK_MONOTONIC.
struct Death {
    stage: &'static str,
    at_ns: u64,
}

/// Kills each of `stages` (all of them if empty) `count` times, and each pair of stages once if `pairs`.
///
/// # Errors
/// The client noticed, something is left over, or the constellation does not run.
pub fn run(count: u32, stages: &[String], pairs: bool, seed: u64) -> Result<()> {
    let chosen: Vec<&'static str> =
        STAGES.into_iter().filter(|stage| stages.is_empty() || stages.iter().any(|s| s == stage)).collect();
    ensure!(!chosen.is_empty(), "no such stage: there are {}", STAGES.join(", "));
    println!("seed {seed}");
    let mut dice = Dice::new(seed);
    let mut blows = plan::single(&chosen, count, &mut dice);
    if pairs {
        blows.extend(plan::pairs(&mut dice));
    }
    let host = Setup::stamp(&[]).start()?;
    let toy = Toy::start(&host)?;
    let probe = Probe::allowed(&host)?;
    // What the first session ever leaves in the allocators is no leak.
    probe.stream(&["--seconds", "2"])?.success()?;
    thread::sleep(Duration::from_secs(1));
    let before = Residue::of(&host)?;
    let seconds: Duration = blows.iter().map(|blow| blow.after).sum::<Duration>() * 3 / 2;
    let streaming = probe.start(&["--seconds", &(seconds.as_secs() + 20).to_string()])?;
    wait("the program in the desktop", Duration::from_secs(15), || {
        !host.processes("lumen-stamp").is_empty()
    })?;
    thread::sleep(Duration::from_secs(2));
    let identity = identity(&host)?;
    let (mut deaths, mut toys) = (Vec::new(), Vec::new());
    for blow in &blows {
        thread::sleep(blow.after);
        strike(&host, blow, &mut deaths)?;
        if toys.len() < count as usize {
            toys.push(toy.kill()?);
        }
    }
    thread::sleep(Duration::from_secs(3));
    let after = self::identity(&host)?;
    command("kill", &["-INT", &streaming.pid().to_string()])?;
    let report = streaming.finish()?;
    let toys = Spread::of(toy.gaps(&toys));
    witness::no_disconnect(&report)?;
    ensure!(identity == after, "the Output or the app is another: {identity:?} became {after:?}");
    ensure!(host.failed_units()?.is_empty(), "units failed: {}", host.failed_units()?);
    before.judge(&host)?;
    judge_gaps(&witness::arrivals(&report), &deaths, &chosen, toys)
}

fn identity(host: &Constellation) -> Result<Identity> {
    let units = host.systemctl(&["list-units", "--plain", "--no-legend", "lumen-output-*", "lumen-app-*"])?;
    let outputs = String::from_utf8_lossy(&units.stdout).into_owned();
    Ok(Identity { outputs, app: host.processes("lumen-stamp") })
}

fn strike(host: &Constellation, blow: &Blow, deaths: &mut Vec<Death>) -> Result<()> {
    let first = pid_when_running(host, blow.stage)?;
    let second = blow
        .second
        .map(|(stage, later)| Ok::<_, anyhow::Error>((stage, later, pid_when_running(host, stage)?)));
    let second = second.transpose()?;
    kill(first)?;
    deaths.push(Death { stage: blow.stage, at_ns: now_ns() });
    if let Some((stage, later, pid)) = second {
        thread::sleep(later);
        kill(pid)?;
        deaths.push(Death { stage, at_ns: now_ns() });
    }
    Ok(())
}

/// systemd shows 0 while the next incarnation is not yet forked.
fn pid_when_running(host: &Constellation, stage: &'static str) -> Result<u32> {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        match host.pid(stage) {
            Ok(pid) if pid > 0 => return Ok(pid),
            other if Instant::now() > end => {
                return other.with_context(|| format!("{stage} does not come back"));
            }
            _ => thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn kill(pid: u32) -> Result<()> {
    command("kill", &["-9", &pid.to_string()]).map(drop)
}

fn judge_gaps(arrivals: &[u64], deaths: &[Death], stages: &[&'static str], toys: Spread) -> Result<()> {
    println!(
        "{:<14}{:>8}{:>10}{:>10}{:>10}   milliseconds without a picture",
        "killed", "times", "p50", "p99", "max"
    );
    let row = |name: &str, gaps: &[Duration]| {
        let (spread, max) = (Spread::of(gaps.to_vec()), gaps.iter().max().copied().unwrap_or_default());
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        println!(
            "{name:<14}{:>8}{:>10.1}{:>10.1}{:>10.1}",
            gaps.len(),
            ms(spread.p50),
            ms(spread.p99),
            ms(max)
        );
    };
    let gaps_of = |stage: &str| -> Vec<Duration> {
        let deaths = deaths.iter().filter(|death| stage.is_empty() || death.stage == stage);
        deaths.filter_map(|death| witness::gap_after(arrivals, death.at_ns)).collect()
    };
    for stage in stages {
        row(stage, &gaps_of(stage));
    }
    let all = gaps_of("");
    row("all", &all);
    let spread = Spread::of(all);
    let limit = |toy: Duration| toy * TIMES_THE_TOYS + TWO_FRAMES;
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    println!("{:<14}{:>8}{:>10.1}{:>10.1}", "the toy", "", ms(toys.p50), ms(toys.p99));
    println!(
        "{:<14}{:>8}{:>10.1}{:>10.1}   4 × the toy + 2 frames",
        "limit",
        "",
        ms(limit(toys.p50)),
        ms(limit(toys.p99))
    );
    let kept = if spread.p50 <= PROMISED.p50 && spread.p99 <= PROMISED.p99 { "met" } else { "NOT met" };
    println!("{:<14}{:>8}{:>10.1}{:>10.1}   {kept}", "C1", "", ms(PROMISED.p50), ms(PROMISED.p99));
    ensure!(!deaths.is_empty() && spread.p50 <= limit(toys.p50), "the gap's p50 is beyond the toy's limit");
    ensure!(spread.p99 <= limit(toys.p99), "the gap's p99 is beyond the toy's limit");
    Ok(())
}
