//! The emulated machine of `packaging/lab/vm`: the lab's Debian with a kernel of its own, so with dmabufs and DRM.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::constellation::{binaries, checkout, run, text};

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

    /// Copies a test program of this workspace, built by `cargo test --release`, into the job as `name`.
    ///
    /// # Errors
    /// It is not built.
    pub fn add_test(&self, name: &str) -> Result<()> {
        let is_it = |path: &PathBuf| {
            let file = path.file_name().map(|file| file.to_string_lossy().into_owned()).unwrap_or_default();
            file.starts_with(&format!("{name}-")) && path.extension().is_none()
        };
        let built = fs::read_dir(binaries().join("deps"))?.flatten().map(|entry| entry.path()).filter(is_it);
        let newest = built.max_by_key(|path| path.metadata().and_then(|file| file.modified()).ok());
        let newest =
            newest.with_context(|| format!("the test {name} is not built (cargo test --release)"))?;
        fs::copy(newest, self.file(name)).map(drop).context("copying a test")
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
