//! An app that ends at once leaves an empty desktop, which is streamed, and the client is told why it is empty.
//!
//! Sabotage: let vdisplayd keep the signal to itself, or transportd believe anybody who sends it.

use anyhow::{Context, Result, ensure};
use lumen_tests::{Probe, constellation::Setup};

#[test]
fn a_client_is_told_that_its_app_has_ended() -> Result<()> {
    let host = Setup::stamp(&[]).config("apps", "[apps]\nshort = [\"/bin/false\"]\n").start()?;
    let report = Probe::allowed(&host)?.stream(&["--seconds", "4", "--app", "short"])?.success()?;
    let notices = report.summary["notices"].as_array().context("no notices")?;
    let ended: Vec<_> = notices.iter().filter(|notice| notice["kind"] == "app-ended").collect();
    let [notice] = ended[..] else { anyhow::bail!("{} such notices: {notices:#?}", ended.len()) };
    ensure!(notice["text"].as_str().is_some_and(|text| text.contains("exit")), "not why: {notice:#}");
    ensure!(notice["advice"].as_str().is_some_and(|advice| !advice.is_empty()), "no advice: {notice:#}");
    ensure!(report.number("/frames")? >= 1.0, "the desktop is not streamed: {:#}", report.summary);
    Ok(())
}
