//! With `topology = "exclusive"` the user's own monitor is off while a client streams, and on again after lumen was
//! stopped, although vdisplayd had been killed in between.
//!
//! Sabotage: leave the layout alone in `Mutter::arrange`, or have the keeper of the Output put nothing back.

use std::time::Duration;

use anyhow::Result;
use lumen_tests::lab::Lab;

use super::gnome_streams_sharp_and_true::{recorded, stop_without_a_trace};

/// The user's own monitor, and the client's.
const OWN: &str = "1600x900@60.000";
const ASKED: &str = "1280x720@60.000";

#[test]
fn gnome_puts_the_users_monitors_back() -> Result<()> {
    let lab = Lab::start("trixie")?;
    lab.start_gnome(&["--virtual-monitor", "1600x900"])?;
    lab.config("vdisplayd", "topology = \"exclusive\"\n")?;
    lab.user(&["systemctl", "--user", "start", "lumen.target"])?;
    let _client = lab.start_client("probe", &["--seconds", "20"])?;
    lab.wait("the user's monitor to be off", Duration::from_secs(15), || {
        let monitors = lab.monitors()?;
        Ok(!recorded(&monitors).is_empty() && !is_on(&monitors, OWN) && is_on(&monitors, ASKED))
    })?;
    let pid = lab.pid("vdisplayd")?;
    lab.user(&["kill", "-KILL", &pid.to_string()])?;
    stop_without_a_trace(&lab)?;
    lab.wait("the user's monitor to be on", Duration::from_secs(2), || Ok(is_on(&lab.monitors()?, OWN)))
}

/// Whether a monitor has this mode now.
fn is_on(monitors: &str, mode: &str) -> bool {
    // ('1600x900@60.000', 1600, 900, 60.0, 1.0, [1.0], {'is-current': <true>, 'is-preferred': <true>})
    let properties = monitors.split(&format!("'{mode}'")).nth(1).and_then(|rest| rest.split('}').next());
    properties.is_some_and(|properties| properties.contains("'is-current': <true>"))
}

#[test]
fn monitor_that_is_off_has_no_current_mode() {
    let on =
        "[('1600x900@60.000', 1600, 900, 60.0, 1.0, [1.0], {'is-current': <true>, 'is-preferred': <true>})]";
    let off = "[('1600x900@60.000', 1600, 900, 60.0, 1.0, [1.0], {'is-preferred': <true>})], [('a', {'is-current': \
               <true>})]";
    assert!(is_on(on, OWN) && !is_on(off, OWN) && !is_on("[]", OWN));
}
