//! Two hundred first datagrams that look like a handshake and lead nowhere: a client that is allowed streams beside
//! them, and of the host's descriptors and threads none is left behind. Handshakes that really stand open are held in
//! transportd's own tests.
//!
//! Sabotage: make a socket or a thread for each first datagram.

use std::{fs, net::UdpSocket, thread, time::Duration};

use anyhow::{Result, ensure};
use lumen_tests::{
    Probe,
    constellation::{PORT, Setup},
};

#[test]
fn silent_connections_hold_nobody_up() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    let probe = Probe::allowed(&host)?;
    probe.stream(&["--seconds", "1"])?.success()?;
    let pid = host.pid("transportd")?;
    let count = |what: &str| fs::read_dir(format!("/proc/{pid}/{what}")).map(Iterator::count);
    let before = (count("fd")?, count("task")?);
    let silent: Vec<UdpSocket> = (0..200).map(knock).collect::<Result<_>>()?;
    let report = probe.stream(&["--seconds", "3"])?.success()?;
    super::stamps_arrive_rising_sharp_and_true::judge(&report)?;
    let wait = report.number("/launch_to_picture_ms")?;
    println!("first picture after {wait} ms beside {} silent connections", silent.len());
    thread::sleep(Duration::from_secs(11));
    let after = (count("fd")?, count("task")?);
    ensure!(after.0 <= before.0 + 1 && after.1 <= before.1 + 1, "{before:?} became {after:?}");
    ensure!(host.pid("transportd")? == pid, "transportd did not live through it");
    Ok(())
}

/// The first datagram of a QUIC handshake (RFC 9000, a long header with a version), then nothing.
fn knock(n: u8) -> Result<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let mut datagram = vec![0u8; 1200];
    let head = [0xc3, 0, 0, 0, 1, 8, n, 2, 3, 4, 5, 6, 7, 8, 8, 9, n, 3, 4, 5, 6, 7, 8, 0, 0x44, 0x80];
    datagram[..head.len()].copy_from_slice(&head);
    socket.send_to(&datagram, ("127.0.0.1", PORT))?;
    Ok(socket)
}
