//! With the probe's clock ahead by five seconds the latency table is the same.
//!
//! Sabotage: leave the offset out of the conversion of the host's times.

use anyhow::{Result, ensure};
use lumen_tests::{Probe, constellation::Setup};

#[test]
fn the_clients_clock_does_not_matter() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    let probe = Probe::allowed(&host)?;
    let arguments = ["--seconds", "4", "--clock-offset"];
    let steady = probe.stream(&[&arguments[..], &["0"]].concat())?.success()?;
    let ahead = probe.stream(&[&arguments[..], &["5"]].concat())?.success()?;
    let offset = ahead.number("/clock/offset_ns")? - steady.number("/clock/offset_ns")?;
    ensure!((offset + 5e9).abs() < 5e7, "the clocks were compared wrongly: {offset} ns");
    for row in ["dequeued_to_encoded", "encoded_to_sent", "sent_to_received", "received_to_decoded", "total"]
    {
        let median = |report: &lumen_tests::probe::Report| report.number(&format!("/latency_us/{row}/p50"));
        let (steady, ahead) = (median(&steady)?, median(&ahead)?);
        println!("{row}: {steady} µs, {ahead} µs with the clock ahead");
        // An offset that leaks through shows as five seconds; a busy machine as some tens of milliseconds.
        ensure!((ahead - steady).abs() < 500_000.0, "{row}: {steady} µs became {ahead} µs");
    }
    Ok(())
}
