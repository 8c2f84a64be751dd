//! vdisplayd dies three times in mid-stream: GNOME's virtual monitor is still the same one, the picture goes on, and
//! when lumen stops, right after a fourth death, the monitor goes as well.
//!
//! Sabotage: leave the socket out of the fd store, or make the Output anew in `Mutter::found`.

use std::time::Duration;

use anyhow::{Result, ensure};
use lumen_tests::lab::Lab;

use super::gnome_streams_sharp_and_true::{STAMP, judge, recorded, stop_without_a_trace};

#[test]
fn gnome_keeps_the_output_across_kills() -> Result<()> {
    let lab = Lab::start("trixie")?;
    lab.start_gnome(&[])?;
    lab.config("apps", STAMP)?;
    lab.user(&["systemctl", "--user", "start", "lumen.target"])?;
    let client = lab.start_client("probe", &["--seconds", "20", "--app", "stamp"])?;
    lab.wait("the monitor", Duration::from_secs(15), || Ok(!recorded(&lab.monitors()?).is_empty()))?;
    let (monitor, app) = (recorded(&lab.monitors()?).join(" "), stamp(&lab)?);
    for _ in 0..3 {
        kill_vdisplayd(&lab)?;
        // Longer than the 10 s of a lease in all: what was not adopted would be gone by the end.
        std::thread::sleep(Duration::from_secs(2));
        let now = lab.monitors()?;
        ensure!(
            recorded(&now) == [monitor.as_str()],
            "{monitor} became {:?}\n{}",
            recorded(&now),
            lab.logs()
        );
    }
    ensure!(stamp(&lab)? == app, "the app was started anew");
    let report = client.finish()?;
    judge(&report).map_err(|error| error.context(lab.logs()))?;

    let _client = lab.start_client("probe", &["--seconds", "20", "--app", "stamp"])?;
    lab.wait("a monitor", Duration::from_secs(15), || Ok(!recorded(&lab.monitors()?).is_empty()))?;
    kill_vdisplayd(&lab)?;
    stop_without_a_trace(&lab)
}

/// Kills vdisplayd and waits for its next incarnation.
fn kill_vdisplayd(lab: &Lab) -> Result<()> {
    let pid = lab.pid("vdisplayd")?;
    lab.user(&["kill", "-KILL", &pid.to_string()])?;
    lab.wait("the next vdisplayd", Duration::from_secs(5), || {
        let active = lab.user(&["systemctl", "--user", "is-active", "lumen-vdisplayd.service"]).is_ok();
        Ok(active && lab.pid("vdisplayd")? != pid)
    })
}

/// Process id of the program on the Output.
fn stamp(lab: &Lab) -> Result<String> {
    lab.wait("lumen-stamp", Duration::from_secs(10), || {
        Ok(lab.user(&["pgrep", "-x", "lumen-stamp"]).is_ok())
    })?;
    lab.user(&["pgrep", "-x", "lumen-stamp"])
}
