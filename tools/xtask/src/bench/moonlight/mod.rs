//! What the genuine Moonlight client gets of the shipped units: how soon, how sharp, at which cost, and what a bad network
//! leaves of it.

pub mod beside;
mod peer;
mod sharpness;
mod storms;
mod stream;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lumen_stamp::Content;
use lumen_tests::{
    Constellation, Moonlight,
    constellation::{Setup, USER, user, wait},
};

use super::{
    Spread,
    cpu::{self, Case, STAGES},
};
use stream::Stream;

/// As Moonlight launches by default.
const SIZE: (u32, u32) = (1280, 720);
const MODE: &str = "1280x720x60";
/// Not counted: the launch, and what is made sharp after it.
const WARM_UP: Duration = Duration::from_secs(4);
/// How often a launch is measured.
const LAUNCHES: usize = 8;

/// Streams in each way and prints what came of it.
///
/// # Errors
/// The binaries are not built, this is not root, ffmpeg is not installed, or a stream failed.
pub fn run(seconds: u32) -> Result<()> {
    for (content, only) in [(Content::Text, "text"), (Content::Noise, "noise")] {
        let drawn = drawn()?;
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

/// Where lumen-stamp writes its times.
fn drawn() -> Result<String> {
    Ok(format!("/run/user/{}/drawn", user()?))
}

/// From the moment at which a person clicks until the first frame is at the decoder.
fn glance(client: &Moonlight, verb: &str, wishes: &[&str]) -> Result<Duration> {
    let mut playing = client.start(verb, &[&["--seconds", "60"], wishes].concat())?;
    playing.wait_for(5)?;
    let played = playing.end("INT")?;
    played.unbroken()?;
    let asked = played.summary.get("asked_ns").and_then(serde_json::Value::as_u64);
    let asked = asked.context("no moment of asking")?;
    let first = played.arrivals().first().copied().context("no frame came")?;
    Ok(Duration::from_nanos(first - asked))
}

/// How soon there is a picture: of a desktop that has to be started, and of one that is there.
fn launches(host: &Constellation, client: &Moonlight) -> Result<()> {
    println!("milliseconds until the first frame: p50, the longest, of {LAUNCHES}");
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for _ in 0..LAUNCHES {
        cold.push(glance(client, "launch", &[])?);
        warm.push(glance(client, "resume", &[])?);
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
    let stream = Stream::record(client, &[], seconds, drawn, || Ok(cpu::used(host)?.to_vec()))?;
    cancel(host, client)?;
    println!("{:<40}{:>10.1}", "frames a second", stream.fps);
    println!("{:<40}{:>10}{:>10}", "milliseconds", "p50", "p99");
    row("host latency, as told to the client", Spread::of(stream.host.clone()));
    row("captured until received", Spread::of(stream.since_capture()));
    row("drawn until received", Spread::of(stream.drawn.clone()));
    let costs = STAGES.iter().zip(&stream.costs);
    let stages: Vec<String> = costs.map(|(stage, cost)| format!("{stage} {cost:.2}")).collect();
    let lumen: f64 = stream.costs.iter().sum();
    println!("CPU a frame, ms: lumen {lumen:.2} ({})", stages.join(", "));
    sharpness::beside_x264(&stream.played, case, seconds, lumen)
}

fn row(name: &str, spread: Spread) {
    println!("{name:<40}{:>10.2}{:>10.2}", millis(spread.p50), millis(spread.p99));
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
