//! End to end on the host, with real parts: a headless sway shows lumen-stamp, five services carry its pictures,
//! the probe reads the numbers out of what it decoded.
//!
//! Sabotage: freeze the picture (lumen-stamp --still), skip a frame in transportd, encode at a fixed QP of 45,
//! convert with BT.601, or start two stages from one unit.

use std::collections::HashSet;

use anyhow::{Context, Result, ensure};
use lumen_tests::{
    Probe,
    constellation::{STAGES, Setup},
    probe::Report,
};

#[test]
fn stamps_arrive_rising_sharp_and_true() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    let report = Probe::allowed(&host)?.stream(&["--seconds", "10", "--bitrate", "10M"])?.success()?;
    judge(&report)?;
    let cgroups = STAGES.map(|stage| host.property(&format!("lumen-{stage}.service"), "ControlGroup"));
    let cgroups: HashSet<String> = cgroups.into_iter().collect::<Result<_>>()?;
    ensure!(cgroups.len() == 5, "five stages live in {cgroups:?}");
    let failed = host.failed_units()?;
    ensure!(failed.is_empty(), "failed units: {failed}");
    println!("{} fps; latency in µs: {:#}", report.number("/fps")?, report.summary["latency_us"]);
    Ok(())
}

/// What holds for every stream of a moving desktop at 10 Mbit/s.
pub fn judge(report: &Report) -> Result<()> {
    let stamp = report.summary.pointer("/stamp").context("no stamp in the summary")?;
    ensure!(stamp["strictly_rising"] == true, "numbers do not rise strictly: {stamp:#}");
    // The desktop is empty until the program has drawn; from its first frame on every picture has a number.
    let numbered = report.frames.iter().skip_while(|frame| frame["stamp"].is_null());
    let unreadable = numbered.filter(|frame| frame["stamp"].is_null()).count();
    ensure!(unreadable == 0, "{unreadable} pictures without a number: {stamp:#}");
    ensure!(report.number("/stamp/read")? >= 100.0, "hardly any picture came: {stamp:#}");
    ensure!(report.number("/stamp/text_psnr_min_db")? >= 35.0, "the text is blurred: {stamp:#}");
    ensure!(report.number("/stamp/patch_error_max")? <= 3.0, "colours are wrong: {stamp:#}");
    complete(report)
}

/// Every AccessUnit that encoded made arrived and was decoded: the numbers that transportd gave have no gap.
pub fn complete(report: &Report) -> Result<()> {
    ensure!(report.summary["network"]["lost"] == 0, "frames were lost: {:#}", report.summary["network"]);
    ensure!(
        report.summary["decode_errors"] == 0 && report.summary["undecodable"] == 0,
        "{:#}",
        report.summary
    );
    let numbers: Vec<u64> = report.frames.iter().filter_map(|frame| frame["number"].as_u64()).collect();
    ensure!(numbers.first() == Some(&0), "the first frames are missing: {:?}", numbers.first());
    let (first, last) = (numbers.first().context("no frame")?, numbers.last().context("no frame")?);
    ensure!(
        last - first + 1 == numbers.len() as u64,
        "{} of frames {first} to {last} arrived",
        numbers.len()
    );
    Ok(())
}
