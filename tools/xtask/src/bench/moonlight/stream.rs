//! One stream of the genuine client: when each frame came, and what it cost the host.

use std::{
    collections::HashMap,
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use lumen_tests::{Moonlight, film, moonlight::Played};

use super::{MODE, SIZE, WARM_UP};

/// RTP's clock.
const TICKS_A_SECOND: f64 = 90_000.0;

/// What was seen of a stream after its warm-up.
pub struct Stream {
    pub played: Played,
    pub fps: f64,
    /// What the host says that a frame took it, as far as it says so.
    pub host: Vec<Duration>,
    /// From when lumen-stamp gave a picture to its display until the client had the first frame with its number.
    pub drawn: Vec<Duration>,
    /// CPU a frame of each process of the host, in milliseconds.
    pub costs: Vec<f64>,
    settled: u64,
}

impl Stream {
    /// Launches with further `wishes` and streams for `seconds`. `used` says what each process of the host has used so far;
    /// lumen-stamp writes its times to the file `drawn`.
    ///
    /// # Errors
    /// The stream broke off or misses a frame, or nothing in it can be read.
    pub fn record(
        client: &Moonlight,
        wishes: &[&str],
        seconds: u32,
        drawn: &str,
        used: impl Fn() -> Result<Vec<Duration>>,
    ) -> Result<Self> {
        let mut playing =
            client.start("launch", &[&["--mode", MODE, "--seconds", "600"], wishes].concat())?;
        playing.wait_for(30)?;
        thread::sleep(WARM_UP);
        let (before, begun) = (used()?, Instant::now());
        thread::sleep(Duration::from_secs(seconds.into()));
        let (after, took) = (used()?, begun.elapsed().as_secs_f64());
        let played = playing.end("INT")?;
        played.whole()?;
        let arrivals = played.arrivals();
        let settled = arrivals.first().copied().unwrap_or_default() + WARM_UP.as_nanos() as u64;
        let length = arrivals.last().copied().unwrap_or_default().saturating_sub(settled);
        let fps = arrivals.iter().filter(|at_ns| **at_ns >= settled).count() as f64
            / Duration::from_nanos(length).as_secs_f64();
        let costs = after.into_iter().zip(before).map(|(after, before)| after.saturating_sub(before));
        let costs = costs.map(|cost| cost.as_secs_f64() * 1e3 / (took * fps)).collect();
        let log = fs::read_to_string(drawn).context("lumen-stamp wrote no times")?;
        let drawn = since_drawn(&played, &log, settled)?;
        let host = of_host(&played, settled);
        Ok(Self { played, fps, host, drawn, costs, settled })
    }

    /// From the moment of capture until the client had the frame, where RTP's timestamp is that moment in ticks of the
    /// machine's clock, as lumen's is.
    pub fn since_capture(&self) -> Vec<Duration> {
        of_frames(&self.played, self.settled, |frame, at_ns| {
            let now = (u128::from(at_ns) * 9 / 100_000) as u32;
            let ticks = now.wrapping_sub(frame["rtp"].as_u64()? as u32);
            Some(Duration::from_secs_f64(f64::from(ticks) / TICKS_A_SECOND))
        })
    }
}

/// Of the frames that came after `from_ns`, what `measure` says of each.
fn of_frames(
    played: &Played,
    from_ns: u64,
    measure: impl Fn(&serde_json::Value, u64) -> Option<Duration>,
) -> Vec<Duration> {
    let measured = played.frames.iter().filter_map(|frame| {
        let at_ns = frame["received_ns"].as_u64().filter(|at_ns| *at_ns >= from_ns)?;
        measure(frame, at_ns)
    });
    measured.collect()
}

fn of_host(played: &Played, from_ns: u64) -> Vec<Duration> {
    // Repeats say 0, because their picture was captured long ago.
    of_frames(played, from_ns, |frame, _| {
        frame["host_us"].as_u64().filter(|us| *us > 0).map(Duration::from_micros)
    })
}

fn since_drawn(played: &Played, log: &str, from_ns: u64) -> Result<Vec<Duration>> {
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
    Ok(took.collect())
}
