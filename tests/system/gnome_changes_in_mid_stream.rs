//! On GNOME too size, refresh and bitrate change while the stream runs: the same five processes go on, Mutter's monitor has
//! the new mode, the decoder sees the new size, and no frame is missing.
//!
//! Sabotage: make the Output anew for a new mode, tell of it before the encoder has it, or ask PipeWire for the old size.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lumen_tests::{constellation::STAGES, lab::Lab, probe::Report};
use serde_json::Value;

use super::{
    gnome_streams_sharp_and_true::{STAMP, recorded, stop_without_a_trace},
    stamps_arrive_rising_sharp_and_true::complete,
};

/// Seconds for each step: GNOME lays its monitors out twice, and draws by two busy cores.
const STEP: u64 = 8;

/// A GNOME in which a client streams `first` and then changes to what `later` says, one step after the other.
struct Desk {
    lab: Lab,
    pids: Vec<u32>,
}

impl Desk {
    fn start() -> Result<Self> {
        let lab = Lab::start("trixie")?;
        lab.start_gnome(&[])?;
        lab.config("apps", STAMP)?;
        lab.user(&["systemctl", "--user", "start", "lumen.target"])?;
        let pids = STAGES.into_iter().map(|stage| lab.pid(stage)).collect::<Result<_>>()?;
        Ok(Self { lab, pids })
    }

    /// Streams, waiting for each of `shown` in turn to be the monitor's mode.
    fn stream(&self, first: &str, later: &[String], shown: &[&str]) -> Result<Report> {
        let seconds = ((later.len() as u64 + 1) * STEP).to_string();
        let mut arguments = vec!["--seconds", &seconds, "--app", "stamp", "--mode", first];
        let changes: Vec<String> =
            later.iter().zip(1..).map(|(change, n)| format!("{}:{change}", n * STEP)).collect();
        arguments.extend(changes.iter().flat_map(|change| ["--change", change]));
        let client = self.lab.start_client("probe", &arguments)?;
        let mut serial = None;
        for mode in shown {
            let is_shown = || Ok(current(&self.lab.monitors()?).is_some_and(|now| now == *mode));
            let waited =
                self.lab.wait(&format!("the monitor to have {mode}"), Duration::from_secs(25), is_shown);
            waited.with_context(|| self.lab.monitors().unwrap_or_default())?;
            let monitors = self.lab.monitors()?;
            let serials = recorded(&monitors);
            ensure!(serials.len() == 1, "not one monitor: {monitors}");
            let known = serial.get_or_insert_with(|| serials.join(" "));
            ensure!(*known == serials.join(" "), "{known} became {serials:?}");
        }
        let report = client.finish()?.success().with_context(|| self.lab.logs())?;
        for (stage, before) in STAGES.into_iter().zip(&self.pids) {
            ensure!(self.lab.pid(stage)? == *before, "{stage} was restarted\n{}", self.lab.logs());
        }
        whole(&report).with_context(|| self.lab.logs())?;
        Ok(report)
    }
}

/// The mode that the one recorded monitor has now, like `1280x720@60.000`.
fn current(monitors: &str) -> Option<&str> {
    // [('1280x720@60.000', 1280, 720, 60.0, 1.0, [1.0], {'is-current': <true>, …
    let own = monitors.split("'Virtual remote monitor'").nth(1)?;
    let before = own.split("'is-current': <true>").next().filter(|before| before.len() < own.len())?;
    before.rsplit("('").next()?.split('\'').next()
}

/// No frame is missing, and the numbers in the pictures never fall.
fn whole(report: &Report) -> Result<()> {
    complete(report)?;
    ensure!(report.summary["stamp"]["fallen"] == 0, "{:#}", report.summary["stamp"]);
    ensure!(report.summary["connections"] == 1, "{:#}", report.summary);
    Ok(())
}

/// Figures of the intervals between the changes.
fn intervals(report: &Report, key: &str) -> Result<Vec<f64>> {
    let intervals = report.summary["intervals"].as_array().context("no intervals")?;
    Ok(intervals.iter().filter_map(|interval| interval[key].as_f64()).collect())
}

fn modes(modes: &[&str]) -> Vec<String> {
    modes.iter().map(|mode| format!("mode={mode}")).collect()
}

#[test]
fn gnome_changes_its_size_in_mid_stream() -> Result<()> {
    let desk = Desk::start()?;
    let later = modes(&["1920x1080@60", "1366x768@60", "1080x1920@60"]);
    let shown = ["1280x720@60.000", "1920x1080@60.000", "1366x768@60.000", "1080x1920@60.000"];
    let report = desk.stream("1280x720@60", &later, &shown)?;
    let seen = report.summary["modes"].as_array().context("no modes")?;
    let sizes: Vec<String> =
        seen.iter().map(|mode| format!("{}x{}", mode["width"], mode["height"])).collect();
    ensure!(sizes == ["1280x720", "1920x1080", "1366x768", "1080x1920"], "the decoder saw {sizes:?}");
    let told = report.summary["mode_changes"].as_array().context("no answers")?;
    ensure!(told.len() == 3, "{} answers to 3 changes: {told:#?}", told.len());
    for (mode, told) in seen.iter().skip(1).zip(told) {
        ensure!(mode["first_frame"] == told["next_frame"], "{mode:#} was told as {told:#}");
    }
    // In each size the program is seen again, in its new size and with its numbers going on.
    let numbered = |mode: &Value| {
        let (first, count) = (mode["first_frame"].as_u64(), mode["frames"].as_u64().unwrap_or_default());
        let end = first.map(|first| first + count + mode["repeats"].as_u64().unwrap_or_default());
        let of = |frame: &&Value| frame["number"].as_u64() >= first && frame["number"].as_u64() < end;
        report.frames.iter().filter(of).filter(|frame| frame["stamp"].is_u64()).count()
    };
    let counts: Vec<usize> = seen.iter().map(numbered).collect();
    println!("numbered pictures in each size: {counts:?}");
    ensure!(counts.iter().all(|count| *count >= 10), "numbered pictures in each size: {counts:?}");
    stop_without_a_trace(&desk.lab)
}

#[test]
fn gnome_changes_its_refresh_in_mid_stream() -> Result<()> {
    let desk = Desk::start()?;
    let later = modes(&["640x360@59.94", "640x360@60", "640x360@120", "640x360@240"]);
    let shown = ["640x360@30.000", "640x360@59.940", "640x360@60.000", "640x360@120.000", "640x360@240.000"];
    let report = desk.stream("640x360@30", &later, &shown)?;
    let fps = intervals(&report, "fps")?;
    println!("fps at 30, 59.94, 60, 120, 240 Hz: {fps:.1?}");
    let (slow, fast) = (fps.first().context("no rate")?, fps.get(2).context("no third rate")?);
    ensure!(*slow <= 31.0 && *fast > slow * 1.2, "the rate of the pictures does not follow: {fps:?}");
    stop_without_a_trace(&desk.lab)
}

#[test]
fn gnome_changes_its_bitrate_in_mid_stream() -> Result<()> {
    let desk = Desk::start()?;
    let later = ["bitrate=2M", "bitrate=20M"].map(str::to_owned);
    let report = desk.stream("1280x720@60", &later, &["1280x720@60.000"])?;
    let rates = intervals(&report, "bitrate_bps")?;
    println!("asked 10, 2, 20 Mbit/s, came {rates:.0?}");
    let [first, low, high] = rates[..] else { anyhow::bail!("{} intervals", rates.len()) };
    // What was under way when a lower rate was asked for still comes at the rate before.
    ensure!(first <= 11e6 && low <= 2.5e6 && high <= 22e6, "more than was asked for: {rates:?}");
    ensure!(high > low * 1.5, "the bitrate does not follow: {rates:?}");
    stop_without_a_trace(&desk.lab)
}

#[test]
fn mode_of_the_recorded_monitor_is_read() {
    let monitors = "[(('Meta-0', 'MetaVendor', 'MetaVirtualMonitor', '0x00'), [('800x600@60.000', 800, 600, 60.0, 1.0, \
                    [1.0], {'is-current': <true>})], {}), (('Meta-1', 'MetaVendor', 'Virtual remote monitor', '0x01'), \
                    [('640x360@30.000', 640, 360, 30.0, 1.0, [1.0], {}), ('640x360@59.940', 640, 360, 59.94, 1.0, [1.0], \
                    {'is-current': <true>, 'is-preferred': <true>})], {})]";
    assert_eq!(current(monitors), Some("640x360@59.940"));
    assert_eq!(current(&monitors.replace("<true>", "<false>")), None);
}
