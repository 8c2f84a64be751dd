//! `lumenctl run`: the constellation where nobody booted systemd.
//!
//! A private `systemd --user` runs the shipped unit files as an ordinary user; lumenctl only makes it a place to
//! live in and takes that away again. It is no supervisor.
//!
//! ```text
//!  lumenctl run (root; own mount namespace: binaries in /usr/lib/lumen)      cgroup lumen-run-UID
//!   ├─ systemd --user (the user; own mount and cgroup namespace)              ├─ manager/   all stages below it
//!   └─ the caller's command (the user)                                        └─ command/
//! ```
//!
//! The end is SIGTERM to the manager, then cgroup.kill. When lumenctl is killed the manager gets SIGTERM from the
//! kernel; what even then stays (an empty cgroup, directories) is written down in the lock file and swept by the
//! next `run`.

mod cgroup;
mod console;
pub mod hold;
mod inner;
pub mod layout;
mod manager;
mod mounts;

use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use self::cgroup::Cgroup;
use self::hold::{Hold, Record, Taken};
pub use self::inner::Inner;
use self::layout::{INSTALLED_BINARIES, Layout};
use self::manager::Place;
use crate::account::Account;
use crate::refusal::{self, Refusal};

/// What the command line asked for.
#[derive(Debug)]
pub struct Options {
    /// Whose constellation it is.
    pub account: Account,
    /// A build's binaries.
    pub binaries: Option<PathBuf>,
    /// Unit files.
    pub units: Option<PathBuf>,
    /// Configuration of lumen's bus.
    pub bus_conf: Option<PathBuf>,
    /// Variables for the manager, so for all stages, and for the command.
    pub environment: Vec<(OsString, OsString)>,
    /// What to run beside it; empty: stay until a signal comes.
    pub command: Vec<OsString>,
}

/// Runs the constellation until the command ends or a signal comes. Root only.
pub fn run(options: &Options) -> Result<ExitCode> {
    let account = &options.account;
    if account.uid == 0 {
        return Err(Refusal::RootUser.into());
    }
    let layout = Layout::find(
        options.binaries.clone(),
        options.units.clone(),
        options.bus_conf.clone(),
        &std::env::current_exe()?,
    )?;
    let path = hold::path_of(account.uid);
    let taken = Hold::take(&path).with_context(|| format!("cannot lock {}", path.display()))?;
    let (mut hold, left) = match taken {
        Taken::Ours(hold, left) => (hold, left),
        Taken::Theirs(pid) => {
            return Err(Refusal::Held { name: account.name.clone(), pid }.into());
        }
    };
    let result = hold_the_place(options, &layout, &mut hold, left);
    hold.release().context("the lock file does not go away")?;
    result
}

/// Everything between taking the lock and giving it back.
fn hold_the_place(
    options: &Options,
    layout: &Layout,
    hold: &mut Hold,
    left: Option<Record>,
) -> Result<ExitCode> {
    mounts::enter_outer()?;
    let cgroup = Cgroup::of_user(options.account.uid);
    let left = left.or_else(|| cgroup.exists().then(Record::default));
    if let Some(left) = &left {
        eprintln!("lumenctl: sweeping what a killed `lumenctl run` (pid {}) left", left.pid);
        cgroup.destroy().context("the cgroup does not go away")?;
    }
    // Before any directory goes: since that run was killed, the user may have got a session of his own.
    refusal::of_occupied(&options.account)?;
    if let Some(left) = &left {
        sweep(&options.account, &cgroup, left)?;
    }
    let result = furnish(options, layout, hold, &cgroup).and_then(|place| manager::live(options, &place));
    let swept = sweep(&options.account, &cgroup, hold.record());
    result.and_then(|code| swept.map(|()| code))
}

/// Makes the cgroup, the runtime directory and, in our mount namespace, the installed places.
fn furnish(options: &Options, layout: &Layout, hold: &mut Hold, cgroup: &Cgroup) -> Result<Place> {
    let account = &options.account;
    cgroup.create().context("no cgroup can be made: the cgroup2 hierarchy has to be writable for root")?;
    cgroup.child("command").create()?;
    let managers = cgroup.child("manager");
    managers.create()?;
    managers.delegate(account)?;
    layout.lay_binaries(hold)?;
    let runtime_dir = account.runtime_dir();
    for directory in [Path::new(mounts::SYSTEMD_RUN), Path::new("/run/user"), &runtime_dir] {
        hold.make_directory(directory)?;
    }
    // Root's until all is laid: in a directory of the user's, a link of his would lead root's writing elsewhere.
    chown(&runtime_dir, Some(0), Some(0))?;
    std::fs::set_permissions(&runtime_dir, Permissions::from_mode(0o700))?;
    absent_is_fine(std::fs::remove_dir_all(runtime_dir.join("lumen-run")))?;
    let units = layout.lay_units(&runtime_dir)?;
    if !Inner::namespaces_allowed(account)? {
        eprintln!(
            "lumenctl: {} may not make user namespaces here (a chroot, or the machine's policy): the stages run \
             without the part of their sandbox that needs them",
            account.name
        );
        layout.mask_namespaces(&units)?;
    }
    let log = runtime_dir.join("lumen-run/manager.log");
    File::create(&log)?.set_permissions(Permissions::from_mode(0o600))?;
    chown(&log, Some(account.uid), Some(account.gid))?;
    chown(&runtime_dir, Some(account.uid), Some(account.gid))?;
    Ok(Place { cgroup: cgroup.clone(), units, log })
}

/// Ends what still runs and takes away what has been made. Works as well after a `run` that was killed.
fn sweep(account: &Account, cgroup: &Cgroup, record: &Record) -> Result<()> {
    cgroup.destroy().context("the cgroup does not go away")?;
    mounts::unmount_tmpfs(INSTALLED_BINARIES.as_ref())?;
    let runtime_dir = account.runtime_dir();
    if record.made.contains(&runtime_dir) && !is_mount_point(&runtime_dir) {
        absent_is_fine(std::fs::remove_dir_all(&runtime_dir))?;
    } else {
        clear(&runtime_dir)?;
    }
    // A directory that another user's run has mounted something on would lose that mount with its name.
    if cgroup::any_run()? {
        return Ok(());
    }
    for made in record.made.iter().rev() {
        // One that is not empty has got another owner meanwhile.
        let _ = std::fs::remove_dir(made);
    }
    Ok(())
}

/// Takes what is ours and the manager's out of a runtime directory that was there before us.
fn clear(runtime_dir: &Path) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(runtime_dir) else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = ["lumen", "lumen-run", "systemd", "bus"].contains(&name.as_str())
            || name.starts_with("log-lumen");
        if ours && entry.file_type()?.is_dir() {
            absent_is_fine(std::fs::remove_dir_all(entry.path()))?;
        } else if ours {
            absent_is_fine(std::fs::remove_file(entry.path()))?;
        }
    }
    Ok(())
}

/// Whether something is mounted there: a log-in's runtime directory is a file system of its own, ours never is.
fn is_mount_point(path: &Path) -> bool {
    let device = |path: &Path| path.metadata().map(|found| found.dev()).ok();
    device(path) != path.parent().and_then(device)
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
