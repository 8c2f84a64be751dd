//! The compositor dies under the session, which goes on with a new one.
//!
//! Sabotage: tell encoded that captured has failed for good when the compositor hangs up.

use std::{thread, time::Duration};

use anyhow::{Context, Result};
use lumen_tests::constellation::wait;

use super::{scene, victim, witness::Desktop};

/// Within which a new desktop with its program is there.
const NEW: Duration = Duration::from_secs(10);

/// Kills the compositor twice.
///
/// # Errors
/// The session broke off, or no new desktop came.
pub fn run() -> Result<()> {
    scene::play(&[], Desktop::New, |host| {
        for _ in 0..2 {
            let app = host.processes("lumen-stamp");
            let sway = host.processes("sway").into_iter().min().context("no sway runs")?;
            victim::send("KILL", sway)?;
            wait("a new desktop with its program", NEW, || {
                let now = host.processes("lumen-stamp");
                !now.is_empty() && now.iter().all(|pid| !app.contains(pid))
            })?;
            println!("sway died; there is a new desktop");
            thread::sleep(Duration::from_secs(2));
        }
        Ok(())
    })
    .map(drop)
}
