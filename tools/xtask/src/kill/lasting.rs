//! One stream of the genuine Moonlight client, with sound, that lasts as long as one wishes: it stays whole, and alone on its
//! host what the stages hold does not grow. Promise P8.
//!
//! Sabotage: stop a session's sound after its first second, push each datagram's number onto a list in transportd's `video` (seen
//! with `--alone --minutes 60`), or never take a stopped sink's node away.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use lumen_tests::{Constellation, Moonlight, constellation::STAGES, moonlight::Playing};

use super::{moonlight, residue::Held};

/// Small, because others stream beside it. Neither pictures nor frames' heads are kept: there are gigabytes of them.
const STREAM: [&str; 10] = [
    "--mode",
    "640x360x60",
    "--seconds",
    "1000000",
    "--frames-log",
    "/dev/null",
    "--dump",
    "",
    "--sound",
    "/dev/null",
];
/// Promise P8: growth of a stage's resident memory, KiB an hour.
const GROWTH: f64 = 100.0;
/// Runs shorter than this say little of growth by the hour: it is printed, and judged by what was there in the beginning.
const AN_HOUR: Duration = Duration::from_secs(3600);
/// Between two looks at what the stages hold.
const LOOK: Duration = Duration::from_secs(10);
/// The first part of a run, in which allocators and caches fill, is not counted.
const WARM: f64 = 0.2;

/// Of the packets of sound that its time has: deaths cost some, and each costs less than a quarter of a second.
const HEARD: f64 = 0.8;
/// Length of one, as the client asks on a fast link.
const PACKET: Duration = Duration::from_millis(5);

/// A client that streams all the while.
pub struct Lasting<'a> {
    playing: Playing<'a>,
    begun: Instant,
}

impl<'a> Lasting<'a> {
    /// Launches.
    ///
    /// # Errors
    /// There is no stream.
    pub fn start(client: &'a Moonlight) -> Result<Self> {
        Ok(Self { playing: client.start("launch", &STREAM)?, begun: Instant::now() })
    }

    /// Ends it: it was one connection, and no frame is missing but those that `deaths` of transportd excuse.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn finish(self, deaths: u64) -> Result<()> {
        let span = self.begun.elapsed();
        let played = self.playing.end("INT")?;
        played.unbroken()?;
        let said = |key: &str| played.summary.pointer(key).and_then(serde_json::Value::as_u64);
        let (frames, last) = (said("/frames").context("no frames")?, said("/last").context("no last")?);
        let [packets, lost] = ["/sound/packets", "/sound/failed"].map(|key| said(key).unwrap_or(0));
        let missing = last.saturating_sub(frames);
        println!(
            "the lasting stream: {frames} frames, {missing} missing; {packets} packets of sound, {lost} blocks lost"
        );
        ensure!(
            missing <= deaths * moonlight::COST,
            "{missing} frames are missing, and transportd died {deaths} times"
        );
        let expected = (span.as_secs_f64() / PACKET.as_secs_f64() * HEARD) as u64;
        ensure!(packets >= expected, "{packets} packets of sound in {span:?}, not even {expected}");
        Ok(())
    }
}

/// One stream for `minutes` on a host that has nothing else to do.
///
/// # Errors
/// The stream broke, a stage grew, or something is left over.
pub fn run(minutes: u32) -> Result<()> {
    let (host, _pipewire, client, before) = moonlight::prepare()?;
    let lasting = Lasting::start(&client)?;
    let growth = Growth::watch(&host, Duration::from_secs(u64::from(minutes) * 60))?;
    lasting.finish(0)?;
    growth.judge()?;
    ensure!(host.failed_units()?.is_empty(), "units failed: {}", host.failed_units()?);
    moonlight::release(&host, &client)?;
    before.judge(&host)?;
    host.end().map(drop)
}

/// What each stage held, look by look.
struct Growth {
    span: Duration,
    /// Since the beginning, and in the order of [`STAGES`].
    looks: Vec<(Duration, Vec<Held>)>,
}

impl Growth {
    fn watch(host: &Constellation, span: Duration) -> Result<Self> {
        let pids = STAGES.map(|stage| host.pid(stage)).into_iter().collect::<Result<Vec<u32>>>()?;
        let (begun, mut looks) = (Instant::now(), Vec::new());
        while begun.elapsed() < span {
            thread::sleep(LOOK.min(span.saturating_sub(begun.elapsed())));
            let held = pids.iter().map(|pid| Held::of(*pid)).collect::<Result<_>>();
            looks.push((begun.elapsed(), held.context("a stage died")?));
        }
        Ok(Self { span, looks })
    }

    fn judge(&self) -> Result<()> {
        let warm = self.looks.iter().filter(|(at, _)| *at >= self.span.mul_f64(WARM));
        let (warm, mut grown): (Vec<_>, _) = (warm.collect(), Vec::new());
        for (index, stage) in STAGES.into_iter().enumerate() {
            let held =
                || warm.iter().filter_map(|(at, held)| Some((at.as_secs_f64() / 3600.0, *held.get(index)?)));
            let a_hour = slope(held().map(|(hours, held)| (hours, held.memory_kib as f64)));
            let [first, last] = [held().next(), held().next_back()].map(|held| held.map(|(_, held)| held));
            let (first, last) = (first.context("it was too short")?, last.context("it was too short")?);
            println!(
                "{stage:<14}descriptors {:>3} → {:<3}  resident {:>6} → {} KiB, {a_hour:+.0} KiB an hour",
                first.descriptors, last.descriptors, first.memory_kib, last.memory_kib
            );
            let is_more = last.descriptors > first.descriptors || last.threads > first.threads;
            if is_more || (self.span >= AN_HOUR && a_hour > GROWTH) {
                grown.push(stage);
            }
        }
        ensure!(grown.is_empty(), "{grown:?} hold more and more: at most {GROWTH} KiB an hour are promised");
        Ok(())
    }
}

/// Of the straight line nearest to the points (x, y).
fn slope(points: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let count = points.clone().count().max(1) as f64;
    let sum = |of: fn((f64, f64)) -> f64| points.clone().map(of).sum::<f64>() / count;
    let (x, y) = (sum(|(x, _)| x), sum(|(_, y)| y));
    let (xy, xx) = (sum(|(x, y)| x * y), sum(|(x, _)| x * x));
    let spread = xx - x * x;
    if spread > 0.0 { (xy - x * y) / spread } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_slope() {
        let points = [(0.0, 5.0), (1.0, 7.0), (2.0, 9.0)];
        assert!((slope(points.into_iter()) - 2.0).abs() < 1e-9);
        assert_eq!(slope([(1.0, 4.0)].into_iter()), 0.0);
    }
}
