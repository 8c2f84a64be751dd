//! From a key at the client to the picture that it changes: `lumen-stamp --on-key` shows its next number when a key goes down.

use std::{collections::BTreeMap, fmt::Write, fs, path::PathBuf, time::Duration};

use anyhow::ensure;
use lumen_tests::{
    Probe,
    constellation::{Setup, user},
    probe::Report,
};
use serde_json::Value;

use crate::bench::Spread;

/// KEY_SPACE.
const KEY: u32 = 57;

/// From one key to the next. No multiple of a frame's time, so that keys come at every moment between two frames.
const PAUSE_MS: u32 = 143;

/// Until the desktop is quiet: keys that come while the program is shown for the first time are not its.
const QUIET_MS: u32 = 3000;

/// One key's times, CLOCK_MONOTONIC ns.
#[derive(Debug, Clone, Copy)]
struct Way {
    /// The client said it.
    pressed: u64,
    /// The program gave its answer to the compositor.
    drawn: u64,
    /// captured has the picture.
    captured: u64,
    /// The client has it whole.
    received: u64,
}

/// Presses so many keys in a desktop that moves at nothing else, and prints what became of them.
///
/// # Errors
/// The binaries are not built, this is not root, the stream failed, or hardly a key arrived.
pub fn run(keys: u32) -> anyhow::Result<()> {
    let drawn = PathBuf::from(format!("/run/user/{}/lumen-drawn", user()?));
    let drawn = drawn.to_string_lossy();
    let host = Setup::stamp(&["--on-key", "--drawn", &drawn]).start()?;
    let probe = Probe::allowed(&host)?;
    let (script, acts) = (probe.file("script"), probe.file("acts"));
    fs::write(&script, presses(keys))?;
    let seconds = (QUIET_MS + (keys + 2) * PAUSE_MS).div_ceil(1000).to_string();
    let (script, acts) = (script.to_string_lossy(), acts.to_string_lossy());
    let arguments = ["--seconds", &seconds, "--script", &script, "--acts-log", &acts];
    let report = probe.stream(&arguments)?.success()?;
    let (acts, drawn) = (numbers(&fs::read_to_string(&*acts)?), fs::read_to_string(&*drawn)?);
    host.end()?;
    // Each key goes down and up.
    let pressed: Vec<u64> = acts.iter().filter_map(|line| line.first().copied()).step_by(2).collect();
    let ways = ways(&pressed, &numbers(&drawn), &report);
    ensure!(
        ways.len() * 10 >= pressed.len() * 9,
        "of {} keys {} changed a picture",
        pressed.len(),
        ways.len()
    );
    print(&ways, pressed.len());
    Ok(())
}

fn presses(keys: u32) -> String {
    let mut script = String::new();
    for n in 0..keys {
        let at_ms = QUIET_MS + n * PAUSE_MS;
        // Writing to a String never fails.
        let _ = write!(script, "{at_ms} press {KEY}\n{} release {KEY}\n", at_ms + 40);
    }
    script
}

/// The numbers of each line.
fn numbers(text: &str) -> Vec<Vec<u64>> {
    text.lines().map(|line| line.split(' ').filter_map(|word| word.parse().ok()).collect()).collect()
}

/// The ways of all keys whose picture came.
fn ways(pressed: &[u64], drawn: &[Vec<u64>], report: &Report) -> Vec<Way> {
    let drawn: BTreeMap<u64, u64> =
        drawn.iter().filter_map(|line| Some((*line.first()?, *line.get(1)?))).collect();
    let mut shown = BTreeMap::new();
    for frame in &report.frames {
        let at = |name: &str| frame.pointer(&format!("/moments/{name}")).and_then(Value::as_u64);
        if let (Some(number), Some(captured), Some(received)) =
            (frame["stamp"].as_u64(), at("dequeued_ns"), at("received_ns"))
        {
            shown.entry(number).or_insert((captured, received));
        }
    }
    // The first number was there before the first key.
    let way = |(number, pressed): (u64, &u64)| {
        let (captured, received) = *shown.get(&number)?;
        Some(Way { pressed: *pressed, drawn: *drawn.get(&number)?, captured, received })
    };
    (1..).zip(pressed).filter_map(way).collect()
}

fn print(ways: &[Way], keys: usize) {
    println!("{} of {keys} keys, each with the picture that it changed, 1280x720@60\n", ways.len());
    println!("{:<64}{:>8}{:>8}{:>8}", "milliseconds", "p50", "p95", "p99");
    let row = |name: &str, part: &dyn Fn(&Way) -> u64| {
        let parts = ways.iter().map(|way| Duration::from_nanos(part(way)));
        let spread = Spread::of(parts.clone().collect());
        let mut sorted: Vec<Duration> = parts.collect();
        sorted.sort_unstable();
        let p95 = sorted.get(sorted.len() * 95 / 100).copied().unwrap_or_default();
        let millis = |duration: Duration| duration.as_secs_f64() * 1e3;
        println!("{name:<64}{:>8.2}{:>8.2}{:>8.2}", millis(spread.p50), millis(p95), millis(spread.p99));
    };
    row("key at the client → the program's answer at the compositor", &|way| {
        way.drawn.saturating_sub(way.pressed)
    });
    row("the program's answer → its picture at captured", &|way| way.captured.saturating_sub(way.drawn));
    row("both: without encoder and network of the picture", &|way| way.captured.saturating_sub(way.pressed));
    row("captured → the client has the picture whole", &|way| way.received.saturating_sub(way.captured));
    row("key at the client → the client has the picture whole", &|way| {
        way.received.saturating_sub(way.pressed)
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    // Sabotage: count the second picture of a number, or the first number as the first key's.
    #[test]
    fn each_key_is_paired_with_the_first_picture_of_its_number() {
        let frame = |stamp: u64, at: u64| serde_json::json!({"stamp": stamp, "moments": {"dequeued_ns": at, "received_ns": at + 5}});
        let frames = vec![frame(0, 1), frame(1, 30), frame(1, 50), frame(3, 90)];
        let output = std::process::Command::new("true").output().unwrap();
        let report = Report { summary: Value::Null, frames, output };
        let ways = ways(&[10, 20, 60], &numbers("0 1\n1 15\n2 25\n3 70\n"), &report);
        let told: Vec<_> =
            ways.iter().map(|way| (way.pressed, way.drawn, way.captured, way.received)).collect();
        assert_eq!(told, [(10, 15, 30, 35), (60, 70, 90, 95)]);
    }
}
