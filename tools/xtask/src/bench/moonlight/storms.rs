//! What is left of a stream on a network that loses datagrams, a part of them all the time or all for a while.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use lumen_stage::clock::now_ns;
use lumen_tests::{
    Moonlight,
    detour::Detour,
    moonlight::{Played, Playing},
    proxy::{self, Fate, Seeded},
};

use super::{MODE, WARM_UP, millis};

/// Of a thousand datagrams, how many are lost.
const LOSSES: [u32; 5] = [5, 20, 50, 100, 200];
const OUTAGES_MS: [u64; 6] = [50, 100, 300, 1000, 2000, 3000];
/// Between two outages; and within which a picture has come back, or the stream is broken.
const BETWEEN: Duration = Duration::from_secs(3);

fn begin(client: &Moonlight) -> Result<Playing<'_>> {
    let via = proxy::ADDRESS.to_string();
    let mut playing = client.start("launch", &["--mode", MODE, "--seconds", "600", "--stream-at", &via])?;
    playing.wait_for(30)?;
    thread::sleep(WARM_UP);
    Ok(playing)
}

fn end(client: &Moonlight, playing: Playing<'_>) -> Result<Played> {
    let played = playing.end("INT")?;
    played.unbroken()?;
    let said = client.ask("cancel")?;
    ensure!(said.get("error").is_none(), "{said:#}");
    Ok(played)
}

/// Prints what came while a part of all video datagrams was lost at random, for `seconds` each.
///
/// # Errors
/// The client left its session.
pub fn losses(client: &Moonlight, seconds: u32) -> Result<()> {
    let lost = Arc::new(AtomicU32::new(0));
    let (per_mille, mut dice) = (lost.clone(), Seeded(5));
    let _detour = Detour::start(move |_| {
        let is_lost = dice.next_u64() % 1000 < per_mille.load(Relaxed).into();
        if is_lost { Fate::Drop } else { Fate::Pass }
    })?;
    println!("\nloss at random, {seconds} s each, every other one without");
    println!("{:<10}{:>10}{:>10}{:>10}{:>18}", "lost", "frames", "missing", "IDRs", "longest pause, ms");
    let playing = begin(client)?;
    let mut spans = Vec::new();
    for part in LOSSES {
        lost.store(part, Relaxed);
        let begun_ns = now_ns();
        thread::sleep(Duration::from_secs(seconds.into()));
        spans.push((part, begun_ns, now_ns()));
        lost.store(0, Relaxed);
        thread::sleep(Duration::from_secs(seconds.into()));
    }
    let played = end(client, playing)?;
    for (part, begun_ns, ended_ns) in spans {
        let seen = Seen::of(&played, begun_ns, ended_ns)?;
        let Seen { frames, missing, idrs, longest } = seen;
        println!("{:<10}{frames:>10}{missing:>10}{idrs:>10}{:>18.0}", percent(part), millis(longest));
    }
    Ok(())
}

fn percent(per_mille: u32) -> String {
    format!("{} %", f64::from(per_mille) / 10.0)
}

/// Prints after how long a picture came when nothing had passed for a while.
///
/// # Errors
/// The client left its session, or no picture came.
pub fn outages(client: &Moonlight) -> Result<()> {
    let is_out = Arc::new(AtomicBool::new(false));
    let out = is_out.clone();
    let _detour = Detour::start(move |_| if out.load(Relaxed) { Fate::Drop } else { Fate::Pass })?;
    println!("\nno video passes for a while");
    println!("{:<10}{:>24}{:>10}{:>10}", "ms", "next picture after, ms", "missing", "IDRs");
    let playing = begin(client)?;
    let mut ends = Vec::new();
    for ms in OUTAGES_MS {
        let begun_ns = now_ns();
        is_out.store(true, Relaxed);
        thread::sleep(Duration::from_millis(ms));
        is_out.store(false, Relaxed);
        ends.push((ms, begun_ns, now_ns()));
        thread::sleep(BETWEEN);
    }
    let played = end(client, playing)?;
    for (ms, begun_ns, ended_ns) in ends {
        let next = played.arrivals().into_iter().find(|at_ns| *at_ns > ended_ns);
        let next = next.with_context(|| format!("no picture came after an outage of {ms} ms"))?;
        let until = ended_ns + BETWEEN.as_nanos() as u64;
        let Seen { missing, idrs, .. } = Seen::of(&played, begun_ns, until)?;
        println!("{ms:<10}{:>24.0}{missing:>10}{idrs:>10}", millis(Duration::from_nanos(next - ended_ns)));
    }
    Ok(())
}

/// What came within a span.
struct Seen {
    frames: usize,
    missing: u64,
    idrs: usize,
    longest: Duration,
}

impl Seen {
    fn of(played: &Played, begun_ns: u64, ended_ns: u64) -> Result<Self> {
        let frames = played.frames.iter().filter_map(|frame| {
            Some((frame["number"].as_u64()?, frame["received_ns"].as_u64()?, frame["idr"] == true))
        });
        let until_end: Vec<_> = frames.filter(|(_, at_ns, _)| *at_ns < ended_ns).collect();
        let before =
            until_end.iter().rposition(|(_, at_ns, _)| *at_ns < begun_ns).context("no frame before it")?;
        // With the last one before, so that what is missing from the begin on counts.
        let seen = until_end.get(before..).unwrap_or_default();
        let (first, last) = (seen.first().context("no frame came")?, seen.last().context("no frame came")?);
        let pauses = seen.iter().zip(seen.iter().skip(1)).map(|(one, next)| next.1 - one.1);
        Ok(Self {
            frames: seen.len() - 1,
            missing: last.0 + 1 - first.0 - seen.len() as u64,
            idrs: seen.iter().skip(1).filter(|(.., is_idr)| *is_idr).count(),
            longest: Duration::from_nanos(pauses.max().unwrap_or_default()),
        })
    }
}
