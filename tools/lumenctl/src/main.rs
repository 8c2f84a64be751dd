//! lumenctl: what the administrator of a lumen host types.
#![forbid(unsafe_code)]

mod account;
mod bus;
mod cli;
mod doctor;
mod json;
mod logs;
mod pairing;
mod paper;
mod refusal;
mod run;
mod status;
mod table;
mod top;
mod trust;
mod units;
mod whose;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use bus::Bus;
use cli::{Cli, Verb, Whose};
use refusal::Refusal;

fn main() -> ExitCode {
    match perform(Cli::parse().verb) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("lumenctl: {error:#}");
            // As for a wrong option: 2 means that nothing has been done.
            ExitCode::from(if error.is::<Refusal>() { 2 } else { 1 })
        }
    }
}

fn perform(verb: Verb) -> Result<ExitCode> {
    match verb {
        Verb::Run(arguments) => run::run(&whose::to_run(arguments)?),
        Verb::Inner { inner } => {
            let inner: run::Inner = serde_json::from_str(&inner)?;
            inner.become_it().map(|()| ExitCode::SUCCESS)
        }
        Verb::Systemctl { whose, words } => {
            let account = whose::enter(whose.user.as_deref(), "systemctl")?;
            logs::systemctl(&account, &words)
        }
        Verb::Logs { whose, stage, follow, lines } => {
            let account = whose::enter(whose.user.as_deref(), "logs")?;
            logs::show(&account, stage.as_deref(), follow, lines)
        }
        Verb::Status { whose, json } => {
            let account = whose::enter(whose.user.as_deref(), "status")?;
            wait_for(status::show(&account, json))
        }
        Verb::Doctor { whose, json } => {
            let programs = doctor::Programs::open();
            let account = whose::enter(whose.user.as_deref(), "doctor")?;
            wait_for(doctor::examine(&account, &programs, json))
        }
        Verb::Top { whose, once, json } => {
            on_bus(&whose, "top", async |bus| top::show(bus, once, json).await)
        }
        Verb::Allow { whose, fingerprint, name } => {
            on_bus(&whose, "allow", async |bus| trust::allow(bus, &fingerprint, &name).await)
        }
        Verb::Pair { whose, attempt, pin, name, refuse } => {
            let wish = pairing::Wish::of(attempt, pin, refuse)?;
            on_bus(&whose, "pair", async |bus| pairing::act(bus, &wish, &name).await)
        }
        Verb::Clients { whose } => on_bus(&whose, "clients", trust::clients),
        Verb::Rename { whose, fingerprint, name } => {
            on_bus(&whose, "rename", async |bus| trust::rename(bus, &fingerprint, &name).await)
        }
        Verb::Revoke { whose, fingerprint } => {
            on_bus(&whose, "revoke", async |bus| trust::revoke(bus, &fingerprint).await)
        }
        Verb::Fingerprint { whose } => on_bus(&whose, "fingerprint", trust::fingerprint),
        Verb::End { whose, session } => on_bus(&whose, "end", async |bus| trust::end(bus, &session).await),
    }
}

/// Becomes the user, then works on lumen's bus.
fn on_bus(
    whose: &Whose,
    command: &'static str,
    work: impl AsyncFnOnce(&Bus) -> Result<ExitCode>,
) -> Result<ExitCode> {
    let account = whose::enter(whose.user.as_deref(), command)?;
    wait_for(async { work(&Bus::connect(&account).await?).await })
}

/// Only after the change of user: it is the calling thread's alone.
fn wait_for(work: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
