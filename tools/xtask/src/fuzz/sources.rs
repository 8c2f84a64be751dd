//! Which sources had their deep run.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use aws_lc_rs::digest::{Context as Hash, SHA256};
use lumen_fuzz::targets;

use super::{folder, hex};
use crate::workspace::Workspace;

const FILE: &str = "deep.txt";
const HEAD: &str =
    "# Written by `cargo xtask fuzz --deep`: a crate, and the SHA-256 of the sources that had their run.\n";

/// Of each crate's folder the hash of its sources.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Deep(BTreeMap<String, String>);

impl Deep {
    /// Of the last deep run.
    ///
    /// # Errors
    /// The file is not there or cannot be read.
    pub(super) fn read(workspace: &Workspace) -> anyhow::Result<Self> {
        let path = folder(workspace).join(FILE);
        let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let pairs = lines.filter_map(|line| line.split_once(' '));
        Self(pairs.map(|(of, hash)| (of.to_owned(), hash.to_owned())).collect())
    }

    /// Of the sources as they are.
    ///
    /// # Errors
    /// One cannot be read.
    pub(super) fn of(workspace: &Workspace) -> anyhow::Result<Self> {
        let files = workspace.files(&[".rs", "Cargo.toml"])?;
        let crates: BTreeSet<&str> = targets().map(|target| target.of).collect();
        let hash = |of: &str| {
            let folders = folders(workspace, Path::new(of));
            let mine = files.iter().filter(|file| folders.iter().any(|folder| is_source(file, folder)));
            Ok((of.to_owned(), hash(workspace, mine)?))
        };
        crates.into_iter().map(hash).collect::<anyhow::Result<_>>().map(Self)
    }

    /// Keeps it for the next who asks.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn write(&self, workspace: &Workspace) -> anyhow::Result<()> {
        let lines: String = self.crates().map(|(of, hash)| format!("{of} {hash}\n")).collect();
        fs::write(folder(workspace).join(FILE), format!("{HEAD}{lines}"))
            .context("deep.txt cannot be written")
    }

    /// The crates and their hashes.
    pub(super) fn crates(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(of, hash)| (of.as_str(), hash.as_str()))
    }

    /// Whether exactly these sources had their run.
    pub(super) fn has(&self, of: &str, hash: &str) -> bool {
        self.0.get(of).is_some_and(|known| known == hash)
    }
}

/// The crate, those of this workspace that it stands on, and the targets themselves.
fn folders(workspace: &Workspace, of: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::from([PathBuf::from("tools/fuzz")]);
    let mut open = vec![of.to_path_buf()];
    while let Some(folder) = open.pop() {
        let package = workspace.packages.iter().find(|package| package.folder == folder);
        let normal =
            package.iter().flat_map(|package| &package.dependencies).filter(|needed| needed.kind.is_none());
        let paths = normal.filter_map(|needed| needed.path.as_deref()?.strip_prefix(&workspace.root).ok());
        open.extend(paths.filter(|path| !found.contains(*path)).map(Path::to_path_buf));
        found.insert(folder);
    }
    found
}

/// What the fuzzer runs: `src` without its tests, and the manifest.
fn is_source(file: &Path, folder: &Path) -> bool {
    let Ok(inside) = file.strip_prefix(folder) else {
        return false;
    };
    let is_test = inside.iter().any(|part| part == "tests" || part == "tests.rs");
    inside == Path::new("Cargo.toml") || inside.starts_with("src") && !is_test
}

fn hash<'a>(workspace: &Workspace, files: impl Iterator<Item = &'a PathBuf>) -> anyhow::Result<String> {
    let mut hash = Hash::new(&SHA256);
    for file in files {
        let text = workspace.read(file)?;
        // The lengths keep two files apart from one of both.
        hash.update(format!("{} {}\n", file.display(), text.len()).as_bytes());
        hash.update(text.as_bytes());
    }
    Ok(hex(hash.finish().as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Sabotage: leave out the crates that a crate stands on.
    #[test]
    fn a_crate_has_changed_when_one_that_it_stands_on_has() {
        let workspace = Workspace::open().unwrap();
        let folders = folders(&workspace, Path::new("core/gamestream"));
        assert!(folders.contains(Path::new("core/lumen-core")) && folders.contains(Path::new("tools/fuzz")));
        assert!(!folders.contains(Path::new("core/netem")), "its tests alone stand on it");
    }

    #[test]
    fn tests_of_a_crate_are_not_what_is_fuzzed() {
        let source = |file| is_source(Path::new(file), Path::new("core/gamestream"));
        assert!(source("core/gamestream/src/enet/peer.rs") && source("core/gamestream/Cargo.toml"));
        assert!(
            !source("core/gamestream/src/enet/tests/by_bytes.rs")
                && !source("core/gamestream/src/http/tests.rs")
        );
        assert!(!source("core/gamestream/tests/a.rs") && !source("core/lumen-core/src/lib.rs"));
    }

    #[test]
    fn what_was_written_is_known() {
        let deep = Deep::parse(&format!("{HEAD}a/b 0123\nc 4567\n"));
        assert_eq!(deep.crates().collect::<Vec<_>>(), [("a/b", "0123"), ("c", "4567")]);
        assert!(deep.has("a/b", "0123") && !deep.has("a/b", "4567") && !deep.has("d", "0123"));
    }
}
