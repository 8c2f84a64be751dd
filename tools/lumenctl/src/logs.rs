//! `lumenctl systemctl` and `lumenctl logs`: systemd's own tools, pointed at the right manager.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::account::Account;

/// What has a log of its own; `manager` is the private systemd itself, which tells why a unit cannot be started.
const NAMES: [&str; 7] = ["manager", "vdisplayd", "captured", "encoded", "transportd", "inputd", "bus"];

/// Becomes `systemctl --user` of this account.
pub fn systemctl(account: &Account, words: &[OsString]) -> Result<ExitCode> {
    become_program(account, Command::new("systemctl").arg("--user").args(words), "systemctl")
}

/// Shows the files that a private manager's units write, else the journal: of one stage, or of all that is lumen's,
/// compositors and programs on the Outputs included.
pub fn show(account: &Account, stage: Option<&str>, follow: bool, lines: usize) -> Result<ExitCode> {
    if let Some(name) = stage
        && !NAMES.contains(&name)
    {
        bail!("{name} has no log; one of {} has", NAMES.join(", "));
    }
    let runtime_dir = account.runtime_dir();
    let mut command = if runtime_dir.join("lumen-run").is_dir() {
        let files = files(&runtime_dir, stage)?;
        if files.is_empty() {
            bail!("nothing has been logged yet");
        }
        let mut command = Command::new("tail");
        command.arg("-n").arg(lines.to_string()).args(follow.then_some("-F")).args(files);
        command
    } else {
        journal(stage, follow, lines)
    };
    become_program(account, &mut command, "the viewer of the logs")
}

/// The log files of a private manager; the drop-in that `run` lays names those of the units.
fn files(runtime_dir: &Path, stage: Option<&str>) -> Result<Vec<PathBuf>> {
    let manager = runtime_dir.join("lumen-run/manager.log");
    let mut files = match stage {
        Some("manager") => vec![manager],
        Some(name) => vec![runtime_dir.join(format!("log-lumen-{name}"))],
        None => {
            let mut files = vec![manager];
            for entry in std::fs::read_dir(runtime_dir)? {
                let path = entry?.path();
                files.extend(path.to_string_lossy().contains("/log-lumen-").then_some(path));
            }
            files.sort();
            files
        }
    };
    files.retain(|file| file.metadata().is_ok_and(|found| found.len() > 0));
    Ok(files)
}

fn journal(stage: Option<&str>, follow: bool, lines: usize) -> Command {
    let unit = match stage {
        Some("manager") => "init.scope".to_owned(),
        Some(name) => format!("lumen-{name}.service"),
        None => "lumen-*".to_owned(),
    };
    let mut command = Command::new("journalctl");
    command.args(["--user", "--unit", &unit, "--lines"]).arg(lines.to_string());
    command.args(follow.then_some("--follow"));
    command
}

fn become_program(account: &Account, command: &mut Command, name: &str) -> Result<ExitCode> {
    Err(command.envs(account.environment()).exec()).with_context(|| format!("cannot start {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_logs_are_those_that_say_something() {
        let runtime_dir = tempfile::tempdir().expect("a scratch directory");
        let place = runtime_dir.path();
        std::fs::create_dir(place.join("lumen-run")).expect("created");
        for (name, text) in [
            ("log-lumen-captured", "x"),
            ("log-lumen-bus", ""),
            ("other", "x"),
            ("lumen-run/manager.log", "x"),
        ] {
            std::fs::write(place.join(name), text).expect("written");
        }
        let all = files(place, None).expect("readable");
        assert_eq!(all, [place.join("log-lumen-captured"), place.join("lumen-run/manager.log")]);
        assert_eq!(files(place, Some("manager")).expect("readable"), [place.join("lumen-run/manager.log")]);
    }
}
