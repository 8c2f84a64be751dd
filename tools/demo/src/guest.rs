//! The half that is root: a user for the demo, his settings, and bringing home what he recorded.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};

use crate::stay::{HOST, RESULTS, VIDEO_PORT};

/// The user that the demo runs as. Made for it and removed with it.
const NAME: &str = "lumen-demo";

/// The program that moves on the desktop; any other Wayland program would do.
const DISPLAY: &str = "app = [\"/usr/lib/lumen/lumen-stamp\"]\n";

/// An account that goes with this value.
struct Guest {
    home: PathBuf,
}

/// Runs the demo as a guest and copies what it recorded to `to`.
pub fn show(to: &Path, seconds: u32) -> Result<ExitCode> {
    if !rustix::process::geteuid().is_root() {
        bail!("a private systemd and a user of its own need root:\n  sudo make demo");
    }
    let guest = Guest::make()?;
    let lumenctl = std::env::current_exe()?.with_file_name("lumenctl");
    let status = Command::new(&lumenctl)
        .args(["run", "--user", NAME, "--", "lumen-demo", "--inside", "--seconds", &seconds.to_string()])
        .status()
        .with_context(|| format!("cannot start {}", lumenctl.display()))?;
    ensure!(status.success(), "the demo did not stream ({status}); what the stages said is above");
    for name in RESULTS {
        bring_home(&guest.home.join(name), &to.join(name))?;
    }
    let [mp4, png] = RESULTS.map(|name| to.join(name).display().to_string());
    // A reader that has gone does not want to know.
    let _ = writeln!(io::stdout(), "\nThe stream as the client received it: {mp4}\nIts last picture: {png}");
    Ok(ExitCode::SUCCESS)
}

impl Guest {
    /// Makes the account, or takes the one that an interrupted demo left, with fresh settings.
    fn make() -> Result<Self> {
        if home()?.is_none() {
            succeed(Command::new("useradd").args(["--system", "--create-home", "--shell", "/bin/sh", NAME]))?;
        }
        let guest = Self { home: home()?.context("useradd made no user")? };
        let settings = guest.home.join(".config/lumen");
        fs::create_dir_all(&settings)?;
        fs::write(settings.join("vdisplayd.toml"), DISPLAY)?;
        fs::write(
            settings.join("transportd.toml"),
            format!("listen = \"{HOST}\"\nvideo_port = {VIDEO_PORT}\n"),
        )?;
        succeed(Command::new("chown").args(["--recursive", &format!("{NAME}:")]).arg(&guest.home))?;
        Ok(guest)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Err(error) = succeed(Command::new("userdel").args(["--remove", NAME])) {
            eprintln!("lumen-demo: {error:#}; `sudo userdel --remove {NAME}` removes the user");
        }
    }
}

/// The guest's home, if there is such a user.
fn home() -> Result<Option<PathBuf>> {
    let output = Command::new("getent").args(["passwd", NAME]).output().context("cannot run getent")?;
    let line = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(line.trim().split(':').nth(5).map(PathBuf::from))
}

fn succeed(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    // userdel complains about a mail spool that never was, and succeeds.
    ensure!(output.status.success(), "{command:?} failed: {}", complaint.trim());
    Ok(())
}

/// Copies a file and gives it to who called sudo.
fn bring_home(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    if let (Some(uid), Some(gid)) = (number("SUDO_UID"), number("SUDO_GID")) {
        chown(to, Some(uid), Some(gid))?;
    }
    Ok(())
}
