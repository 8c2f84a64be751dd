//! Bitrate, size and refresh change while the stream runs: the same five processes go on, the compositor shows the new
//! mode, the decoder sees the new size, and no frame is missing.
//!
//! Sabotage: restart a stage for a new mode, tell of it before the encoder has it, keep the old encoder, or number the
//! frames anew.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lumen_tests::{
    Constellation, Probe,
    constellation::{Setup, wait},
    overview::{Overview, pids, sway_mode},
    probe::Report,
};

/// Seconds for each mode: a busy machine takes one to change and one to show that it did.
const STEP: u64 = 5;

/// Streams through `modes`, the first of them launched, and checks at each what the compositor shows.
fn through(host: &Constellation, modes: &[&str]) -> Result<Report> {
    let before = pids(host)?;
    let probe = Probe::allowed(host)?;
    let (first, later) = modes.split_first().context("no mode")?;
    let seconds = (modes.len() as u64 * STEP).to_string();
    let changes: Vec<String> =
        later.iter().zip(1..).map(|(mode, n)| format!("{}:mode={mode}", n * STEP)).collect();
    let mut arguments = vec!["--seconds", &seconds, "--mode", first];
    arguments.extend(changes.iter().flat_map(|change| ["--change", change]));
    let watching = probe.start(&arguments)?;
    for mode in modes {
        let wished = parse(mode)?;
        let shown = || sway_mode(host).is_ok_and(|mode| mode == wished);
        wait(&format!("sway to show {mode}"), Duration::from_secs(20), shown)?;
        let told = || {
            let overview = Overview::of(host).ok();
            let session = overview.as_ref().and_then(|overview| overview.sessions().first());
            session.is_some_and(|session| {
                let number = |key: &str| session[key].as_u64().unwrap_or_default();
                (number("width"), number("height"), number("refresh_mhz")) == wished
            })
        };
        wait(&format!("the session to have {mode}"), Duration::from_secs(5), told)?;
    }
    let report = watching.finish()?.success()?;
    ensure!(pids(host)? == before, "a stage was restarted: {before:?} became {:?}", pids(host)?);
    whole(&report)?;
    Ok(report)
}

/// `1280x720@59.94` as sway says it.
fn parse(mode: &str) -> Result<(u64, u64, u64)> {
    let (size, rate) = mode.split_once('@').context("no rate")?;
    let (width, height) = size.split_once('x').context("no height")?;
    Ok((width.parse()?, height.parse()?, (rate.parse::<f64>()? * 1000.0).round() as u64))
}

/// Nothing is missing, and the numbers in the pictures rise over all changes.
fn whole(report: &Report) -> Result<()> {
    super::stamps_arrive_rising_sharp_and_true::complete(report)?;
    let stamp = &report.summary["stamp"];
    // The desktop is empty until the program has drawn.
    let empty = report.frames.iter().take_while(|frame| frame["stamp"].is_null()).count();
    ensure!(stamp["fallen"] == 0 && stamp["unreadable"] == empty, "{empty} empty pictures: {stamp:#}");
    ensure!(report.summary["connections"] == 1, "{:#}", report.summary);
    Ok(())
}

#[test]
fn sizes_change_in_mid_stream() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    let modes = ["1280x720@60", "1920x1080@60", "1366x768@60", "1080x1920@60"];
    let report = through(&host, &modes)?;
    let seen = report.summary["modes"].as_array().context("no modes")?;
    let sizes: Vec<String> =
        seen.iter().map(|mode| format!("{}x{}@60", mode["width"], mode["height"])).collect();
    ensure!(sizes == modes, "the decoder saw {sizes:?}");
    let told = report.summary["mode_changes"].as_array().context("no answers")?;
    for (mode, told) in seen.iter().skip(1).zip(told) {
        ensure!(mode["first_frame"] == told["next_frame"], "{mode:#} was told as {told:#}");
        ensure!(mode["frames"].as_u64() > Some(10), "hardly a picture: {mode:#}");
    }
    ensure!(told.len() == 3, "{} answers to 3 changes: {told:#?}", told.len());
    println!("{:#}", report.summary["intervals"]);
    Ok(())
}

#[test]
fn the_refresh_changes_in_mid_stream() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    let size = |rate: &str| format!("640x360@{rate}");
    let modes = ["30", "59.94", "60", "120", "240"].map(size);
    let report = through(&host, &modes.each_ref().map(String::as_str))?;
    let intervals = report.summary["intervals"].as_array().context("no intervals")?;
    let fps: Vec<f64> = intervals.iter().filter_map(|interval| interval["fps"].as_f64()).collect();
    println!("fps at 30, 59.94, 60, 120, 240 Hz: {fps:.1?}");
    let (slow, fast) = (fps.first().context("no rate")?, fps.get(2).context("no third rate")?);
    ensure!(*slow <= 31.0 && *fast > slow * 1.2, "the rate of the pictures does not follow: {fps:?}");
    Ok(())
}

#[test]
fn the_bitrate_changes_in_mid_stream() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    let before = pids(&host)?;
    let arguments =
        ["--seconds", "15", "--bitrate", "10M", "--change", "5:bitrate=2M", "--change", "10:bitrate=20M"];
    let report = Probe::allowed(&host)?.stream(&arguments)?.success()?;
    whole(&report)?;
    ensure!(pids(&host)? == before, "a stage was restarted");
    let intervals = report.summary["intervals"].as_array().context("no intervals")?;
    let rates: Vec<f64> = intervals.iter().filter_map(|interval| interval["bitrate_bps"].as_f64()).collect();
    println!("asked 10, 2, 20 Mbit/s, came {rates:.0?}");
    let [first, low, high] = rates[..] else { anyhow::bail!("{} intervals", rates.len()) };
    // What was under way when a lower rate was asked for still comes at the rate before.
    ensure!(first <= 11e6 && low <= 2.5e6 && high <= 22e6, "more than was asked for: {rates:?}");
    // A busy machine gives fewer pictures, and so fewer bits, than were asked for; but in proportion.
    ensure!(low < first * 0.5 && high > first * 1.2, "the bitrate does not follow: {rates:?}");
    Ok(())
}
