//! The genuine Moonlight client is a stranger until a person has typed the PIN that it shows.
//!
//! Sabotage: take any PIN, let a PIN of letters use up the attempt, list the apps for a stranger, or let an attempt go on after
//! a phase that was not due.

use anyhow::{Result, ensure};
use lumen_tests::{
    Moonlight,
    constellation::{Setup, text},
};
use serde_json::json;

#[test]
fn moonlight_pairs_by_its_pin() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    let shown = host.status();
    ensure!(shown.contains("lumen/1, GameStream"), "the status does not say what is spoken: {shown}");
    let client = Moonlight::new()?;
    let is_stranger = || client.ask("apps").map(|seen| seen["error"].to_string().contains("401"));
    ensure!(is_stranger()?, "a stranger got {:#}", client.ask("apps")?);
    let (seen, said) = client.pair(&host, "1234", &["abcd", "4321"])?;
    ensure!(said[0].contains("four digits"), "a PIN of letters: {said:?}");
    ensure!(seen["error"].to_string().contains("WrongPinError"), "a wrong PIN: {seen:#}");
    ensure!(said[1].contains("not paired") && said[1].contains("another PIN"), "a wrong PIN: {said:?}");
    ensure!(is_stranger()?, "a client with a wrong PIN got {:#}", client.ask("apps")?);
    let (seen, said) = client.pair(&host, "1234", &["1234"])?;
    ensure!(seen["paired"] == true && said[0].starts_with("paired"), "{seen:#} {said:?}");
    let apps = client.ask("apps")?;
    ensure!(apps["apps"] == json!([{"id": 1, "name": "Desktop"}]), "{apps:#}");
    let clients = text(&host.lumenctl("clients", &[])?);
    ensure!(clients.contains("gamestream"), "{clients}");
    Ok(())
}

#[test]
fn moonlight_is_not_paired_out_of_order() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    let client = Moonlight::new()?;
    for phase in ["clientchallenge", "serverchallengeresp"] {
        let seen = client.pair_out_of_order(&host, phase)?;
        let told = seen["error"].to_string();
        ensure!(told.contains("pairing"), "the last phase before {phase}: {seen:#}");
        let asked = client.ask("apps")?;
        ensure!(asked["error"].to_string().contains("401"), "the last phase before {phase}: {asked:#}");
        let clients = text(&host.lumenctl("clients", &[])?);
        ensure!(!clients.contains("gamestream"), "the last phase before {phase} stored {clients}");
    }
    let (seen, said) = client.pair(&host, "1234", &["1234"])?;
    ensure!(seen["paired"] == true, "in order it is paired: {seen:#} {said:?}");
    Ok(())
}
