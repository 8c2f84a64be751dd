//! Where a `run` finds binaries and units, and how they get to their installed places without being installed.

use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::hold::Hold;
use super::{absent_is_fine, mounts};
use crate::refusal::Refusal;

/// Where the units look for lumen's binaries and bus.conf.
pub const INSTALLED_BINARIES: &str = "/usr/lib/lumen";

const INSTALLED_UNITS: &str = "/usr/lib/systemd/user";

/// The drop-in of each unit that holds what needs a user namespace.
const NAMESPACES: &str = "50-userns.conf";

/// No journal runs beside a private manager, so that each unit gets a file. A manager's default for the output is
/// lost at daemon-reload; a drop-in is not.
const LOG_DROP_IN: &str = "[Service]\nStandardOutput=append:%t/log-%N\nStandardError=append:%t/log-%N\n";

/// What is run. None stands for what the machine has installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    binaries: Option<PathBuf>,
    units: Option<PathBuf>,
    bus_conf: Option<PathBuf>,
}

impl Layout {
    /// The asked directories; without a word about them, those of the checkout that this program was built in.
    pub fn find(
        binaries: Option<PathBuf>,
        units: Option<PathBuf>,
        bus_conf: Option<PathBuf>,
        program: &Path,
    ) -> Result<Self, Refusal> {
        let built = build_of(program);
        let binaries = binaries.or_else(|| built.as_ref().map(|(binaries, _)| binaries.clone()));
        let units = units.or_else(|| built.map(|(_, units)| units));
        let bus_conf = bus_conf.or_else(|| units.as_ref().map(|units| units.join("bus.conf")));
        let layout = Self { binaries, units, bus_conf };
        layout.check()?;
        Ok(layout)
    }

    /// Everything that a unit starts must be there before anything is changed.
    fn check(&self) -> Result<(), Refusal> {
        let units = self.units.as_deref().unwrap_or(Path::new(INSTALLED_UNITS));
        let binaries = self.binaries.as_deref().unwrap_or(Path::new(INSTALLED_BINARIES));
        let incomplete = |directory: &Path, missing: &str, option| Refusal::Incomplete {
            directory: directory.to_owned(),
            missing: missing.to_owned(),
            option,
        };
        if !units.join("lumen.target").is_file() {
            return Err(incomplete(units, "lumen.target", "--units"));
        }
        for program in programs(units).map_err(|_| incomplete(units, "readable units", "--units"))? {
            if !binaries.join(&program).is_file() {
                return Err(incomplete(binaries, &program, "--binaries"));
            }
        }
        match self.bus_conf.as_deref().filter(|_| self.binaries.is_some()) {
            Some(file) if !file.is_file() => {
                Err(incomplete(file.parent().unwrap_or(file), "bus.conf", "--bus-conf"))
            }
            _ => Ok(()),
        }
    }

    /// Puts a build's binaries into their installed place, for our mount namespace only.
    ///
    /// They are copies, so that a build during the run changes nothing under the running stages.
    pub fn lay_binaries(&self, hold: &mut Hold) -> Result<()> {
        let Some(binaries) = &self.binaries else {
            return Ok(());
        };
        let target = Path::new(INSTALLED_BINARIES);
        if is_empty(target) {
            // Another user's `run` has made it, and the last of us takes it away.
            hold.remember(target)?;
        }
        hold.make_directory(target)
            .with_context(|| format!("{INSTALLED_BINARIES} is needed as a mount point"))?;
        mounts::mount_tmpfs(target)?;
        for entry in std::fs::read_dir(binaries)? {
            let path = entry?.path();
            if let Some(name) = path.file_name().filter(|_| is_program(&path)) {
                std::fs::copy(&path, target.join(name))
                    .with_context(|| format!("cannot copy {}", path.display()))?;
            }
        }
        if let Some(bus_conf) = &self.bus_conf {
            copy_readable(bus_conf, &target.join("bus.conf"))?;
        }
        Ok(())
    }

    /// Takes the part of the sandbox that needs user namespaces out of units laid by [`Self::lay_units`].
    pub fn mask_namespaces(&self, laid: &Path) -> Result<()> {
        let units = self.units.as_deref().unwrap_or(Path::new(INSTALLED_UNITS));
        for entry in std::fs::read_dir(units)? {
            let entry = entry?;
            let (given, ours) = (entry.path().join(NAMESPACES), laid.join(entry.file_name()));
            if !given.is_file() {
                continue;
            }
            std::fs::create_dir_all(&ours)?;
            let mask = ours.join(NAMESPACES);
            absent_is_fine(std::fs::remove_file(&mask))?;
            symlink("/dev/null", &mask)?;
        }
        Ok(())
    }

    /// Writes the units (copies, since the checkout may lie in a home that the user cannot enter) and the log
    /// drop-in below `runtime_dir`; the answer is that directory.
    pub fn lay_units(&self, runtime_dir: &Path) -> Result<PathBuf> {
        let target = runtime_dir.join("lumen-run/units");
        let drop_in = target.join("lumen-.service.d");
        std::fs::create_dir_all(&drop_in)?;
        if let Some(units) = &self.units {
            copy_units(units, &target)
                .with_context(|| format!("cannot copy the units of {}", units.display()))?;
        }
        write_readable(&drop_in.join("10-run.conf"), LOG_DROP_IN.as_bytes())?;
        Ok(target)
    }
}

/// Binaries and units of the checkout that `program` was built in: `…/target/release/lumenctl` and `…/systemd`.
fn build_of(program: &Path) -> Option<(PathBuf, PathBuf)> {
    let binaries = program.parent()?;
    let units = binaries.ancestors().map(|above| above.join("systemd")).find(|units| {
        // /usr/lib/systemd holds no bus.conf of ours: an installed lumenctl has no checkout.
        units.join("lumen.target").is_file() && units.join("bus.conf").is_file()
    })?;
    Some((binaries.to_owned(), units))
}

/// The names that the services of a unit directory start from [`INSTALLED_BINARIES`].
fn programs(units: &Path) -> io::Result<Vec<String>> {
    let mut programs = Vec::new();
    for entry in std::fs::read_dir(units)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("lumen-") && name.ends_with(".service") && path.is_file() {
            programs.extend(started_by(&std::fs::read_to_string(path)?));
        }
    }
    Ok(programs)
}

fn started_by(unit: &str) -> Option<String> {
    let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart="))?;
    let path = Path::new(command.split_whitespace().next()?);
    let name = path.strip_prefix(INSTALLED_BINARIES).ok()?;
    Some(name.to_string_lossy().into_owned())
}

/// Whether it is one of ours to copy: an executable file called lumenctl or lumen-something.
fn is_program(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let named = name == "lumenctl" || (name.starts_with("lumen-") && !name.contains('.'));
    named
        && std::fs::metadata(path)
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o100 != 0)
}

fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none())
}

/// Copies `lumen*` units and their drop-in directories, and nothing else that may lie there.
fn copy_units(from: &Path, to: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        if !name.to_string_lossy().starts_with("lumen") {
            continue;
        }
        let target = to.join(&name);
        if !path.is_dir() {
            copy_readable(&path, &target)?;
            continue;
        }
        std::fs::create_dir_all(&target)?;
        for drop_in in std::fs::read_dir(&path)? {
            let drop_in = drop_in?;
            copy_readable(&drop_in.path(), &target.join(drop_in.file_name()))?;
        }
    }
    Ok(())
}

fn copy_readable(from: &Path, to: &Path) -> io::Result<()> {
    write_readable(to, &std::fs::read(from)?)
}

fn write_readable(path: &Path, text: &[u8]) -> io::Result<()> {
    std::fs::write(path, text)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exec_line_names_its_program() {
        assert_eq!(
            started_by("[Service]\nExecStart=/usr/lib/lumen/lumen-inputd --x\n").as_deref(),
            Some("lumen-inputd")
        );
        assert_eq!(started_by("[Service]\nExecStart=/usr/bin/dbus-daemon --nofork\n"), None);
    }

    #[test]
    fn a_missing_binary_is_named_before_anything_is_changed() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let units = directory.path();
        std::fs::write(units.join("lumen.target"), "").expect("written");
        std::fs::write(units.join("lumen-x.service"), "[Service]\nExecStart=/usr/lib/lumen/lumen-x\n")
            .expect("written");
        let found = Layout::find(
            Some(units.to_owned()),
            Some(units.to_owned()),
            None,
            Path::new("/usr/bin/lumenctl"),
        );
        let Err(Refusal::Incomplete { missing, option, .. }) = found else { panic!("{found:?}") };
        assert_eq!((missing.as_str(), option), ("lumen-x", "--binaries"));
    }

    #[test]
    fn a_mask_takes_only_the_namespaces_away() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let (units, laid) = (directory.path().join("units"), directory.path().join("laid"));
        let drop_ins = units.join("lumen-x.service.d");
        std::fs::create_dir_all(&drop_ins).expect("created");
        for name in [NAMESPACES, "60-mine.conf"] {
            std::fs::write(drop_ins.join(name), "[Service]\n").expect("written");
        }
        copy_units(&units, &laid).expect("copied");
        let layout = Layout { binaries: None, units: Some(units), bus_conf: None };
        layout.mask_namespaces(&laid).expect("masked");
        let read =
            |name| std::fs::read_to_string(laid.join("lumen-x.service.d").join(name)).expect("readable");
        assert_eq!((read(NAMESPACES).as_str(), read("60-mine.conf").as_str()), ("", "[Service]\n"));
    }

    #[test]
    fn an_installed_lumenctl_has_no_checkout() {
        assert_eq!(build_of(Path::new("/usr/bin/lumenctl")), None);
    }
}
