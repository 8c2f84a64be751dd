//! lumen's own bus: a person cannot open a link, nobody may listen in, take a foreign name or a stage's name; and
//! a session id that does not exist is answered with what to do.
//!
//! Sabotage: leave `require_stage` out of a method, or the Monitoring rule out of bus.conf.

use anyhow::{Result, ensure};
use lumen_tests::{
    Constellation,
    constellation::{Setup, text},
};

const DBUS: [&str; 3] = ["org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus"];
const NOBODY: &str = "00112233445566778899aabbccddeeff";

#[test]
fn the_bus_refuses_whom_it_does_not_know() -> Result<()> {
    let host = Setup::default().start()?;
    let spec = "width u 1280 height u 720 refresh_mhz u 60000 codec s h264 bitrate_bps u 1000000";
    let open = |object: &str, method: &str| {
        let (name, path) = (format!("org.lumen.{object}"), format!("/org/lumen/{object}"));
        let head = [name.as_str(), &path, &name, method, "sa{sv}", NOBODY, "5"];
        call(&host, &head.into_iter().chain(spec.split(' ')).collect::<Vec<_>>())
    };
    for (object, method) in
        [("Encode1", "Open"), ("Capture1", "Open"), ("Input1", "Open"), ("Display1", "Acquire")]
    {
        let (ok, said) = open(object, method)?;
        ensure!(!ok && said.contains("only "), "{object}.{method} by a person: {said}");
    }
    let (ok, said) = call(&host, &own("com.example.Foreign"))?;
    ensure!(!ok, "a foreign name was given away: {said}");
    let (_, said) = call(&host, &own("org.lumen.Encode1"))?;
    ensure!(said.trim() == "u 3", "a stage's name was taken over: {said}");
    let monitor =
        [&DBUS[..2], &["org.freedesktop.DBus.Monitoring", "BecomeMonitor", "asu", "0", "0"]].concat();
    let (ok, said) = call(&host, &monitor)?;
    ensure!(!ok, "somebody may listen in: {said}");
    let transport = ["org.lumen.Transport1", "/org/lumen/Transport1", "org.lumen.Transport1"];
    for wrong in [NOBODY, "nonsense"] {
        let (ok, said) = call(&host, &[&transport[..], &["End", "s", wrong]].concat())?;
        ensure!(!ok && said.contains("lumenctl status"), "End({wrong}): {said}");
    }
    Ok(())
}

fn own(name: &str) -> Vec<&str> {
    [&DBUS[..], &["RequestName", "su", name, "4"]].concat()
}

/// One call as the user, outside of lumen's slice.
fn call(host: &Constellation, words: &[&str]) -> Result<(bool, String)> {
    let address = format!("--address=unix:path={}/lumen/bus", host.runtime_dir().display());
    let output = host.as_user(&[&["busctl", &address, "call"], words].concat())?;
    Ok((output.status.success(), text(&output)))
}
