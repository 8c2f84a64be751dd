//! Whose constellation a command is about, and becoming that user.

use std::fs::read_dir;

use anyhow::Result;

use crate::account::Account;
use crate::cli;
use crate::refusal::{self, Refusal};
use crate::run::{self, hold};

/// The options of `run`, or the advice what to do instead.
pub fn to_run(arguments: cli::Run) -> Result<run::Options> {
    if !is_root() {
        return Err(refusal::of_ordinary_user(&Account::own()?).into());
    }
    let name = arguments.user.or_else(caller_of_sudo).ok_or(Refusal::NoUser)?;
    Ok(run::Options {
        account: Account::find(&name)?,
        binaries: arguments.binaries,
        units: arguments.units,
        bus_conf: arguments.bus_conf,
        environment: arguments.setenv,
        command: arguments.command,
    })
}

/// Becomes the user whose constellation is meant: an ordinary user stays who he is; root becomes the named one, the
/// only one that `lumenctl run` runs for, the caller of sudo, or the only one with a bus of lumen.
pub fn enter(user: Option<&str>, command: &'static str) -> Result<Account> {
    let own = Account::own()?;
    if !is_root() {
        return match user {
            Some(name) if name != own.name => {
                Err(Refusal::NotTheirs { command, name: name.to_owned() }.into())
            }
            _ => Ok(own),
        };
    }
    let name = match user {
        Some(name) => name.to_owned(),
        None => only_run().or_else(caller_of_sudo).or_else(only_bus).ok_or(Refusal::Whose { command })?,
    };
    let account = Account::find(&name)?;
    account.assume()?;
    Ok(account)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn caller_of_sudo() -> Option<String> {
    std::env::var("SUDO_USER").ok().filter(|name| name != "root")
}

/// Uid of the user of the only living `lumenctl run`.
fn only_run() -> Option<String> {
    only(read_dir("/run").ok()?.filter_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        let uid = name.strip_prefix("lumen-run-")?.strip_suffix(".lock")?.parse().ok()?;
        hold::holder(uid).map(|_| uid.to_string())
    }))
}

/// Uid of the only user with a bus of lumen.
fn only_bus() -> Option<String> {
    only(read_dir("/run/user").ok()?.filter_map(|entry| {
        let entry = entry.ok()?;
        entry.path().join("lumen/bus").exists().then(|| entry.file_name().into_string().ok())?
    }))
}

fn only<T>(mut candidates: impl Iterator<Item = T>) -> Option<T> {
    let first = candidates.next()?;
    candidates.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_candidates_are_no_answer() {
        assert_eq!(only([1].into_iter()), Some(1));
        assert_eq!(only([1, 2].into_iter()), None);
        assert_eq!(only(std::iter::empty::<u8>()), None);
    }
}
