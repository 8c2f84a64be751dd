//! How long pictures take while a game has every core (promise P9), beside how long they take when it has none, in one run.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use anyhow::Context;
use lumen_tests::{Probe, constellation::Setup, probe::Report};

use crate::bench::Spread;

/// Promise P9: p99 of the starved stream, of that of the quiet one.
const PROMISED: f64 = 1.5;
/// Not counted: the launch, and the first pictures of a process.
const WARM_UP: Duration = Duration::from_secs(2);

/// Streams twice for `seconds`, the second time with one busy thread for each core, and prints both and their ratio.
///
/// # Errors
/// The binaries are not built, this is not root, or a stream failed.
pub fn run(seconds: u32) -> anyhow::Result<()> {
    let host = Setup::stamp(&[]).start()?;
    let probe = Probe::allowed(&host)?;
    let length = (u64::from(seconds) + WARM_UP.as_secs()).to_string();
    let stream = || taken(&probe.stream(&["--seconds", &length])?.success()?);
    let quiet = stream()?;
    let cores = thread::available_parallelism()?.get();
    let busy = AtomicBool::new(true);
    let starved = thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while busy.load(Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let starved = stream();
        busy.store(false, Relaxed);
        starved
    })?;
    println!("milliseconds from a picture's capture until the client has it whole, 1280x720@60\n");
    println!("{:<32}{:>10}{:>10}", "", "p50", "p99");
    row("otherwise quiet", quiet);
    row(&format!("beside {cores} busy threads"), starved);
    let ratio = starved.p99.as_secs_f64() / quiet.p99.as_secs_f64();
    let verdict = if ratio <= PROMISED { "P9 is kept" } else { "P9 is NOT kept" };
    println!("\np99 is {ratio:.2} times as long, promised {PROMISED}: {verdict}");
    host.end().map(drop)
}

fn row(name: &str, spread: Spread) {
    let millis = |duration: Duration| duration.as_secs_f64() * 1e3;
    println!("{name:<32}{:>10.2}{:>10.2}", millis(spread.p50), millis(spread.p99));
}

/// From capture to the client, of all pictures after the warm-up.
fn taken(report: &Report) -> anyhow::Result<Spread> {
    let at = |frame: &serde_json::Value, name: &str| frame.pointer(&format!("/moments/{name}"))?.as_u64();
    let first = report.frames.iter().find_map(|frame| at(frame, "received_ns"));
    let begin = first.context("no picture with its moments")? + WARM_UP.as_nanos() as u64;
    let taken = report.frames.iter().filter_map(|frame| {
        let (dequeued, received) = (at(frame, "dequeued_ns")?, at(frame, "received_ns")?);
        (received >= begin).then(|| Duration::from_nanos(received.saturating_sub(dequeued)))
    });
    Ok(Spread::of(taken.collect()))
}
