//! The virtual environment of the genuine Moonlight client: made once, kept beside the lab's images.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::constellation::{checkout, text};

/// What is installed in it.
const REQUIREMENTS: &str = "tests/moonlight/requirements.txt";

/// The Python with everything that `tests/moonlight/client.py` wants; made unless it is there and works.
///
/// # Errors
/// It cannot be made: with what to do.
pub fn python() -> Result<PathBuf> {
    let store = env::var_os("LUMEN_LAB").map_or_else(|| PathBuf::from("/var/cache/lumen-lab"), PathBuf::from);
    let home = store.join("moonlight");
    let wanted = fs::read_to_string(checkout().join(REQUIREMENTS))?;
    let has_it = fs::read_to_string(home.join("requirements.txt")).is_ok_and(|had| had == wanted);
    let python = home.join("bin/python");
    // It may have been made with a Python that an upgrade has taken away since.
    let works = || Command::new(&python).args(["-c", "import cffi, requests"]).output();
    if !has_it || !works().is_ok_and(|output| output.status.success()) {
        make(&home)?;
        fs::write(home.join("requirements.txt"), wanted)?;
    }
    Ok(python)
}

fn make(home: &Path) -> Result<()> {
    fs::create_dir_all(home)?;
    let venv = Command::new("python3").args(["-m", "venv", "--clear"]).arg(home).output();
    let venv = venv.context("there is no python3: install python3-venv, or run `make test`, which does")?;
    ensure!(
        venv.status.success(),
        "`python3 -m venv` failed; install python3-venv, or run `make test`, which does: {}",
        text(&venv)
    );
    let requirements = checkout().join(REQUIREMENTS);
    let mut pip = Command::new(home.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--requirement"]);
    let pip = pip.arg(&requirements).output()?;
    ensure!(
        pip.status.success(),
        "pip could not fetch {REQUIREMENTS}. It needs PyPI, or an index that PIP_INDEX_URL names, this one time; then it \
         is kept in {}. pip said: {}",
        home.display(),
        text(&pip)
    );
    Ok(())
}
