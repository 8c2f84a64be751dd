//! What the genuine Moonlight client gets over a network that loses: after a frame that was lost whole one that refers to an older
//! picture, also where a stage dies with it, and as much parity as its own reports ask for.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use lumen_tests::{
    Constellation, Moonlight,
    constellation::{Setup, run, wait},
    moonlight::Playing,
    overview::{Overview, count},
    proxy::{Fate, Proxy, Seeded},
};

/// Kinds of frames, as their heads say.
const IDR: u8 = 2;
const RECOVERED: u8 = 5;
/// Data shards of a block from which two of parity are less than a tenth.
const LONG: u32 = 20;
const SEED: u64 = 31;
/// Within which a frame comes, whoever died.
const SOON: Duration = Duration::from_secs(10);

/// What a video datagram in the clear says of its frame.
struct Said {
    frame: u32,
    /// Of the frame, if this is its first datagram.
    kind: Option<u8>,
    data: u32,
    percent: u32,
}

fn read(datagram: &[u8]) -> Option<Said> {
    let word = |at: usize| Some(u32::from_le_bytes(datagram.get(at..at + 4)?.try_into().ok()?));
    let (frame, info, flags, blocks) = (word(20)?, word(28)?, datagram.get(24)?, datagram.get(27)?);
    let is_first = info >> 12 & 0x3ff == 0 && flags & 4 != 0 && blocks >> 4 & 3 == 0;
    let kind = is_first.then(|| datagram.get(32 + 3).copied()).flatten();
    Some(Said { frame, kind, data: info >> 22, percent: info >> 4 & 0xff })
}

fn lock<T>(seen: &Mutex<T>) -> MutexGuard<'_, T> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start<'a>(client: &'a Moonlight, arguments: &[&str]) -> Result<Playing<'a>> {
    let common = ["--references", "--seal", "none", "--stream-at", "127.0.0.2", "--seconds", "600"];
    client.start("launch", &[&common, arguments].concat())
}

fn counted(host: &Constellation, key: &str) -> Result<u64> {
    let overview = Overview::of(host)?;
    count(overview.sessions().first().context("no session")?, key)
}

/// Numbers and kinds of the frames that passed.
type Kinds = Arc<Mutex<Vec<(u32, u8)>>>;

/// A network that loses one frame whole: what it saw, and which it loses.
fn thief() -> Result<(Proxy, Kinds, Arc<AtomicU32>)> {
    let (kinds, victim) = (Kinds::default(), Arc::new(AtomicU32::new(u32::MAX)));
    let (seen, lost) = (kinds.clone(), victim.clone());
    let proxy = Proxy::to_moonlight(move |datagram| {
        let Some(said) = read(datagram) else { return Fate::Pass };
        if let Some(kind) = said.kind {
            lock(&seen).push((said.frame, kind));
        }
        if said.frame == lost.load(Relaxed) { Fate::Drop } else { Fate::Pass }
    })?;
    Ok((proxy, kinds, victim))
}

/// Sabotage: answer 0x0301 with an IDR, with a picture that refers to the lost one, or not at all; or call the answer an ordinary frame.
#[test]
fn a_lost_frame_of_a_still_desktop_costs_no_idr() -> Result<()> {
    let host = Setup::stamp(&["--still", "--number", "77"]).start()?;
    let client = Moonlight::paired(&host)?;
    let (proxy, kinds, victim) = thief()?;
    let mut playing = start(&client, &[])?;
    playing.wait_for(120)?;
    let newest = lock(&kinds).last().context("no frame passed")?.0;
    let lost = newest + 5;
    victim.store(lost, Relaxed);
    wait("the frame that mends it", SOON, || {
        lock(&kinds).iter().any(|(frame, kind)| *frame > lost && *kind != 1)
    })?;
    let taken = playing.frames();
    playing.wait_for(taken + 60)?;
    let played = playing.end("INT")?;
    ensure!(proxy.counters().dropped.load(Relaxed) > 0, "nothing was lost");
    let after: Vec<_> = lock(&kinds).iter().filter(|(frame, _)| *frame > newest).copied().collect();
    let others: Vec<_> = after.iter().filter(|(_, kind)| *kind != 1).collect();
    ensure!(others.iter().all(|(_, kind)| *kind == RECOVERED), "after {lost}: {others:?}, {IDR} is an IDR");
    ensure!(others.len() == 1, "it was mended more than once: {others:?}");
    played.unbroken()?;
    let numbers = played.numbers();
    ensure!(!numbers.contains(&lost.into()), "frame {lost} came");
    let mended = others.first().context("none")?.0;
    let gap = numbers.iter().zip(numbers.iter().skip(1)).find(|(before, after)| **after != **before + 1);
    let expected = (u64::from(lost) - 1, u64::from(mended));
    ensure!(gap == Some((&expected.0, &expected.1)), "{gap:?} instead of {expected:?}");
    ensure!(counted(&host, "recovered")? == 1, "the host has not counted it");
    let film = played.film(1280, 720)?;
    ensure!(film.pictures() == played.frames.len(), "{} of {}", film.pictures(), played.frames.len());
    ensure!(film.numbers().iter().all(|number| *number == 77), "{:?}", film.numbers());
    Ok(())
}

/// Who dies with a frame, and whether before it is lost or as soon as it is.
const DEATHS: [(&str, bool); 6] = [
    ("encoded", false),
    ("transportd", false),
    ("captured", false),
    ("transportd", true),
    ("encoded", true),
    ("transportd", false),
];

/// Sabotage: begin a new link without an IDR, in encoded's `handle_attach` and in transportd's `start_link`, since each of them would do.
#[test]
fn a_frame_lost_while_a_stage_dies_is_mended() -> Result<()> {
    let host = Setup::stamp(&["--still", "--number", "77"]).start()?;
    let client = Moonlight::paired(&host)?;
    let (proxy, kinds, victim) = thief()?;
    let mut playing = start(&client, &[])?;
    playing.wait_for(120)?;
    let mut lost = Vec::new();
    for (stage, is_before) in DEATHS {
        let (pid, dropped) = (host.pid(stage)?.to_string(), proxy.counters().dropped.load(Relaxed));
        if is_before {
            run("kill", &["-KILL", &pid])?;
        }
        // The next one that will be sent, and so one that a stage which died has not.
        let frame = lock(&kinds).last().context("no frame passed")?.0 + 2;
        victim.store(frame, Relaxed);
        lost.push(frame);
        wait("the loss", SOON, || proxy.counters().dropped.load(Relaxed) > dropped)
            .with_context(|| format!("{stage}: frame {frame} did not come"))?;
        if !is_before {
            run("kill", &["-KILL", &pid])?;
        }
        let mended = || lock(&kinds).iter().find(|(other, kind)| *other > frame && *kind != 1).copied();
        wait("the frame that mends it", SOON, || mended().is_some())
            .with_context(|| format!("{stage} died, frame {frame} was lost; {:?}", lock(&kinds).last()))?;
        println!("{stage}: frame {frame} was lost, {:?} mended it", mended());
        let taken = playing.frames();
        playing.wait_for(taken + 30)?;
    }
    let played = playing.end("INT")?;
    played.unbroken()?;
    let numbers = played.numbers();
    ensure!(numbers.is_sorted_by(|one, next| one < next), "a frame came twice: {numbers:?}");
    ensure!(lost.iter().all(|frame| !numbers.contains(&u64::from(*frame))), "of {lost:?} one came");
    let film = played.film(1280, 720)?;
    ensure!(film.pictures() == played.frames.len(), "{} of {}", film.pictures(), played.frames.len());
    ensure!(film.numbers().iter().all(|number| *number == 77), "{:?}", film.numbers());
    ensure!(host.failed_units()?.is_empty(), "units failed: {}", host.failed_units()?);
    Ok(())
}

/// Waits until parity of long blocks is such, at most `limit` after `begun`.
fn parity(
    percents: &Mutex<Vec<(Instant, u32)>>,
    begun: Instant,
    limit: Duration,
    is: fn(u32) -> bool,
) -> Result<()> {
    let found = || {
        let seen = lock(percents);
        seen.iter().find(|(at, percent)| *at > begun && is(*percent)).map(|(at, _)| at.duration_since(begun))
    };
    wait("another parity", limit + Duration::from_secs(5), || found().is_some())
        .with_context(|| format!("{:?}", lock(percents).last().map(|(_, percent)| *percent)))?;
    let after = found().context("none")?;
    println!("after {after:?}");
    ensure!(after <= limit, "{after:?} instead of {limit:?}");
    Ok(())
}

/// Sabotage: ignore 0x5502, judge by less than a second, or hold parity for ever.
#[test]
fn parity_follows_what_moonlight_reports() -> Result<()> {
    println!("seed {SEED}");
    let host = Setup::stamp(&[]).start()?;
    let client = Moonlight::paired(&host)?;
    let (loss, percents) = (Arc::new(AtomicU32::new(0)), Arc::new(Mutex::new(Vec::new())));
    let (judged, seen, mut seeded) = (loss.clone(), percents.clone(), Seeded(SEED));
    let _proxy = Proxy::to_moonlight(move |datagram| {
        if let Some(said) = read(datagram).filter(|said| said.kind.is_some() && said.data >= LONG) {
            lock(&seen).push((Instant::now(), said.percent));
        }
        let lost = judged.load(Relaxed);
        if lost > 0 && seeded.one_in(lost.into()) { Fate::Drop } else { Fate::Pass }
    })?;
    // Packets so short that a frame has many.
    let mut playing = start(&client, &["--packet", "512"])?;
    playing.wait_for(60)?;
    // What its start cost is over.
    sleep(Duration::from_secs(3));
    parity(&percents, Instant::now(), Duration::from_secs(30), |percent| percent <= 10)?;
    loss.store(20, Relaxed);
    parity(&percents, Instant::now(), Duration::from_secs(2), |percent| percent >= 20)?;
    sleep(Duration::from_secs(5));
    loss.store(0, Relaxed);
    parity(&percents, Instant::now(), Duration::from_secs(30), |percent| percent <= 10)?;
    playing.end("INT")?.unbroken()
}
