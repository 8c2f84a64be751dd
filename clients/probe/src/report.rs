//! What a stream was like: as JSON for programs, as a table for people.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use serde::Serialize;

use crate::{
    decode::DecodeSummary,
    ear::EarSummary,
    intervals::IntervalSummary,
    judge::StampSummary,
    latency::{LatencySummary, Percentiles},
    mouth::MouthSummary,
    record::RecordError,
    tidings::Tidings,
    video::NetworkSummary,
};

/// The clocks of both sides, compared.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct ClockSummary {
    /// The host's clock less this client's, in nanoseconds.
    pub offset_ns: i64,
    /// Least round trip; the offset is off by half of it at most.
    pub rtt_us: f64,
    /// Pongs that came.
    pub samples: u64,
}

/// All of it.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The host's fingerprint.
    pub host: String,
    /// Where it was.
    pub address: String,
    /// The session's id.
    pub session: String,
    /// How many connections it took: one, unless the host or the network went away.
    pub connections: u64,
    /// Unique pictures a second between the first and the last picture.
    pub fps: f64,
    /// Bits a second of access units over the same time.
    pub bitrate_bps: f64,
    /// From the dial to the first picture, in milliseconds.
    pub launch_to_picture_ms: f64,
    /// How the session ended.
    pub end: String,
    /// What was decoded.
    #[serde(flatten)]
    pub decoded: DecodeSummary,
    /// What the network did.
    pub network: NetworkSummary,
    /// The clocks.
    pub clock: ClockSummary,
    /// What was heard, where it was asked for.
    pub sound: Option<EarSummary>,
    /// What was spoken, where it was asked for.
    pub microphone: Option<MouthSummary>,
    /// What the host told.
    #[serde(flatten)]
    pub tidings: Tidings,
}

impl Summary {
    /// Sets what follows from the rest.
    pub fn derive_rates(&mut self) {
        let decoded = &self.decoded;
        // The span lies between the first and the last picture: one picture less than there are.
        if decoded.span_s > 0.0 && decoded.frames > 1 {
            self.fps = (decoded.frames - 1) as f64 / decoded.span_s;
            self.bitrate_bps = decoded.bytes as f64 * 8.0 / decoded.span_s;
        }
    }

    /// Writes the JSON to `path`, or the table to stdout where there is none; `-` is JSON on stdout.
    ///
    /// # Errors
    /// [`RecordError::File`].
    pub fn write(&self, path: Option<&Path>) -> Result<(), RecordError> {
        let text = || serde_json::to_string_pretty(self).expect("numbers and strings are always JSON") + "\n";
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| RecordError::File { path, source }
        };
        let stdout = Path::new("-");
        match path {
            Some(path) if path == stdout => print(&text()).map_err(failed(stdout)),
            Some(path) => {
                fs::write(path, text()).map_err(failed(path))?;
                print(&self.table()).map_err(failed(stdout))
            }
            None => print(&self.table()).map_err(failed(stdout)),
        }
    }

    /// The table for people.
    fn table(&self) -> String {
        let Self { decoded: d, network: n, .. } = self;
        let mut lines = vec![
            format!("host      {}  {}", self.address, self.host),
            format!("session   {}, {} connection(s), ended: {}", self.session, self.connections, self.end),
            format!(
                "pictures  {} at {:.1} fps, {} repeats, {} IDR, {}x{}, first {:.0} ms after the dial",
                d.frames, self.fps, d.repeats, d.idrs, d.width, d.height, self.launch_to_picture_ms
            ),
            format!(
                "bytes     {:.2} Mbit/s, {} in all, first picture {}, largest {}",
                self.bitrate_bps / 1e6,
                d.bytes,
                d.first_unit,
                d.largest_unit
            ),
            format!(
                "network   {} datagrams, {} frames lost, {} recovered ({} shards), {} forged, {} IDR asked for",
                n.datagrams, n.lost, n.recovered, n.recovered_shards, n.forged, n.idr_requests
            ),
            format!(
                "clock     host {:+.3} s, round trip {:.0} µs",
                self.clock.offset_ns as f64 / 1e9,
                self.clock.rtt_us
            ),
        ];
        lines.extend(self.microphone.as_ref().map(|spoken| {
            format!("microphone {}; {} packets, {} unsent", spoken.answer, spoken.packets, spoken.unsent)
        }));
        lines.extend(d.intervals.iter().filter(|_| d.intervals.len() > 1).map(interval_line));
        lines.extend(latency_table(&d.latency_us));
        lines.extend(d.stamp.as_ref().map(stamp_line));
        lines.join("\n") + "\n"
    }
}

fn interval_line(interval: &IntervalSummary) -> String {
    let change = if interval.change.is_empty() { "as launched" } else { &interval.change };
    format!(
        "from {:>4.1} s {change}: {} pictures at {:.1} fps, {:.2} Mbit/s",
        interval.from_s,
        interval.frames,
        interval.fps,
        interval.bitrate_bps / 1e6
    )
}

fn latency_table(latency: &LatencySummary) -> Vec<String> {
    let row = |name: &str, p: &Percentiles| {
        let ms = |us: f64| us / 1e3;
        format!("{name:<24}{:>9.2}{:>9.2}{:>9.2}{:>9.2}", ms(p.p50), ms(p.p95), ms(p.p99), ms(p.max))
    };
    vec![
        format!("\n{:<24}{:>9}{:>9}{:>9}{:>9}", "latency, ms", "p50", "p95", "p99", "max"),
        row("dequeued → encoded", &latency.dequeued_to_encoded),
        row("encoded → sent", &latency.encoded_to_sent),
        row("sent → received", &latency.sent_to_received),
        row("received → decoded", &latency.received_to_decoded),
        row("total", &latency.total),
        row("of it in the encoder", &latency.encode),
        row("added before sent", &latency.added),
    ]
}

fn stamp_line(stamp: &StampSummary) -> String {
    let show = |n: Option<u32>| n.map_or("none".into(), |n| n.to_string());
    let psnr = stamp.text_psnr_min_db.map_or("not measured".into(), |db| format!("≥ {db:.1} dB"));
    format!(
        "\nstamp     {} numbers read from {} to {}, {}, {} skipped, {} unreadable; text {psnr}; colours off by ≤ {:.1}",
        stamp.read,
        show(stamp.first),
        show(stamp.last),
        if stamp.strictly_rising { "strictly rising" } else { "NOT strictly rising" },
        stamp.skipped,
        stamp.unreadable,
        stamp.patch_error_max,
    )
}

fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
