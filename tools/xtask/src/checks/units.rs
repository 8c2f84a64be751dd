//! The unit files, read by systemd itself.

use std::{collections::BTreeSet, path::PathBuf, process::Command};

use anyhow::Context;

use crate::{
    verdict::{Finding, Verdict},
    workspace::Workspace,
};

/// Where the units say the binaries are. In a checkout they are not, and systemd says so of each.
const INSTALLED: &str = "/usr/lib/lumen/";

/// Asks `systemd-analyze --user verify` about every unit, drop-ins included.
pub fn check(workspace: &Workspace) -> anyhow::Result<Verdict> {
    let units: Vec<PathBuf> = workspace
        .files(&[".service", ".target", ".slice", ".socket"])?
        .into_iter()
        .filter(|file| file.starts_with("systemd"))
        .collect();
    if units.is_empty() {
        return Ok(Verdict::Wrong(vec![Finding::new("systemd", "holds no unit")]));
    }
    // It wants a runtime directory to exist, although it writes nothing there.
    let runtime = tempfile::tempdir().context("no temporary directory")?;
    let output = Command::new("systemd-analyze")
        .args(["--user", "verify", "--man=no"])
        .args(&units)
        .env("XDG_RUNTIME_DIR", runtime.path())
        .current_dir(&workspace.root)
        .output();
    let Ok(output) = output else {
        return Ok(Verdict::Skipped("systemd-analyze is not installed: apt install systemd".to_owned()));
    };
    let names: BTreeSet<&str> = units.iter().filter_map(|unit| unit.file_name()?.to_str()).collect();
    let binaries: BTreeSet<&str> =
        workspace.packages.iter().flat_map(|package| &package.binaries).map(String::as_str).collect();
    let words = String::from_utf8_lossy(&output.stderr);
    let findings = words.lines().filter_map(|line| judge(line, &names, &binaries)).collect();
    Ok(Verdict::of(findings, format!("{} units, as {} reads them", units.len(), version())))
}

/// What a line of systemd's says against one of our units. That a binary of ours is not installed is left out; that a
/// unit names one which the workspace does not build is not.
fn judge(line: &str, units: &BTreeSet<&str>, binaries: &BTreeSet<&str>) -> Option<Finding> {
    let named = units.iter().find(|unit| line.contains(**unit))?;
    let absent = line.split_once(&format!("Command {INSTALLED}")).and_then(|(_, tail)| tail.split_once(' '));
    match absent {
        Some((binary, tail)) if tail.ends_with("No such file or directory") && binaries.contains(binary) => {
            None
        }
        _ => Some(Finding::new(format!("systemd/{named}"), line.trim())),
    }
}

fn version() -> String {
    let output = Command::new("systemd-analyze").arg("--version").output();
    let words = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    words.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(line: &str) -> Option<Finding> {
        judge(line, &BTreeSet::from(["lumen-captured.service"]), &BTreeSet::from(["lumen-captured"]))
    }

    #[test]
    fn only_our_missing_binaries_are_forgiven() {
        let missing = "lumen-captured.service: Command /usr/lib/lumen/lumen-captured is not executable: No such file or directory";
        assert_eq!(finding(missing), None);
        assert!(
            finding(&missing.replace("/lumen-captured is", "/lumen-capture is")).is_some(),
            "a wrong name"
        );
        assert!(finding(&missing.replace("/usr/lib/lumen", "/usr/bin")).is_some(), "a wrong place");
        assert!(finding(&missing.replace("No such file or directory", "Permission denied")).is_some());
        assert!(
            finding("/x/lumen-captured.service:7: Unknown key name 'Wants2' in section 'Unit', ignoring.")
                .is_some()
        );
        assert_eq!(
            finding("/usr/lib/systemd/user/dbus.service:3: Unknown key"),
            None,
            "somebody else's unit"
        );
    }
}
