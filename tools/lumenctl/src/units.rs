//! What the user manager says of lumen's units.

use std::collections::HashMap;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::account::Account;

const PROPERTIES: &str =
    "--property=Id,LoadState,ActiveState,SubState,Result,MainPID,NRestarts,ExecMainStatus";

/// A service, as systemd sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Unit {
    /// systemd's ActiveState; `absent` if there is no such unit.
    pub active: String,
    /// systemd's SubState.
    pub sub: String,
    /// Why it is not active; `success` otherwise.
    pub result: String,
    /// Main process; 0 if there is none.
    pub pid: u32,
    /// How often systemd has started it again.
    pub restarts: u32,
    /// Exit code of the last main process that ended.
    pub exit: u32,
}

/// Asks the user manager about services, by their name without suffix. The process must be the user already.
pub fn ask(account: &Account, names: &[&str]) -> Result<HashMap<String, Unit>> {
    let output = Command::new("systemctl")
        .args(["--user", "show", PROPERTIES])
        .args(names.iter().map(|name| format!("{name}.service")))
        .envs(account.environment())
        .output()
        .context("cannot run systemctl")?;
    Ok(parse(&String::from_utf8_lossy(&output.stdout)))
}

/// Reads blocks of `Key=value` lines with an empty line between two units.
fn parse(text: &str) -> HashMap<String, Unit> {
    text.split("\n\n").filter_map(parse_unit).collect()
}

fn parse_unit(block: &str) -> Option<(String, Unit)> {
    let properties: HashMap<&str, &str> = block.lines().filter_map(|line| line.split_once('=')).collect();
    let text = |key: &str| properties.get(key).copied().unwrap_or_default().to_owned();
    let number = |key: &str| properties.get(key).and_then(|value| value.parse().ok()).unwrap_or(0);
    let name = properties.get("Id")?.strip_suffix(".service")?.to_owned();
    let absent = text("LoadState") == "not-found";
    let unit = Unit {
        active: if absent { "absent".to_owned() } else { text("ActiveState") },
        sub: text("SubState"),
        result: text("Result"),
        pid: number("MainPID"),
        restarts: number("NRestarts"),
        exit: number("ExecMainStatus"),
    };
    Some((name, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemctls_blocks_are_read() {
        let text = "Id=lumen-bus.service\nLoadState=loaded\nActiveState=active\nSubState=running\nResult=success\n\
                    MainPID=12\nNRestarts=3\nExecMainStatus=0\n\n\
                    Id=lumen-x.service\nLoadState=not-found\nActiveState=inactive\nMainPID=0\n";
        let units = parse(text);
        assert_eq!(units["lumen-bus"].pid, 12);
        assert_eq!(units["lumen-bus"].restarts, 3);
        assert_eq!(units["lumen-x"].active, "absent");
    }
}
