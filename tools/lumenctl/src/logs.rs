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

/// What was logged last of a stage that ended with this exit code, and says why. From 200 on it is systemd that could not
/// set the unit up, and says so itself. The process must be the user already.
pub fn last_words(account: &Account, stage: &str, code: u32) -> Option<String> {
    let runtime_dir = account.runtime_dir();
    let text = if runtime_dir.join("lumen-run").is_dir() {
        let name = if code >= SETUP { "manager" } else { stage };
        let files = files(&runtime_dir, Some(name)).ok()?;
        String::from_utf8_lossy(&std::fs::read(files.first()?).ok()?).into_owned()
    } else {
        let mut command = journal(Some(stage), false, 20);
        let output = command.args(["--output", "cat"]).envs(account.environment()).output().ok()?;
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    reason(&text, &format!("lumen-{stage}.service"), code)
}

/// Exit codes from here on are systemd's own.
const SETUP: u32 = 200;

fn reason(text: &str, unit: &str, code: u32) -> Option<String> {
    let is_systemds = |line: &&str| line.contains(unit);
    let mut lines = text.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    let line = match code {
        // The last line of all names the step only; the one before says what is missing.
        SETUP.. => lines
            .find(|line| is_systemds(line) && line.contains("Failed to set up"))
            .or_else(|| text.lines().rev().find(|line| is_systemds(line) && line.contains("Failed at step"))),
        _ => lines.find(|line| !is_systemds(line)),
    };
    line.map(str::to_owned)
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

    /// Sabotage: take the last line, whoever wrote it.
    #[test]
    fn reason_of_an_end_is_found_among_the_lines() {
        let unit = "lumen-inputd.service";
        let text = "lumen-inputd.service: Failed to set up mount namespacing: /x: No such file or directory\n\
                    lumen-inputd.service: Failed at step NAMESPACE spawning /y: No such file or directory\n\
                    lumen-inputd.service: Main process exited, code=exited, status=226/NAMESPACE\n\
                    lumen-encoded.service: Failed to set up mount namespacing: /z\n";
        assert!(reason(text, unit, 226).is_some_and(|line| line.contains("/x: No such file")));
        let text = "ERROR encoded.toml:2: unknown field\nlumen-inputd.service: Main process exited\n\n";
        assert_eq!(reason(text, unit, 78).as_deref(), Some("ERROR encoded.toml:2: unknown field"));
        assert_eq!(reason("", unit, 78), None);
    }

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
