//! Sessions that come and go: more in a row than may run at once, a refused one among them, and right after the last
//! neither an Output nor an encoder is kept.
//!
//! Sabotage: let transportd only hang up at the end of a session, as a crash does.

use std::time::Duration;

use anyhow::Result;
use lumen_tests::{
    Probe,
    constellation::{Setup, text, wait},
};

#[test]
fn twelve_sessions_in_a_row_leave_nothing() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    let probe = Probe::allowed(&host)?;
    for _ in 0..12 {
        probe.stream(&["--frames", "5"])?.success()?;
        probe.stream(&["--frames", "5", "--app", "unheard-of"])?;
    }
    let units = ["list-units", "--plain", "--no-legend", "lumen-output-*", "lumen-app-*"];
    wait("the Outputs and apps to go", Duration::from_secs(3), || {
        host.processes("lumen-stamp").is_empty()
            && host.systemctl(&units).is_ok_and(|output| text(&output).trim().is_empty())
    })
}
