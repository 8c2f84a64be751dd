//! What the genuine Moonlight client gets of the shipped units: how soon, how sharp, at which cost, and what a bad network
//! leaves of it.

mod sharpness;
mod storms;

use std::{
    collections::HashMap,
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use lumen_stamp::Content;
use lumen_tests::{
    Constellation, Moonlight,
    constellation::{Setup, USER, user, wait},
    film,
    moonlight::Played,
};

use super::{
    Spread,
    cpu::{self, Case, STAGES},
};

/// As Moonlight launches by default.
const SIZE: (u32, u32) = (1280, 720);
const MODE: &str = "1280x720x60";
/// Not counted: the launch, and what is made sharp after it.
const WARM_UP: Duration = Duration::from_secs(4);
/// How often a launch is measured.
const LAUNCHES: usize = 8;
/// RTP's clock.
const TICKS_A_SECOND: f64 = 90_000.0;

/// Streams in each way and prints what came of it.
///
/// # Errors
/// The binaries are not built, this is not root, ffmpeg is not installed, or a stream failed.
pub fn run(seconds: u32) -> Result<()> {
    for (content, only) in [(Content::Text, "text"), (Content::Noise, "noise")] {
        let drawn = format!("/run/user/{}/drawn", user()?);
        let host = Setup::stamp(&["--only", only, "--drawn", &drawn]).start()?;
        let client = Moonlight::paired(&host).with_context(|| format!("as {USER}"))?;
        if content == Content::Text {
            launches(&host, &client)?;
        }
        println!("\n{MODE} {only}, moving, 10 Mbit/s asked");
        stream(&host, &client, Case { content, still: false, size: SIZE }, seconds, &drawn)?;
        if content == Content::Text {
            storms::losses(&client, seconds)?;
            storms::outages(&client)?;
        }
        host.end()?;
    }
    Ok(())
}

/// From the moment at which a person clicks until the first frame is at the decoder: of a desktop that has to be started, and
/// of one that is there.
fn launches(host: &Constellation, client: &Moonlight) -> Result<()> {
    println!("milliseconds until the first frame: p50, the longest, of {LAUNCHES}");
    let glance = |verb: &str| {
        let mut playing = client.start(verb, &["--seconds", "60"])?;
        playing.wait_for(5)?;
        let played = playing.end("INT")?;
        played.unbroken()?;
        let asked = played.summary.get("asked_ns").and_then(serde_json::Value::as_u64);
        let asked = asked.context("no moment of asking")?;
        let first = played.arrivals().first().copied().context("no frame came")?;
        anyhow::Ok(Duration::from_nanos(first - asked))
    };
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for _ in 0..LAUNCHES {
        cold.push(glance("launch")?);
        warm.push(glance("resume")?);
        cancel(host, client)?;
    }
    for (name, mut took) in [("launch, the desktop starts", cold), ("resume, the desktop is there", warm)] {
        took.sort_unstable();
        let longest = took.last().copied().unwrap_or_default();
        println!("{name:<40}{:>10.1}{:>10.1}", millis(Spread::of(took).p50), millis(longest));
    }
    Ok(())
}

fn cancel(host: &Constellation, client: &Moonlight) -> Result<()> {
    let said = client.ask("cancel")?;
    ensure!(said.get("error").is_none(), "{said:#}");
    wait("the desktop to go", Duration::from_secs(15), || host.processes("lumen-stamp").is_empty())
}

/// A stream through and through, beside what ffmpeg makes of the same frames.
fn stream(host: &Constellation, client: &Moonlight, case: Case, seconds: u32, drawn: &str) -> Result<()> {
    let mut playing = client.start("launch", &["--mode", MODE, "--seconds", "600"])?;
    playing.wait_for(30)?;
    thread::sleep(WARM_UP);
    let (before, begun) = (cpu::used(host)?, Instant::now());
    thread::sleep(Duration::from_secs(seconds.into()));
    let (after, took) = (cpu::used(host)?, begun.elapsed().as_secs_f64());
    let played = playing.end("INT")?;
    played.whole()?;
    let log = fs::read_to_string(drawn).context("lumen-stamp wrote no times")?;
    cancel(host, client)?;
    let arrivals = played.arrivals();
    let settled = arrivals.first().copied().unwrap_or_default() + WARM_UP.as_nanos() as u64;
    let length = arrivals.last().copied().unwrap_or_default().saturating_sub(settled);
    let fps = arrivals.iter().filter(|at_ns| **at_ns >= settled).count() as f64
        / Duration::from_nanos(length).as_secs_f64();
    println!("{:<40}{fps:>10.1}", "frames a second");
    println!("{:<40}{:>10}{:>10}", "milliseconds", "p50", "p99");
    row("host latency, as told to the client", of_host(&played, settled));
    row("captured until received", since_capture(&played, settled));
    row("drawn until received", since_drawn(&played, &log, settled)?);
    let costs = after
        .into_iter()
        .zip(before)
        .map(|(after, before)| after.saturating_sub(before).as_secs_f64() * 1e3 / (took * fps));
    let costs: Vec<f64> = costs.collect();
    let stages: Vec<String> =
        STAGES.iter().zip(&costs).map(|(stage, cost)| format!("{stage} {cost:.2}")).collect();
    let lumen: f64 = costs.iter().sum();
    println!("CPU a frame, ms: lumen {lumen:.2} ({})", stages.join(", "));
    sharpness::beside_x264(&played, case, seconds, lumen)
}

/// Of the frames that came after `from_ns`, what `measure` says of each.
fn of_frames(
    played: &Played,
    from_ns: u64,
    measure: impl Fn(&serde_json::Value, u64) -> Option<Duration>,
) -> Spread {
    let measured = played.frames.iter().filter_map(|frame| {
        let at_ns = frame["received_ns"].as_u64().filter(|at_ns| *at_ns >= from_ns)?;
        measure(frame, at_ns)
    });
    Spread::of(measured.collect())
}

fn of_host(played: &Played, from_ns: u64) -> Spread {
    // Repeats say 0, because their picture was captured long ago.
    of_frames(played, from_ns, |frame, _| {
        frame["host_us"].as_u64().filter(|us| *us > 0).map(Duration::from_micros)
    })
}

/// RTP's timestamp is the moment of capture, in ticks of the machine's clock.
fn since_capture(played: &Played, from_ns: u64) -> Spread {
    of_frames(played, from_ns, |frame, at_ns| {
        let now = (u128::from(at_ns) * 9 / 100_000) as u32;
        let ticks = now.wrapping_sub(frame["rtp"].as_u64()? as u32);
        Some(Duration::from_secs_f64(f64::from(ticks) / TICKS_A_SECOND))
    })
}

/// From when lumen-stamp gave a picture to the compositor until the client had the first frame with its number.
fn since_drawn(played: &Played, log: &str, from_ns: u64) -> Result<Spread> {
    let drawn: HashMap<u32, u64> = log
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(number, at_ns)| Some((number.parse().ok()?, at_ns.parse().ok()?)))
        .collect();
    let mut stamps = Vec::new();
    film::show(played.dump(), SIZE.0, SIZE.1, |luma| {
        stamps.push(lumen_stamp::read(luma, SIZE.0 as usize, SIZE.0, SIZE.1).ok());
    })?;
    let arrivals = played.arrivals();
    ensure!(stamps.len() == arrivals.len(), "{} pictures of {} frames", stamps.len(), arrivals.len());
    let mut newest = None;
    let took = stamps.into_iter().zip(arrivals).filter_map(|(stamp, at_ns)| {
        let is_new = stamp.is_some() && stamp > newest;
        newest = newest.max(stamp);
        let drawn_ns = *drawn.get(&stamp?)?;
        (is_new && at_ns >= from_ns).then(|| Duration::from_nanos(at_ns.saturating_sub(drawn_ns)))
    });
    Ok(Spread::of(took.collect()))
}

fn row(name: &str, spread: Spread) {
    println!("{name:<40}{:>10.2}{:>10.2}", millis(spread.p50), millis(spread.p99));
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
