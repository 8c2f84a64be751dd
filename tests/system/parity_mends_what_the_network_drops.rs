//! Through a proxy that drops one datagram in twenty: parity of 50 % recovers every frame, and without parity the
//! same proxy costs frames.
//!
//! Sabotage: send no parity although it was asked for.

use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Result, ensure};
use lumen_tests::{
    Constellation, Probe,
    constellation::{PORT, Setup},
    probe::Report,
    proxy::{Fate, Proxy, Seeded},
};

const SEED: u64 = 20;

#[test]
fn parity_mends_what_the_network_drops() -> Result<()> {
    println!("seed {SEED}");
    let host = Setup::stamp(&[]).start()?;
    let mended = lossy(&host, "50")?.success()?;
    ensure!(mended.number("/network/lost")? == 0.0, "frames were lost: {:#}", mended.summary["network"]);
    ensure!(
        mended.number("/network/recovered")? > 0.0,
        "nothing had to be recovered: {:#}",
        mended.summary["network"]
    );
    super::stamps_arrive_rising_sharp_and_true::judge(&mended)?;
    let bare = lossy(&host, "0")?;
    ensure!(bare.number("/network/lost")? > 0.0, "without parity frames must be lost: {:#}", bare.summary);
    Ok(())
}

fn lossy(host: &Constellation, parity: &str) -> Result<Report> {
    let mut seeded = Seeded(SEED);
    let judge = move |_: &[u8]| if seeded.one_in(20) { Fate::Drop } else { Fate::Pass };
    let proxy = Proxy::start(PORT, PORT + 1, judge)?;
    let report =
        Probe::allowed(host)?.start_from("127.0.0.2", &["--seconds", "8", "--parity", parity])?.finish()?;
    let (seen, dropped) = (proxy.counters().seen.load(Relaxed), proxy.counters().dropped.load(Relaxed));
    println!("parity {parity} %: {dropped} of {seen} datagrams dropped");
    ensure!(dropped > 20, "the proxy was not in between: {seen} datagrams seen");
    Ok(report)
}
