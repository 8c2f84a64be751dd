//! What cargo and its tools check.

use std::process::Command;

use anyhow::{Context, ensure};

use crate::{
    verdict::{Finding, Verdict},
    workspace::Workspace,
};

/// Lines of a tool's own words that are shown with a failure: the last ones say how many there were.
const SHOWN: usize = 60;

/// The version of cargo-deny that deny.toml is written for.
const DENY: &str = "0.20.2";

/// rustfmt has nothing to change.
pub fn format(workspace: &Workspace) -> anyhow::Result<Verdict> {
    run(workspace, &["fmt", "--all", "--check", "--", "--files-with-diff"], "nothing to change")
}

/// No lint fires, tests and examples included.
pub fn clippy(workspace: &Workspace) -> anyhow::Result<Verdict> {
    run(
        workspace,
        &[
            "clippy",
            "--release",
            "--workspace",
            "--all-targets",
            "--keep-going",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ],
        "no warning",
    )
}

/// Every public item has its comment, and every link in one leads somewhere.
pub fn rustdoc(workspace: &Workspace) -> anyhow::Result<Verdict> {
    run(
        workspace,
        &[
            "doc",
            "--release",
            "--workspace",
            "--no-deps",
            "--keep-going",
            "--document-private-items",
            "--quiet",
        ],
        "no warning",
    )
}

/// Licences, sources and duplicates, by cargo-deny.
pub fn deny(workspace: &Workspace) -> anyhow::Result<Verdict> {
    if let Some(skipped) = cargo_deny_missing() {
        return Ok(skipped);
    }
    run(
        workspace,
        &["deny", "--log-level", "error", "check", "bans", "licenses", "sources"],
        "bans, licences and sources",
    )
}

/// Known vulnerabilities, by cargo-deny. Its database is a git repository that some machines cannot reach.
pub fn advisories(workspace: &Workspace) -> anyhow::Result<Verdict> {
    if let Some(skipped) = cargo_deny_missing() {
        return Ok(skipped);
    }
    let verdict = run(workspace, &["deny", "--log-level", "error", "check", "advisories"], "none known")?;
    Ok(match verdict {
        Verdict::Wrong(findings) if findings.iter().any(|finding| unreachable(&finding.what)) => {
            Verdict::Skipped(
                "the advisory database cannot be fetched from this machine (it is on github.com)".to_owned(),
            )
        }
        verdict => verdict,
    })
}

fn unreachable(words: &str) -> bool {
    words.contains("failed to fetch advisory database")
}

/// Builds cargo-deny unless it is there. Unoptimised it takes a minute instead of five, and finds the same.
///
/// # Errors
/// cargo cannot fetch or build it: its own words went to stderr.
pub fn install_deny() -> anyhow::Result<()> {
    if deny_is_there() {
        return Ok(());
    }
    let install = ["install", "--locked", "--debug", "--quiet", "cargo-deny", "--version", DENY];
    // Debug information would double what is written, and nobody debugs it here.
    let status = Command::new("cargo").args(install).env("CARGO_PROFILE_DEV_DEBUG", "0").status();
    ensure!(status.context("cargo cannot be run")?.success(), "cargo {} failed", install.join(" "));
    Ok(())
}

fn deny_is_there() -> bool {
    Command::new("cargo").args(["deny", "--version"]).output().is_ok_and(|output| output.status.success())
}

fn cargo_deny_missing() -> Option<Verdict> {
    (!deny_is_there())
        .then(|| Verdict::Skipped("cargo-deny is not installed: cargo xtask tidy --install".to_owned()))
}

fn run(workspace: &Workspace, arguments: &[&str], fine: &str) -> anyhow::Result<Verdict> {
    let output = Command::new("cargo")
        .args(arguments)
        // A program's readers see private items too, so a link to one leads somewhere.
        .env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links")
        .current_dir(&workspace.root)
        .output()
        .context("cargo cannot be run")?;
    if output.status.success() {
        return Ok(Verdict::Fine(fine.to_owned()));
    }
    let words = [output.stdout, output.stderr].concat();
    let words = String::from_utf8_lossy(&words);
    let lines: Vec<_> = words.lines().filter(|line| !line.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(SHOWN);
    let shown = lines.get(from..).unwrap_or_default().join("\n      ");
    Ok(Verdict::Wrong(vec![Finding::new(
        format!("cargo {}", arguments.join(" ")),
        format!("\n      {shown}"),
    )]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_database_out_of_reach_is_forgiven() {
        assert!(unreachable("2026-11-20 [ERROR] failed to fetch advisory database https://github.com/x"));
        assert!(!unreachable("error[vulnerability]: use after free in x"));
    }
}
