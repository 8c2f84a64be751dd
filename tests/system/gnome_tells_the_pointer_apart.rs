//! A client that draws the pointer itself: GNOME's pointer is not in the pictures, and the client hears what it looks like
//! and each place it goes to. A client that did not ask for it has it in the picture and hears nothing.
//!
//! Sabotage: leave the launch's flag out of what encoded is asked for, draw the pointer as well, or answer no place.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lumen_tests::{lab::Lab, probe::Report};
use serde_json::Value;

use super::gnome_streams_sharp_and_true::{STAMP, recorded, stop_without_a_trace};

/// Moves GNOME's pointer as a mouse would, from the upper left corner in ten steps of (30, 20).
const MOUSE: &str = r#"
import time
from gi.repository import Gio, GLib
bus = Gio.bus_get_sync(Gio.BusType.SESSION)
name, root = 'org.gnome.Mutter.RemoteDesktop', '/org/gnome/Mutter/RemoteDesktop'
def call(path, interface, method, arguments=None):
    return bus.call_sync(name, path, name + interface, method, arguments, None, 0, -1)
session = call(root, '', 'CreateSession').unpack()[0]
call(session, '.Session', 'Start')
def move(dx, dy):
    call(session, '.Session', 'NotifyPointerMotionRelative', GLib.Variant('(dd)', (dx, dy)))
    time.sleep(0.3)
move(-9000.0, -9000.0)
for _ in range(10):
    move(30.0, 20.0)
time.sleep(2)
call(session, '.Session', 'Stop')
"#;

/// Streams with these arguments while the mouse moves.
fn stream(lab: &Lab, arguments: &[&str]) -> Result<Report> {
    let all = [&["--seconds", "18", "--app", "stamp"], arguments].concat();
    let client = lab.start_client("probe", &all)?;
    lab.wait("the monitor", Duration::from_secs(15), || Ok(!recorded(&lab.monitors()?).is_empty()))?;
    lab.wait("the app", Duration::from_secs(10), || Ok(lab.user(&["pgrep", "-x", "lumen-stamp"]).is_ok()))?;
    std::thread::sleep(Duration::from_secs(5));
    lab.user(&["python3", "-c", MOUSE])?;
    client.finish()?.success()
}

/// Places that were told, in order, without those that say the same again.
fn places(pointer: &Value) -> Result<Vec<(i64, i64)>> {
    let moves = pointer["moves"].as_array().context("no moves")?;
    let spot = |line: &Value| Some((line["spot"][0].as_i64()?, line["spot"][1].as_i64()?));
    let mut places: Vec<(i64, i64)> = moves.iter().filter_map(spot).collect();
    places.dedup();
    Ok(places)
}

#[test]
fn gnome_tells_the_pointer_apart() -> Result<()> {
    let lab = Lab::start("trixie")?;
    lab.start_gnome(&[])?;
    lab.config("apps", STAMP)?;
    lab.user(&["systemctl", "--user", "start", "lumen.target"])?;

    let report = stream(&lab, &["--cursor", "separate"])?;
    let pointer = &report.summary["pointer"];
    let places = places(pointer)?;
    let corner = places.iter().position(|place| *place == (0, 0));
    let corner = corner.with_context(|| format!("never in the corner: {places:?}\n{}", lab.logs()))?;
    let steps: Vec<(i64, i64)> = places.get(corner..).unwrap_or_default().to_vec();
    println!("places: {steps:?}; shapes: {}", pointer["shapes"]);
    // Of two movements that come at once the older one may be skipped; these are 300 ms apart.
    let expected: Vec<(i64, i64)> = (0..=10).map(|step| (step * 30, step * 20)).collect();
    ensure!(steps == expected, "from the corner on the pointer was told at {steps:?}\n{}", lab.logs());
    let moves = pointer["moves"].as_array().context("no moves")?;
    let drawable =
        moves.iter().filter(|line| line["spot"].is_array()).all(|line| line["is_drawable"] == true);
    ensure!(drawable, "a place came before its shape: {pointer:#}");
    let shapes = pointer["shapes"].as_object().context("no shapes")?;
    ensure!(
        shapes.values().any(|shape| shape["visible"].as_u64() > Some(20)),
        "no shape to be seen: {pointer:#}"
    );

    let report = stream(&lab, &[])?;
    let pointer = &report.summary["pointer"];
    ensure!(pointer["moves_told"] == 0 && pointer["shapes_told"] == 0, "told unasked: {pointer:#}");
    stop_without_a_trace(&lab)
}
