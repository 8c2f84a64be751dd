//! End to end in a booted Debian: lumen installed as a package would, `systemctl --user start lumen.target`, the
//! user's own systemd. In Debian's next release sway has ext-image-copy-capture-v1, which captured then prefers. What is typed at the
//! probe and at the genuine Moonlight client arrives there, too.
//!
//! Sabotage: leave lumen-captured out of lumen.target, bind only one of the two capture protocols, or type by a US keyboard.

use anyhow::{Context, Result, ensure};
use lumen_see::{Seen, Thing};
use lumen_tests::{Moonlight, constellation::binaries, lab::Lab, layouts::LAYOUTS, watch::Watch};

const TARGET: &str = "lumen.target";

fn stream_in(suite: &'static str, protocol: &str) -> Result<()> {
    let lab = Lab::start(suite)?;
    lab.push_program(&binaries().join("lumen-see"))?;
    lab.config("vdisplayd", "app = [\"/home/lumen/bin/lumen-stamp\"]\n")?;
    lab.config("apps", &format!("[apps]\n{}{}", Watch::app("probe"), Watch::app("moonlight")))?;
    let [layout, ..] = &LAYOUTS;
    lab.config("inputd", &format!("layout = {:?}\n", layout.name))?;
    lab.user(&["systemctl", "--user", "start", TARGET])?;
    let report = lab.stream(&["--seconds", "8"])?;
    super::stamps_arrive_rising_sharp_and_true::judge(&report).map_err(|error| error.context(lab.logs()))?;
    println!("{suite}: {} fps", report.number("/fps")?);
    let logged = lab.logs();
    ensure!(logged.contains(&format!("pictures come by {protocol}")), "not by {protocol}:\n{logged}");
    hands_arrive(&lab)?;
    let failed =
        lab.user(&["systemctl", "--user", "list-units", "--failed", "--plain", "--no-legend", "lumen*"])?;
    ensure!(failed.trim().is_empty(), "failed units: {failed}");
    lab.user(&["systemctl", "--user", "stop", TARGET])?;
    let left = lab.user(&["sh", "-c", "sleep 2; pgrep -u lumen -a 'lumen-|sway' || true"])?;
    ensure!(left.trim().is_empty(), "two seconds after stop there are: {left}");
    Ok(())
}

/// One client after the other types keys by their place and by their meaning, and a text.
fn hands_arrive(lab: &Lab) -> Result<()> {
    let [layout, ..] = &LAYOUTS;
    let has_keyboard = |seen: &Seen| seen.0.iter().any(|thing| matches!(thing, Thing::Enter(_)));
    let program = Watch::of(lab, "probe");
    let mut probe = lab.start_client("probe", &["--seconds", "60", "--app", "probe", "--script", "-"])?;
    program.until("the keyboard", has_keyboard)?;
    probe.play(&layout.at_the_probe())?;
    program.until("the probe's text", |seen| seen.text() == layout.typed()).with_context(|| lab.logs())?;
    probe.interrupt()?;
    let (program, client) = (Watch::of(lab, "moonlight"), Moonlight::paired(lab)?);
    let app = client.app("moonlight")?;
    let mut playing = client.start("launch", &["--seconds", "60", "--app", &app, "--script", "-"])?;
    program.until("the keyboard", has_keyboard)?;
    playing.play(&layout.at_moonlight())?;
    program.until("Moonlight's text", |seen| seen.text() == layout.typed()).with_context(|| lab.logs())?;
    playing.end("INT")?.unbroken()
}

#[test]
fn a_booted_stable_debian_streams() -> Result<()> {
    stream_in("trixie", "wlr-screencopy")
}

#[test]
fn a_booted_unstable_debian_streams_through_ext_image_copy() -> Result<()> {
    stream_in("sid", "ext-image-copy-capture")
}
