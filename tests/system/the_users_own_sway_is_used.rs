//! vdisplayd's own tests against a real sway and a real user manager, in the booted container: the sway that the
//! user runs gets an Output and loses it again, a headless one is started, adopted and swept.
//!
//! Sabotage: let the sweep of vdisplayd do nothing.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use lumen_tests::{constellation::binaries, lab::Lab};

#[test]
fn the_users_own_sway_is_used() -> Result<()> {
    let lab = Lab::start("trixie")?;
    let program = newest("live_sway-")?;
    lab.push_program(&program)?;
    let name = program.file_name().context("no file name")?.to_string_lossy().into_owned();
    let sweeper = "LUMEN_VDISPLAYD=/usr/lib/lumen/lumen-vdisplayd";
    let said =
        lab.user(&["env", sweeper, &format!("/home/lumen/bin/{name}"), "--ignored", "--test-threads=1"])?;
    ensure!(said.contains("test result: ok") && !said.contains(" 0 passed"), "{said}");
    Ok(())
}

/// The newest test program of this name that cargo built.
fn newest(name: &str) -> Result<PathBuf> {
    let programs = fs::read_dir(binaries().join("deps"))?.flatten().map(|entry| entry.path());
    let programs = programs.filter(|path| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        file.starts_with(name) && path.extension().is_none()
    });
    let newest = programs.max_by_key(|path| fs::metadata(path).and_then(|meta| meta.modified()).ok());
    newest.with_context(|| format!("no {name}… was built: cargo test --release --workspace --no-run"))
}
