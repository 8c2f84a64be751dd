//! `lumenctl top`: how long each step of each session's pictures takes, and what is sent.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Map, Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::bus::Bus;
use crate::paper;
use crate::table;

/// The steps in their order, as `Transport1.Latency` calls them, and what they are to a person.
const STEPS: [(&str, &str); 8] = [
    ("captured", "captured: dequeued → with encoded"),
    ("convert", "encoded: received → encode begins"),
    ("encode", "encoded: the encode call"),
    ("hand_over", "encoded: encoded → with transportd"),
    ("packetise", "transportd: received → shards and parity"),
    ("first_sent", "transportd: cut → first datagram sent"),
    ("last_sent", "transportd: cut → last datagram sent"),
    ("added", "all of it, less the encode call"),
];

/// A second is what a person reads in.
const INTERVAL: Duration = Duration::from_secs(1);

/// From the top left corner, each line up to its end, then what is below: no flicker, unlike clearing first.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K\n";
const CLEAR_BELOW: &str = "\x1b[J";

/// One look, or one a second until Ctrl-C.
pub async fn show(bus: &Bus, once: bool, as_json: bool) -> Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut before = Vec::new();
    loop {
        let now = gather(bus).await?;
        let shown = match (as_json, once) {
            (true, _) => format!("{}\n", json!({ "sessions": now })),
            (false, true) => text(&now, &before),
            (false, false) => format!("{HOME}{}{CLEAR_BELOW}", text(&now, &before).replace('\n', CLEAR_LINE)),
        };
        paper::print(&shown)?;
        before = now;
        tokio::select! {
            () = tokio::time::sleep(INTERVAL), if !once => {}
            _ = interrupt.recv(), if !once => return Ok(ExitCode::SUCCESS),
            else => return Ok(ExitCode::SUCCESS),
        }
    }
}

/// Each session's figures with its latency under `latency`.
async fn gather(bus: &Bus) -> Result<Vec<Map<String, Value>>> {
    let mut sessions = bus.sessions().await?;
    for session in &mut sessions {
        let id = session.get("session").and_then(Value::as_str).unwrap_or_default().to_owned();
        // A session that ended between the two calls has no latency to show.
        let latency = bus.latency(&id).await.unwrap_or_default();
        session.insert("latency".to_owned(), Value::Object(latency));
    }
    Ok(sessions)
}

fn text(now: &[Map<String, Value>], before: &[Map<String, Value>]) -> String {
    if now.is_empty() {
        return "no session; a client that is allowed may start one at any time\n".to_owned();
    }
    let mut text = String::new();
    for session in now {
        let earlier = before.iter().find(|earlier| earlier.get("session") == session.get("session"));
        text.push_str(&headline(session));
        text.push_str(&counters(session, earlier));
        text.push_str(&latency(session));
        text.push('\n');
    }
    text
}

fn headline(session: &Map<String, Value>) -> String {
    let word = |key: &str| session.get(key).and_then(Value::as_str).unwrap_or("-");
    let refresh = number(session, "refresh_mhz") / 1000.0;
    let (width, height) = (number(session, "width"), number(session, "height"));
    let seconds = number(session, "age_ns") / 1e9;
    format!("{}  {}  {width}x{height}@{refresh}  {seconds:.0} s\n", word("session"), word("client"))
}

/// Counts since the launch and, after the first look, rates since the look before.
fn counters(session: &Map<String, Value>, earlier: Option<&Map<String, Value>>) -> String {
    let count = |key: &str| number(session, key);
    let unique = count("frames") - count("repeats");
    let mut text = format!(
        "frames: {unique} unique, {} repeated, {} IDR; {:.1} MB; {} datagrams, largest burst {}; unsent {}, forged {}\n",
        count("repeats"),
        count("idrs"),
        count("bytes") / 1e6,
        count("datagrams"),
        count("largest_burst"),
        count("unsent"),
        count("forged"),
    );
    if let Some(earlier) = earlier {
        let seconds = (count("age_ns") - number(earlier, "age_ns")) / 1e9;
        let rate = |key: &str| (count(key) - number(earlier, key)) / seconds.max(1e-3);
        let _ = writeln!(
            text,
            "now: {:.1} pictures/s, {:.1} of them repeated, {:.2} Mbit/s sent, {:.2} asked of the encoder",
            rate("frames"),
            rate("repeats"),
            rate("bytes") * 8.0 / 1e6,
            count("bitrate_bps") / 1e6,
        );
    }
    text
}

fn latency(session: &Map<String, Value>) -> String {
    let Some(Value::Object(steps)) = session.get("latency") else {
        return String::new();
    };
    let mut rows = vec![table::row(["STEP (ms)", "p50", "p95", "p99", "max"])];
    for (key, name) in STEPS {
        let Some(Value::Array(quantiles)) = steps.get(key) else {
            continue;
        };
        let mut row = vec![name.to_owned()];
        row.extend(quantiles.iter().filter_map(Value::as_f64).map(|us| format!("{:.3}", us / 1000.0)));
        rows.push(row);
    }
    table::lines(&rows)
}

/// A figure; what the stage does not say is 0. Whole numbers below 2^53 are exact.
fn number(session: &Map<String, Value>, key: &str) -> f64 {
    session.get(key).and_then(Value::as_f64).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(age_ns: u64, frames: u64, repeats: u64, bytes: u64) -> Map<String, Value> {
        let value = json!({
            "session": "00ff", "client": "probe", "width": 1280, "height": 720, "refresh_mhz": 59_940,
            "age_ns": age_ns, "frames": frames, "repeats": repeats, "bytes": bytes, "largest_burst": 44,
            "bitrate_bps": 10_000_000,
            "latency": { "frames": frames, "encode": [4_000.0, 5_000.0, 6_500.0, 7_000.0] },
        });
        let Value::Object(session) = value else { panic!("an object") };
        session
    }

    #[test]
    fn a_look_shows_counts_and_quantiles() {
        let shown = text(&[session(2_000_000_000, 120, 20, 2_500_000)], &[]);
        for word in ["1280x720@59.94", "100 unique, 20 repeated", "largest burst 44", "4.000", "6.500"] {
            assert!(shown.contains(word), "no {word:?} in:\n{shown}");
        }
        assert!(!shown.contains("now:"), "a first look has no rate:\n{shown}");
    }

    #[test]
    fn a_second_look_shows_rates_since_the_first() {
        let before = [session(1_000_000_000, 60, 0, 1_250_000)];
        let shown = text(&[session(3_000_000_000, 180, 10, 3_750_000)], &before);
        assert!(
            shown.contains(
                "now: 60.0 pictures/s, 5.0 of them repeated, 10.00 Mbit/s sent, 10.00 asked of the encoder"
            ),
            "{shown}"
        );
    }

    #[test]
    fn nobody_streaming_is_said() {
        assert!(text(&[], &[]).starts_with("no session"));
    }
}
