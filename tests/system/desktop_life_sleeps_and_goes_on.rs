//! The machine goes to sleep in mid-stream: logind waits until the client has heard of it, the session says *waiting*, and
//! after the wake it says *running* and goes on. No container can sleep, so logind is a fake here
//! (packaging/lab/sleeping-logind.py), whose words are compared with those of the real one first.
//!
//! Sabotage: take no delay lock, keep it when the machine is to sleep, or tell transportd nothing.

use std::{thread::sleep, time::Duration};

use anyhow::{Context, Result, ensure};
use lumen_tests::lab::Lab;

use super::stamps_arrive_rising_sharp_and_true::judge;

/// What lumen uses of logind: name, kind, arguments, result.
const USED: [[&str; 4]; 2] = [[".Inhibit", "method", "ssss", "h"], [".PrepareForSleep", "signal", "b", "-"]];

/// That logind's manager is what the fake plays.
fn compare(lab: &Lab) -> Result<()> {
    let ask = ["busctl", "--system", "introspect", "org.freedesktop.login1", "/org/freedesktop/login1"];
    let said = lab.root(&[&ask[..], &["org.freedesktop.login1.Manager"]].concat())?;
    for used in USED {
        let is_there = said.lines().any(|line| line.split_whitespace().take(4).eq(used));
        ensure!(is_there, "no {used:?} in {said}");
    }
    Ok(())
}

#[test]
fn desktop_life_sleeps_and_goes_on() -> Result<()> {
    let lab = Lab::start("trixie")?;
    compare(&lab).context("the real logind")?;
    lab.start_fake_logind()?;
    compare(&lab).context("the fake logind")?;
    lab.config("vdisplayd", "app = [\"/home/lumen/bin/lumen-stamp\"]\n")?;
    lab.user(&["systemctl", "--user", "start", "lumen.target"])?;
    ensure!(!lab.sleep(false)?, "a delay lock is held although nobody streams");
    let client = lab.start_client("probe", &["--seconds", "15"])?;
    lab.wait("a stream", Duration::from_secs(15), || {
        Ok(lab.user(&["lumenctl", "status"])?.contains("streams"))
    })?;
    for _ in 0..2 {
        sleep(Duration::from_secs(2));
        ensure!(lab.sleep(true)?, "the machine did not wait for lumen\n{}", lab.logs());
        lab.wait("*waiting* in the status", Duration::from_secs(2), || {
            Ok(lab.user(&["lumenctl", "status"])?.contains("waiting: The host goes to sleep"))
        })?;
        lab.sleep(false)?;
        lab.wait("the stream", Duration::from_secs(2), || {
            Ok(lab.user(&["lumenctl", "status"])?.contains("streams"))
        })?;
    }
    let report = client.finish()?.success().with_context(|| lab.logs())?;
    judge(&report).with_context(|| lab.logs())?;
    let notices = report.summary["notices"].as_array().context("no notices")?;
    let kinds: Vec<&str> = notices.iter().filter_map(|notice| notice["kind"].as_str()).collect();
    ensure!(kinds == ["waiting", "running", "waiting", "running"], "the client heard {kinds:?}");
    lab.user(&["systemctl", "--user", "stop", "lumen.target"]).map(drop)
}
