//! Two hundred handshakes that stand open, from one machine and from many: a client that is allowed connects and streams
//! beside them, the deadline of the handshake frees them all, and of the host's descriptors and threads none is left.
//!
//! Sabotage: no limit of connections that wait, one that sends newcomers away, no deadline, or a socket or a thread for
//! each first datagram.

use std::{fs, net::Ipv4Addr, time::Duration};

use anyhow::{Result, ensure};
use lumen_tests::{
    Constellation, Probe,
    constellation::{PORT, Setup, wait},
    overview::{Overview, count},
    silent::{Crowd, Silent},
};

/// As transportd has them: all, and of one address.
const PLACES: u64 = 64;
const PLACES_EACH: u64 = 16;

#[test]
fn two_hundred_silent_handshakes_hold_nobody_up() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    let probe = Probe::allowed(&host)?;
    probe.stream(&["--seconds", "1"])?.success()?;
    let before = holdings(&host)?;
    let crowd = Crowd::before(([127, 0, 0, 1], PORT).into())?;
    let one = knock(&crowd, |_| Ipv4Addr::LOCALHOST)?;
    let places = waiting(&host)?;
    ensure!((2..=PLACES_EACH).contains(&places), "{places} handshakes of one address are held open");
    ensure!(one.iter().any(|silent| silent.was_asked), "nobody had to prove his address");
    let many = knock(&crowd, |n| Ipv4Addr::new(127, 0, 1, n / 10))?;
    let places = waiting(&host)?;
    ensure!((PLACES_EACH + 1..=PLACES).contains(&places), "{places} of 400 handshakes are held open");
    let report = probe.stream(&["--seconds", "3"])?.success()?;
    super::stamps_arrive_rising_sharp_and_true::judge(&report)?;
    println!(
        "first picture after {} ms beside {places} silent handshakes",
        report.number("/launch_to_picture_ms")?
    );
    wait("the deadline of the handshakes", Duration::from_secs(20), || waiting(&host).is_ok_and(|n| n == 0))?;
    drop((one, many));
    let after = holdings(&host)?;
    ensure!(after.0 <= before.0 + 1 && after.1 <= before.1 + 1, "{before:?} became {after:?}");
    ensure!(after.2 == before.2, "transportd did not live through it");
    Ok(())
}

fn knock(crowd: &Crowd, from: impl Fn(u8) -> Ipv4Addr) -> Result<Vec<Silent>> {
    (0..200).map(|n| crowd.knock(from(n))).collect()
}

/// Connections that have not yet said what they want.
fn waiting(host: &Constellation) -> Result<u64> {
    count(Overview::of(host)?.stage("transportd")?, "handshakes")
}

/// Descriptors, threads and process id of transportd.
fn holdings(host: &Constellation) -> Result<(usize, usize, u32)> {
    let pid = host.pid("transportd")?;
    let entries = |what: &str| fs::read_dir(format!("/proc/{pid}/{what}")).map(Iterator::count);
    Ok((entries("fd")?, entries("task")?, pid))
}
