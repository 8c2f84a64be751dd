//! A genuine Moonlight client that quit or crashed finds its desktop again, and loses it when it cancels, stays away or is
//! revoked.
//!
//! Sabotage: start another desktop at a resume, end the session with the client's silence, go on with the old key, let a
//! cancel leave the app, or stream on to a client that is revoked.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lumen_tests::{
    Constellation, Moonlight,
    constellation::{Setup, text, wait},
    moonlight::Played,
};

/// Longer than anything here, and not for ever, so that a client that nobody ends shows.
const FOR_EVER: [&str; 2] = ["--seconds", "40"];
/// ENet's silence, after which a session is kept; `keep`; and what the stages take to let go.
const AWAY: Duration = Duration::from_secs(10 + 5 + 15);

/// A stream of a second, after which the client ends by `signal`.
fn glance(client: &Moonlight, verb: &str, signal: &str) -> Result<Played> {
    let mut playing = client.start(verb, &FOR_EVER)?;
    playing.wait_for(90)?;
    playing.end(signal)
}

fn is_busy(client: &Moonlight) -> Result<bool> {
    let said = client.ask("state")?;
    let state = said["state"].as_str().with_context(|| format!("{said:#}"))?;
    Ok(state.ends_with("_SERVER_BUSY") && said["app"] == 1)
}

/// Waits until the desktop of before is gone, and sees that there is nothing to resume.
fn gone(host: &Constellation, client: &Moonlight, limit: Duration) -> Result<()> {
    wait("the app to end", limit, || host.processes("lumen-stamp").is_empty())?;
    ensure!(!is_busy(client)?, "an app that has ended is shown: {:#}", client.ask("state")?);
    let refused = client.stream("resume", &FOR_EVER)?;
    ensure!(!refused.summary["error"].is_null(), "it resumed what is gone: {:#}", refused.summary);
    Ok(())
}

#[test]
fn moonlight_comes_back() -> Result<()> {
    let host = Setup::stamp(&[]).config("transportd", "keep = \"5 s\"\n").start()?;
    let client = Moonlight::paired(&host)?;
    let quit = glance(&client, "launch", "INT")?;
    quit.whole()?;
    ensure!(is_busy(&client)?, "a client that quit does not see its app: {:#}", client.ask("state")?);
    let app = host.processes("lumen-stamp");
    let killed = glance(&client, "resume", "KILL")?;
    ensure!(killed.numbers().first() == Some(&1), "a resume begins with {:?}", killed.numbers().first());
    // At once: to the host the killed one still streams.
    let resumed = glance(&client, "resume", "KILL")?;
    ensure!(host.processes("lumen-stamp") == app, "the app was started anew");
    ensure!(resumed.frames.len() >= 90, "{} frames", resumed.frames.len());
    gone(&host, &client, AWAY)?;
    let mut playing = client.start("launch", &FOR_EVER)?;
    playing.wait_for(90)?;
    let cancelled = client.ask("cancel")?;
    ensure!(cancelled["cancelled"] == true, "{cancelled:#}");
    let played = playing.finish()?;
    ensure!(played.summary["terminated"] == 0, "it did not end in order: {:#}", played.summary);
    gone(&host, &client, Duration::from_secs(15))?;
    revoked(&host, &client)
}

/// A client that streams is revoked: its stream ends in order, and it is a stranger.
fn revoked(host: &Constellation, client: &Moonlight) -> Result<()> {
    let mut playing = client.start("launch", &FOR_EVER)?;
    playing.wait_for(90)?;
    let clients = text(&host.lumenctl("clients", &[])?);
    let fingerprint = clients.split_whitespace().next().context("no client")?;
    let (output, then) = (host.lumenctl("revoke", &[fingerprint])?, Instant::now());
    ensure!(output.status.success(), "{}", text(&output));
    let played = playing.finish()?;
    println!("a revoked client had ended after {:?}", then.elapsed());
    ensure!(played.summary["terminated"] == 0, "it did not end in order: {:#}", played.summary);
    let seen = client.ask("apps")?;
    ensure!(seen["error"].to_string().contains("401"), "who was revoked got {seen:#}");
    wait("the app to end", Duration::from_secs(15), || host.processes("lumen-stamp").is_empty())
}
