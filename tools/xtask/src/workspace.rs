//! The workspace as the checks see it: packages from `cargo metadata`, files from the disk.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};
use serde::Deserialize;

/// The rooms of the house; what may depend on what goes by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// `core/*`: protocol code without sockets, files, clock.
    Core,
    /// `ipc-schema`: the contract between the stages.
    Schema,
    /// `services/stage`: what every service is made of.
    Stage,
    /// The other `services/*`: one process each.
    Service,
    /// `clients/*`, `tools/*`, `tests`.
    Outer,
}

impl Room {
    /// The room of a folder below the workspace's root; `None` outside the house.
    pub fn of(folder: &Path) -> Option<Self> {
        let mut parts = folder.iter().map(|part| part.to_str().unwrap_or_default());
        match (parts.next()?, parts.next()) {
            ("core", Some(_)) => Some(Self::Core),
            ("ipc-schema", None) => Some(Self::Schema),
            ("services", Some("stage")) => Some(Self::Stage),
            ("services", Some(_)) => Some(Self::Service),
            ("clients" | "tools", Some(_)) | ("tests", None) => Some(Self::Outer),
            _ => None,
        }
    }
}

/// One package of the workspace.
#[derive(Debug, Clone)]
pub struct Package {
    /// As in its Cargo.toml.
    pub name: String,
    /// Below the workspace's root.
    pub folder: PathBuf,
    /// Normal, build and dev dependencies.
    pub dependencies: Vec<Dependency>,
    /// The files that its libraries and binaries start with, below the workspace's root.
    pub roots: Vec<PathBuf>,
    /// Names of its binaries.
    pub binaries: Vec<String>,
}

/// One line under a package's dependencies.
#[derive(Debug, Clone, Deserialize)]
pub struct Dependency {
    /// The package it names.
    pub name: String,
    /// `None` for a normal dependency, else `dev` or `build`.
    pub kind: Option<String>,
    /// Where it lies, for a package of this workspace.
    pub path: Option<PathBuf>,
}

/// The packages and files of the project.
#[derive(Debug)]
pub struct Workspace {
    /// The folder of the root Cargo.toml.
    pub root: PathBuf,
    /// In the order of `cargo metadata`.
    pub packages: Vec<Package>,
}

impl Workspace {
    /// Asks cargo what the workspace around this very program holds.
    ///
    /// # Errors
    /// cargo cannot be run, or does not understand a Cargo.toml: its own words are in the error.
    pub fn open() -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
        let output = Command::new("cargo")
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .current_dir(&root)
            .output()
            .context("cargo cannot be run")?;
        ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
        Self::from_metadata(root, &output.stdout)
    }

    /// Reads what `cargo metadata --no-deps` printed for the workspace at `root`.
    ///
    /// # Errors
    /// The JSON has another shape, or a package lies outside `root`.
    pub fn from_metadata(root: PathBuf, json: &[u8]) -> anyhow::Result<Self> {
        let metadata: Metadata = serde_json::from_slice(json).context("cargo metadata has another shape")?;
        let packages = metadata
            .packages
            .into_iter()
            .map(|package| package.below(&root))
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { root, packages })
    }

    /// All files of the project whose name ends in one of `endings`, below the root and sorted. Hidden folders and
    /// build results are left out, save `.ci` and `.cargo`.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub fn files(&self, endings: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        walk(&self.root, &mut found)?;
        let mut found: Vec<PathBuf> = found
            .into_iter()
            .filter(|path| {
                path.to_str().is_some_and(|path| endings.iter().any(|ending| path.ends_with(ending)))
            })
            .filter_map(|path| path.strip_prefix(&self.root).map(Path::to_path_buf).ok())
            .collect();
        found.sort();
        Ok(found)
    }

    /// The text of a file below the root.
    ///
    /// # Errors
    /// It cannot be read or is not UTF-8.
    pub fn read(&self, path: &Path) -> anyhow::Result<String> {
        fs::read_to_string(self.root.join(path)).with_context(|| format!("{} cannot be read", path.display()))
    }
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !entry.file_type()?.is_dir() {
            found.push(entry.path());
        } else if [".ci", ".cargo"].contains(&&*name) || !(name.starts_with('.') || name == "target") {
            walk(&entry.path(), found)?;
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
}

#[derive(Deserialize)]
struct MetadataPackage {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
    targets: Vec<MetadataTarget>,
}

#[derive(Deserialize)]
struct MetadataTarget {
    name: String,
    kind: Vec<String>,
    src_path: PathBuf,
}

impl MetadataTarget {
    fn is(&self, kind: &str) -> bool {
        self.kind.iter().any(|own| own == kind)
    }
}

impl MetadataPackage {
    fn below(self, root: &Path) -> anyhow::Result<Package> {
        let below = |path: &Path| {
            path.strip_prefix(root)
                .map(Path::to_path_buf)
                .with_context(|| format!("{} is elsewhere", path.display()))
        };
        let roots = self.targets.iter().filter(|target| ["lib", "bin"].iter().any(|kind| target.is(kind)));
        Ok(Package {
            folder: below(self.manifest_path.parent().context("a manifest lies in no folder")?)?,
            roots: roots.map(|target| below(&target.src_path)).collect::<anyhow::Result<_>>()?,
            binaries: self
                .targets
                .iter()
                .filter(|target| target.is("bin"))
                .map(|bin| bin.name.clone())
                .collect(),
            name: self.name,
            dependencies: self.dependencies,
        })
    }
}
