//! How long no picture came around each death, beside the toy's.

use std::time::Duration;

use anyhow::{Result, ensure};
use lumen_tests::constellation::run as command;

use super::witness;
use crate::bench::Spread;

/// Promise C1, on a quiet machine.
const PROMISED: Spread = Spread { p50: Duration::from_millis(50), p99: Duration::from_millis(120) };
/// What a gap may be of the toy's, and two frames at 60 Hz more.
const TIMES_THE_TOYS: u32 = 4;
const TWO_FRAMES: Duration = Duration::from_millis(34);

/// Whose deaths those of pairs are.
pub const IN_PAIRS: &str = "in pairs";

/// A death that happened: who, and when on CLOCK_MONOTONIC.
#[derive(Clone, Copy)]
pub struct Death {
    /// Who died, or [`IN_PAIRS`].
    pub whose: &'static str,
    /// When; of a pair the second.
    pub at_ns: u64,
}

impl Death {
    fn gap(&self, arrivals: &[u64]) -> Option<Duration> {
        let gap = if self.whose == IN_PAIRS { witness::gap_since } else { witness::gap_after };
        gap(arrivals, self.at_ns)
    }
}

/// Prints the gaps in `arrivals` of pictures, victim by victim, and returns all of them.
pub fn print(arrivals: &[u64], deaths: &[Death]) -> Vec<Duration> {
    print_of("a picture", arrivals, deaths)
}

/// The same of whatever `what` is.
pub fn print_of(what: &str, arrivals: &[u64], deaths: &[Death]) -> Vec<Duration> {
    println!("{:<14}{:>8}{:>10}{:>10}{:>10}   ms without {what}", "killed", "times", "p50", "p99", "max");
    let mut names: Vec<&str> = deaths.iter().map(|death| death.whose).collect();
    names.sort_unstable();
    names.dedup();
    let gaps_of = |name: &str| -> Vec<Duration> {
        let deaths = deaths.iter().filter(|death| name.is_empty() || death.whose == name);
        deaths.filter_map(|death| death.gap(arrivals)).collect()
    };
    for name in names {
        row(name, &gaps_of(name));
    }
    let all = gaps_of("");
    row("all", &all);
    all
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn row(name: &str, gaps: &[Duration]) {
    let (spread, max) = (Spread::of(gaps.to_vec()), gaps.iter().max().copied().unwrap_or_default());
    let (p50, p99, max) = (ms(spread.p50), ms(spread.p99), ms(max));
    println!("{name:<14}{:>8}{p50:>10.1}{p99:>10.1}{max:>10.1}", gaps.len());
}

/// When and on what machine these figures came out.
fn place() -> Result<String> {
    let cpus = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown CPUs", |(_, model)| model.trim());
    let count = std::thread::available_parallelism()?;
    let date = String::from_utf8(command("date", &["--utc", "+%F"])?.stdout)?;
    Ok(format!("on {count} of {model}, {}", date.trim()))
}

/// Judges the gaps in `arrivals` against the toy's in the same run.
///
/// # Errors
/// They are longer than they may be.
pub fn judge(arrivals: &[u64], deaths: &[Death], toys: &[Duration]) -> Result<()> {
    let gaps = print(arrivals, deaths);
    ensure!(gaps.len() == deaths.len(), "of {} deaths {} lie in the stream", deaths.len(), gaps.len());
    row("the toy", toys);
    println!("{}", place()?);
    let (spread, toy) = (Spread::of(gaps), Spread::of(toys.to_vec()));
    // A toy that was lucky does not make a kept promise a broken one.
    let limit = |toy: Duration, promised: Duration| (toy * TIMES_THE_TOYS + TWO_FRAMES).max(promised);
    let limit = Spread { p50: limit(toy.p50, PROMISED.p50), p99: limit(toy.p99, PROMISED.p99) };
    let line = |name: &str, of: Spread, what: &str| {
        println!("{name:<14}{:>8}{:>10.1}{:>10.1}   {what}", "", ms(of.p50), ms(of.p99));
    };
    line("limit", limit, "4 × the toy + 2 frames, or C1");
    let is_met = spread.p50 <= PROMISED.p50 && spread.p99 <= PROMISED.p99;
    line("C1", PROMISED, if is_met { "met" } else { "NOT met" });
    ensure!(spread.p50 <= limit.p50, "the gap's p50 is beyond the toy's limit");
    ensure!(spread.p99 <= limit.p99, "the gap's p99 is beyond the toy's limit");
    Ok(())
}
