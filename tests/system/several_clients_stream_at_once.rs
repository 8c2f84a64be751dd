//! Two clients at once for a minute, each with a mode and a desktop of its own.
//!
//! Sabotage: give both clients one Output, one channel, or the mode of the first.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, ensure};
use lumen_tests::{
    Probe,
    constellation::{Setup, wait},
    overview::{Overview, sway_sockets},
};
#[test]
fn several_clients_stream_at_once() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    let (first, second) = (Probe::allowed(&host)?, Probe::allowed(&host)?);
    let watching = [
        first.start(&["--seconds", "60", "--mode", "1280x720@60"])?,
        second.start(&["--seconds", "60", "--mode", "960x540@30", "--bitrate", "5M"])?,
    ];
    wait("both sessions", Duration::from_secs(15), || {
        sway_sockets(&host).len() == 2
            && Overview::of(&host).is_ok_and(|overview| overview.sessions().len() == 2)
    })?;
    let overview = Overview::of(&host)?;
    let sessions: BTreeSet<_> =
        overview.sessions().iter().filter_map(|session| session["session"].as_str()).collect();
    ensure!(sessions.len() == 2, "{sessions:?}");
    let reports: Vec<_> =
        watching.into_iter().map(|probe| probe.finish()?.success()).collect::<Result<_>>()?;
    for (report, (width, fps)) in reports.iter().zip([(1280.0, 60.0), (960.0, 30.0)]) {
        super::stamps_arrive_rising_sharp_and_true::complete(report)?;
        let stamp = &report.summary["stamp"];
        ensure!(stamp["strictly_rising"] == true, "numbers do not rise strictly: {stamp:#}");
        ensure!(report.number("/stamp/patch_error_max")? <= 3.0, "colours are wrong: {stamp:#}");
        // In the mean, because two cores that make two streams leave pictures out, and then more changes at once.
        ensure!(report.number("/stamp/text_psnr_mean_db")? >= 35.0, "the text is blurred: {stamp:#}");
        ensure!(report.number("/width")? == width, "{:#}", report.summary["modes"]);
        let got = report.number("/fps")?;
        println!("{width}: {got:.1} fps of {fps}");
        ensure!(got <= fps * 1.05, "{got} fps of {fps}");
    }
    let ids: BTreeSet<_> = reports
        .iter()
        .map(|report| report.summary["session"].as_str().context("no id"))
        .collect::<Result<_>>()?;
    ensure!(ids == sessions, "{ids:?} were not {sessions:?}");
    Ok(())
}
