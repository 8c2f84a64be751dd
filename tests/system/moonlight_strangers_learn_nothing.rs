//! Whoever is no Client of the running units: each route that there is, at both doors, and certificates that are almost a
//! Client's, made with the Client's own key.
//!
//! Sabotage: give another route `Access::Anyone`; look for a Client's name, key or signer instead of its certificate; or let
//! a revocation wait for the next start.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lumen_gamestream::http::Route;
use lumen_stage::clock::now_ns;
use lumen_tests::{
    Constellation, Moonlight,
    constellation::{Setup, text},
};
use serde_json::{Value, json};

/// Longest body of an answer to a stranger.
const SHORT: u64 = 512;
/// A revoked Client's stream ends within this.
const SOON: Duration = Duration::from_secs(1);

#[test]
fn moonlight_strangers_learn_nothing() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    doors(&Moonlight::new()?)?;
    let client = Moonlight::paired(&host)?;
    impostors(&client, 200, 200)?;
    revoked(&host, &client)?;
    // What a Client signed for others outlives it no more than it did before.
    impostors(&client, 12, 401)
}

/// `/serverinfo` and `/pair` in the clear; of all else, and of whatever is asked in TLS, only that it is not for strangers.
fn doors(stranger: &Moonlight) -> Result<()> {
    let routes = Route::ALL.map(Route::path);
    let other =
        ["/", "/admin", "/launch/../serverinfo", "/appasset?appid=../../../etc/passwd", "//pair", "/PAIR"];
    let long = format!("/{}", "a".repeat(9000));
    let paths: Vec<&str> = routes.into_iter().chain(other).chain([&*long]).collect();
    let seen = stranger.almost("knock", &paths)?;
    let answers = seen["answers"].as_array().context("no answers")?;
    ensure!(answers.len() == 3 * paths.len(), "{} answers to {} paths", answers.len(), paths.len());
    for answer in answers {
        let expected = match (answer["door"].as_str(), answer["path"].as_str()) {
            (Some("plain"), Some("/serverinfo")) => 200,
            (Some("plain"), Some("/pair")) => 400,
            (Some("plain"), _) => 404,
            _ => 401,
        };
        ensure!(answer["http"] == 200 && answer["status"] == expected, "not {expected}: {answer:#}");
        ensure!(answer["bytes"].as_u64().is_some_and(|bytes| bytes <= SHORT), "{answer:#}");
    }
    Ok(())
}

/// None of `count` certificates is taken: each is told 401, as XML inside TLS. The Client's own gets `own`.
fn impostors(client: &Moonlight, count: u64, own: u64) -> Result<()> {
    let seen = client.almost("impostors", &[&count.to_string()])?;
    let kinds = seen["kinds"].as_object().context("no kinds")?;
    let refused: u64 = kinds.values().filter_map(|answers| answers["200 401"].as_u64()).sum();
    ensure!(refused == count, "{refused} of {count} were refused: {seen:#}");
    let is_mixed = kinds.values().all(|answers| answers.as_object().is_some_and(|one| one.len() == 1));
    ensure!(kinds.len() == 6 && is_mixed, "{seen:#}");
    ensure!(seen["own"] == json!(own), "the client's own certificate: {seen:#}");
    Ok(())
}

/// A Client that streams is revoked: no picture comes to it later than a second after `lumenctl` said so.
fn revoked(host: &Constellation, client: &Moonlight) -> Result<()> {
    let mut playing = client.start("launch", &["--seconds", "40"])?;
    playing.wait_for(60)?;
    let clients = text(&host.lumenctl("clients", &[])?);
    let fingerprint = clients.split_whitespace().next().context("no client")?;
    let (output, then_ns) = (host.lumenctl("revoke", &[fingerprint])?, now_ns());
    ensure!(output.status.success(), "{}", text(&output));
    let played = playing.finish()?;
    ensure!(played.summary["terminated"] == Value::from(0), "it did not end in order: {:#}", played.summary);
    let newest = played.arrivals().last().copied().context("no picture came")?;
    let late = Duration::from_nanos(newest.saturating_sub(then_ns));
    println!("the last picture of a revoked client came {late:?} after the revocation");
    ensure!(late <= SOON, "a picture came {late:?} after the revocation");
    Ok(())
}
