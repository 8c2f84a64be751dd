//! A still screen: a second client connecting gets a sharp picture at once, and the stages do next to nothing.
//!
//! Sabotage: encode every frame interval although nothing changed, or start a new client at a coarse picture and
//! never refine it.

use std::{fs, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use lumen_tests::{
    Constellation, Probe,
    constellation::{STAGES, Setup},
};
use serde_json::Value;

#[test]
fn a_still_screen_is_sharp_and_quiet() -> Result<()> {
    let host = Setup::stamp(&["--still", "--number", "77"]).start()?;
    let first = Probe::allowed(&host)?;
    let watching = first.start(&["--seconds", "9"])?;
    thread::sleep(Duration::from_secs(3));
    let before = cpu_ticks(&host)?;
    thread::sleep(Duration::from_secs(4));
    let spent = cpu_ticks(&host)? - before;
    let second = Probe::allowed(&host)?.stream(&["--seconds", "2"])?.success()?;
    let watched = watching.finish()?.success()?;
    println!("{spent} ticks of 10 ms in 4 s on a still screen");
    // 2 % of one core for all five stages together.
    ensure!(spent <= 8, "the stages took {spent} ticks of 10 ms in 4 s");
    // The first second may be spent on making the picture sharp; then there is the floor.
    let repeats = repeats_after(&watched.frames, 2.0)?;
    ensure!(
        (5.0..=8.0).contains(&repeats),
        "{repeats} repeats in the last 7 s of 9, one a second was promised"
    );
    ensure!(watched.number("/frames")? <= 15.0, "pictures although nothing moved: {:#}", watched.summary);
    ensure!(second.number("/stamp/first")? == 77.0, "{:#}", second.summary);
    let sharp = second.number("/stamp/sharp_from")?;
    ensure!(sharp <= 10.0, "sharp only from picture {sharp} on: {:#}", second.summary["stamp"]);
    ensure!(second.number("/launch_to_picture_ms")? < 3000.0, "{:#}", second.summary);
    Ok(())
}

/// Repeats later than `start` seconds after the first picture.
fn repeats_after(frames: &[Value], start: f64) -> Result<f64> {
    let seconds = |frame: &Value| Some(frame.pointer("/moments/dequeued_ns")?.as_f64()? / 1e9);
    let first = frames.first().and_then(seconds).context("no picture")?;
    let late = frames.iter().filter(|frame| frame["repeat"] == true).filter_map(seconds);
    Ok(late.filter(|time| time - first > start).count() as f64)
}

/// CPU time of the five main processes so far, in ticks of 10 ms.
fn cpu_ticks(host: &Constellation) -> Result<u64> {
    let mut ticks = 0;
    for stage in STAGES {
        let stat = fs::read_to_string(format!("/proc/{}/stat", host.pid(stage)?))?;
        let fields: Vec<&str> = stat.rsplit(')').next().context("no fields")?.split_whitespace().collect();
        let field = |n: usize| fields.get(n).and_then(|text| text.parse::<u64>().ok()).context("no number");
        ticks += field(11)? + field(12)?;
    }
    Ok(ticks)
}
