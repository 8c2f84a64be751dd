//! Ten thousand datagrams with one flipped bit arrive beside the genuine ones: each is counted as forged, no
//! picture differs.
//!
//! Sabotage: leave the header out of the authenticated data, or take a shard before its tag was checked.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use anyhow::{Result, ensure};
use lumen_tests::{
    Probe,
    constellation::{PORT, Setup},
    proxy::{Fate, Proxy, Seeded},
};

const FORGERIES: u64 = 10_000;

#[test]
fn forged_datagrams_change_no_picture() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    let mut seeded = Seeded(4);
    let made = Arc::new(AtomicU64::new(0));
    let count = made.clone();
    let judge = move |datagram: &[u8]| {
        // Only video (long datagrams): a copy of every one, until there are enough.
        if datagram.len() < 200 || count.fetch_add(1, Relaxed) >= FORGERIES {
            return Fate::Pass;
        }
        Fate::PassWithForgery { bit: seeded.next_u64() as usize }
    };
    let proxy = Proxy::start(PORT, PORT + 1, judge)?;
    let probe = Probe::allowed(&host)?;
    let report =
        probe.start_from("127.0.0.2", &["--seconds", "20", "--parity", "50"])?.finish()?.success()?;
    let forged = proxy.counters().forged.load(Relaxed);
    ensure!(forged == FORGERIES, "only {forged} forgeries were made");
    ensure!(report.number("/network/forged")? == forged as f64, "{:#}", report.summary["network"]);
    super::stamps_arrive_rising_sharp_and_true::judge(&report)
}
