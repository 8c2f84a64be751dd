//! A session in the user's own GNOME has the default output, so that what plays there is heard, also over a death and a restart of
//! captured; after it, and after a stop of everything, that is what a person had chosen.
//!
//! Sabotage: put nothing back at a session's end, sweep nothing when the target stops, or put back at a restart of captured.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use lumen_stamp::tones;
use lumen_tests::lab::{Client, Lab};
use tempfile::TempDir;

/// What the user has chosen: a sink that stands for loudspeakers.
const SPEAKERS: &str = "speakers";
const MADE: &str = "{ factory.name=support.null-audio-sink node.name=speakers media.class=Audio/Sink object.linger=true \
                    audio.position=[FL FR] }";
const SOON: Duration = Duration::from_secs(15);
const STREAM: [&str; 6] = ["--seconds", "60", "--channels", "2", "--sound", "/home/lumen/heard.opus"];

#[test]
fn gnome_puts_the_default_output_back() -> Result<()> {
    let lab = Lab::start("trixie")?;
    lab.start_gnome(&[])?;
    choose_speakers(&lab)?;
    lab.user(&["systemctl", "--user", "start", "lumen.target"])?;
    let client = streams(&lab)?;
    lab.user(&["kill", "-KILL", &lab.pid("captured")?.to_string()])?;
    stays_with_the_session(&lab)?;
    lab.user(&["systemctl", "--user", "restart", "lumen-captured.service"])?;
    stays_with_the_session(&lab)?;
    let report = client.interrupt()?;
    ensure!(report.number("/sound/packets")? > 400.0, "{:#}", report.summary["sound"]);
    lab.wait("the default output to be put back", SOON, || Ok(chosen(&lab)? == SPEAKERS))?;
    let _client = streams(&lab)?;
    lab.user(&["systemctl", "--user", "stop", "lumen.target"])?;
    // The session manager is told, and tells what it was told.
    lab.wait("the default output to be put back", Duration::from_secs(2), || Ok(chosen(&lab)? == SPEAKERS))?;
    let sinks = lab.user(&["pw-cli", "list-objects", "Node"])?;
    ensure!(!sinks.contains("lumen-session-"), "after the stop there is {sinks}");
    Ok(())
}

/// The user has loudspeakers, and a program plays.
fn choose_speakers(lab: &Lab) -> Result<()> {
    lab.wait("PipeWire", SOON, || Ok(lab.user(&["pw-cli", "info", "0"]).is_ok()))?;
    lab.user(&["pw-cli", "create-node", "adapter", MADE])?;
    let json = format!("{{ \"name\": \"{SPEAKERS}\" }}");
    lab.wait("the choice of loudspeakers", SOON, || {
        lab.user(&["pw-metadata", "0", "default.configured.audio.sink", &json, "Spa:String:JSON"])?;
        Ok(chosen(lab).is_ok_and(|name| name == SPEAKERS))
    })?;
    let folder = TempDir::new()?;
    let file = folder.path().join("own.wav");
    fs::write(&file, tones::wav(&[440.0, 660.0], 300)?)?;
    lab.push_program(&file)?;
    let play = ["systemd-run", "--user", "--quiet", "--collect", "pw-play", "/home/lumen/bin/own.wav"];
    lab.user(&play).map(drop)
}

fn streams(lab: &Lab) -> Result<Client<'_>> {
    let client = lab.start_client("probe", &STREAM)?;
    lab.wait("what plays to be the session's", SOON, || is_the_sessions(lab))?;
    Ok(client)
}

/// For two seconds.
fn stays_with_the_session(lab: &Lab) -> Result<()> {
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(500));
        ensure!(is_the_sessions(lab)?, "{} is the default output\n{}", chosen(lab)?, lab.logs());
    }
    Ok(())
}

/// A session's sink is chosen, and what plays is linked to it.
fn is_the_sessions(lab: &Lab) -> Result<bool> {
    let links = lab.user(&["pw-link", "--links"])?;
    let mut lines = links.lines();
    let into =
        lines.by_ref().find(|line| line.starts_with("lumen-session-") && line.contains(":playback_FL"));
    let is_linked = into.is_some() && lines.next().is_some_and(|line| line.contains("pw-play:"));
    Ok(is_linked && chosen(lab)?.starts_with("lumen-session-"))
}

/// Name of the sink that is chosen as the default one.
fn chosen(lab: &Lab) -> Result<String> {
    let told = lab.user(&["pw-metadata", "0", "default.configured.audio.sink"])?;
    let name = told.split("\"name\":").nth(1).and_then(|rest| rest.split('"').nth(1));
    Ok(name.with_context(|| format!("no default output: {told}"))?.to_owned())
}
