//! What the client saw of it: the six signs of a disconnect, and how long no picture came after each death.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lumen_tests::probe::Report;
use serde_json::Value;

/// Which desktop the client may see in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Desktop {
    /// That of the beginning.
    Same,
    /// Another one, whose program counts from the beginning, because its compositor was killed.
    New,
}

/// Arrival of each picture, CLOCK_MONOTONIC ns, in order.
pub fn arrivals(report: &Report) -> Vec<u64> {
    report
        .frames
        .iter()
        .filter_map(|frame| frame.pointer("/moments/received_ns").and_then(Value::as_u64))
        .collect()
}

/// What begins later after a death has another cause.
pub const NEAR_NS: u64 = 250_000_000;

/// The longest time between two `arrivals` that begins within a quarter of a second after `kill_ns`, or contains it.
pub fn gap_after(arrivals: &[u64], kill_ns: u64) -> Option<Duration> {
    let pairs = arrivals.iter().zip(arrivals.iter().skip(1));
    let near = pairs.filter(|(before, after)| **after > kill_ns && **before < kill_ns + NEAR_NS);
    near.map(|(before, after)| Duration::from_nanos(after - before)).max()
}

/// The same for two deaths of which the second was at `kill_ns`: only the time from then on, since what the first one cost
/// until then depends on when the second came.
pub fn gap_since(arrivals: &[u64], kill_ns: u64) -> Option<Duration> {
    let pairs = arrivals.iter().zip(arrivals.iter().skip(1));
    let near = pairs.filter(|(before, after)| **after > kill_ns && **before < kill_ns + NEAR_NS);
    near.map(|(before, after)| Duration::from_nanos(after - before.max(&kill_ns))).max()
}

/// The signs that the client itself can see.
pub fn no_disconnect(report: &Report, desktop: Desktop) -> Result<()> {
    let end = report.summary.get("end").and_then(Value::as_str).unwrap_or_default();
    ensure!(
        report.output.status.success() && ["as asked", "by a signal"].contains(&end),
        "the session broke off: {end}"
    );
    let numbers: Vec<u64> = report.frames.iter().filter_map(|frame| frame.get("number")?.as_u64()).collect();
    let back = numbers.iter().zip(numbers.iter().skip(1)).find(|(before, after)| after <= before);
    ensure!(back.is_none(), "a frame number went back or came twice: {back:?}");
    for (what, pointer) in [
        ("datagrams came twice under one key", "/network/replayed"),
        ("datagrams were forged", "/network/forged"),
        ("pictures could not be decoded", "/undecodable"),
        ("the decoder failed", "/decode_errors"),
    ] {
        let count = report.number(pointer).with_context(|| what.to_owned())?;
        ensure!(count == 0.0, "{what}: {count}");
    }
    // Equal ones are the newest picture, handed once more to whom had not seen it.
    let stamps: Vec<u64> = report.frames.iter().filter_map(|frame| frame.get("stamp")?.as_u64()).collect();
    let falls = |(before, after): &(&u64, &u64)| after < before && desktop == Desktop::Same;
    let back = stamps.iter().zip(stamps.iter().skip(1)).find(falls);
    ensure!(stamps.len() > 1 && back.is_none(), "an older picture came again: {back:?} of {}", stamps.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_belongs_to_the_death_it_contains_or_follows() {
        let ms = 1_000_000;
        let arrivals: Vec<u64> = [0, 16, 32, 90, 106, 122, 3000, 3016].iter().map(|n| n * ms).collect();
        assert_eq!(gap_after(&arrivals[..6], 40 * ms), Some(Duration::from_millis(58)));
        assert_eq!(gap_after(&arrivals[..6], 100 * ms), Some(Duration::from_millis(16)));
        assert_eq!(gap_after(&arrivals, 2000 * ms), Some(Duration::from_millis(2878)));
        assert_eq!(gap_after(&arrivals, 4000 * ms), None);
        assert_eq!(gap_since(&arrivals[..6], 40 * ms), Some(Duration::from_millis(50)));
        assert_eq!(gap_since(&arrivals[..6], 100 * ms), Some(Duration::from_millis(16)));
    }
}
