//! The emulated machine of `packaging/lab/vm`: the lab's Debian with a kernel of its own, so with dmabufs and DRM.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::constellation::{checkout, run, text};

/// One boot of the machine: what lies in the folder is at /job inside, and what is left there stays.
pub struct Job {
    folder: TempDir,
}

impl Job {
    /// A job with lumen as `make install` installs it, in the folder `root`.
    ///
    /// # Errors
    /// The build is not there.
    pub fn with_lumen() -> Result<Self> {
        let folder = TempDir::new()?;
        let destination = format!("DESTDIR={}", folder.path().join("root").display());
        let directory = checkout().to_string_lossy().into_owned();
        let output = run("make", &["--silent", "--directory", &directory, "install", &destination])?;
        ensure!(output.status.success(), "make install: {}", text(&output));
        Ok(Self { folder })
    }

    /// Copies `program` into the job under its own name.
    ///
    /// # Errors
    /// It is not built.
    pub fn add(&self, program: &Path) -> Result<()> {
        let name = program.file_name().context("a program has a name")?;
        fs::copy(program, self.file(&name.to_string_lossy()))
            .with_context(|| format!("{} is not built (make build)", program.display()))?;
        Ok(())
    }

    /// A file of the job.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Boots the machine, runs `script` as root in it, and powers it off; the answer is what the script printed.
    ///
    /// # Errors
    /// The machine did not boot, or the script failed.
    pub fn run(&self, script: &str) -> Result<String> {
        fs::write(self.file("script"), script)?;
        let vm = checkout().join("packaging/lab/vm");
        let folder = self.folder.path().to_string_lossy().into_owned();
        let output = run(vm, &["run", &folder, "bash", "/job/script"])?;
        ensure!(output.status.success(), "in the emulated machine: {}", text(&output));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
