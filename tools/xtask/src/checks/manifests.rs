//! Versions and lints are decided in the root Cargo.toml alone.

use std::path::Path;

use anyhow::Context;
use toml::Table;

use crate::{
    verdict::{Finding, Verdict},
    workspace::Workspace,
};

const INHERITED: [&str; 4] = ["version", "edition", "rust-version", "license"];

/// Looks at every package's Cargo.toml.
pub fn check(workspace: &Workspace) -> anyhow::Result<Verdict> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        let path = package.folder.join("Cargo.toml");
        let manifest: Table = workspace.read(&path)?.parse().with_context(|| path.display().to_string())?;
        findings.extend(judge(&path, &manifest));
    }
    Ok(Verdict::of(findings, format!("{} manifests", workspace.packages.len())))
}

fn judge(path: &Path, manifest: &Table) -> Vec<Finding> {
    let inherits = |entry: Option<&toml::Value>| {
        entry.and_then(|entry| entry.get("workspace")).and_then(toml::Value::as_bool).unwrap_or(false)
    };
    let mut wrong = Vec::new();
    if !inherits(manifest.get("lints")) {
        wrong.push("has no `[lints] workspace = true`".to_owned());
    }
    for key in INHERITED {
        if !inherits(manifest.get("package").and_then(|package| package.get(key))) {
            wrong.push(format!("has no `{key}.workspace = true`"));
        }
    }
    for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
        for (name, entry) in manifest.get(section).and_then(toml::Value::as_table).into_iter().flatten() {
            if !inherits(Some(entry)) {
                wrong.push(format!("decides the version of {name} by itself"));
            }
        }
    }
    wrong.into_iter().map(|what| Finding::new(path.display().to_string(), what)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[package]\nname = 'a'\nversion.workspace = true\nedition.workspace = true\n\
        rust-version.workspace = true\nlicense.workspace = true\n[lints]\nworkspace = true\n\
        [dependencies]\nserde.workspace = true\nzbus = { workspace = true, features = ['p2p'] }\n";

    fn findings(manifest: &str) -> usize {
        judge(Path::new("a/Cargo.toml"), &manifest.parse().unwrap()).len()
    }

    #[test]
    fn what_the_root_decides_is_inherited() {
        assert_eq!(findings(GOOD), 0);
        assert_eq!(findings(&GOOD.replace("serde.workspace = true", "serde = '1'")), 1);
        assert_eq!(findings(&GOOD.replace("edition.workspace = true", "edition = '2021'")), 1);
        assert_eq!(findings(&GOOD.replace("[lints]\nworkspace = true", "")), 1);
        assert_eq!(findings(&format!("{GOOD}[dev-dependencies]\nproptest = {{ version = '1' }}\n")), 1);
    }
}
