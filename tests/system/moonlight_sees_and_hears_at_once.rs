//! A program flashes and clicks at once; at the genuine client both are as far apart as at compositor and sink, save a video frame
//! and a packet of sound. A flash is the picture with a certain number.
//!
//! Sabotage: hand on sound a tenth of a second late, or pictures.

use std::{
    collections::{BTreeMap, HashMap},
    fs, thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use lumen_tests::{
    Moonlight,
    constellation::{Setup, user, wait},
    film,
    sound::PipeWire,
};

/// Each of so many pictures clicks, three a second.
const EACH: &str = "20";
const SIZE: (u32, u32) = (640, 360);
/// A frame at 60 Hz and a packet of 5 ms, in microseconds.
const APART: i64 = 16_667 + 5_000;
/// As many are to be judged.
const CLICKS: usize = 24;

/// What lumen-stamp wrote: CLOCK_MONOTONIC ns by number.
fn log(file: &str) -> HashMap<u32, u64> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let entry = |line: &str| {
        let (number, at_ns) = line.split_once(' ')?;
        Some((number.parse().ok()?, at_ns.parse().ok()?))
    };
    text.lines().filter_map(entry).collect()
}

#[test]
fn moonlight_sees_and_hears_at_once() -> Result<()> {
    let runtime = format!("/run/user/{}", user()?);
    let [drawn, clicked] = ["drawn", "clicked"].map(|name| format!("{runtime}/{name}"));
    let host = Setup::stamp(&["--drawn", &drawn, "--click-each", EACH, "--clicked", &clicked]).start()?;
    let _pipewire = PipeWire::start(&host)?;
    let client = Moonlight::paired(&host)?;
    let playing = client.start("launch", &["--mode", "640x360x60", "--seconds", "600"])?;
    let enough = || log(&clicked).len() > CLICKS + 6;
    wait("the clicks", Duration::from_secs(60), enough).with_context(|| host.status())?;
    thread::sleep(Duration::from_millis(500));
    let played = playing.end("INT")?;
    played.unbroken()?;

    let mut seen = BTreeMap::new();
    let mut arrivals = played.arrivals().into_iter();
    film::show(played.dump(), SIZE.0, SIZE.1, |luma| {
        let number = lumen_stamp::read(luma, SIZE.0 as usize, SIZE.0, SIZE.1);
        if let (Ok(number), Some(at_ns)) = (number, arrivals.next()) {
            seen.entry(number).or_insert(at_ns);
        }
    })?;
    let heard = played.sound.clicks()?;
    let (drawn, clicked) = (log(&drawn), log(&clicked));
    // Of one flash, or of the next picture where the compositor skipped it: how much later than the picture its click is at the
    // client, less how much later it was at the sink; µs.
    let lag = |(&number, &clicked_ns): (&u32, &u64)| {
        let heard_ns = *heard.iter().find(|&&at| (clicked_ns..clicked_ns + 150_000_000).contains(&at))?;
        let (shown, &seen_ns) = seen.range(number..number + 5).next()?;
        let apart = |sound: u64, picture: u64| sound.cast_signed() - picture.cast_signed();
        Some((apart(heard_ns, seen_ns) - apart(clicked_ns, *drawn.get(shown)?)) / 1000)
    };
    let mut lags: Vec<i64> = clicked.iter().filter_map(lag).collect();
    lags.sort_unstable();
    let asked = clicked.len();
    ensure!(lags.len() >= CLICKS, "{} of {asked} flashes were seen and heard: {lags:?}", lags.len());
    let at = |share: usize| lags[(lags.len() - 1) * share / 100];
    let all = [0, 5, 50, 95, 100].map(|share| at(share) as f64 / 1000.0);
    println!("sound after picture, ms, of {} flashes: least, p5, p50, p95, most: {all:?}", lags.len());
    ensure!(at(50).abs() <= APART, "sound is {} µs later than its picture, of {APART}: {lags:?}", at(50));
    Ok(())
}
