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
pub mod hold;
mod inner;
mod layout;
mod manager;
mod mounts;

use std::ffi::OsString;
use std::path::PathBuf;
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
        Taken::Theirs(pid) => return Err(Refusal::Held { name: account.name.clone(), pid }.into()),
    };
    let result = hold_the_place(options, &layout, &mut hold, left);
    hold.release().context("the lock file does not go away")?;
    result
}

/// Everything between taking the lock and giving it back.
fn hold_the_place(options: &Options, layout: &Layout, hold: &mut Hold, left: Option<Record>) -> Result<ExitCode> {
    mounts::enter_outer()?;
    let cgroup = Cgroup::of_user(options.account.uid);
    if left.is_some() || cgroup.exists() {
        let left = left.unwrap_or_default();
        eprintln!("lumenctl: sweeping what a killed `lumenctl run` (pid {}) left", left.pid);
        sweep(&options.account, &cgroup, &left)?;
    }
    refusal::of_occupied(&options.account)?;
    let result = furnish(&options.account, layout, hold, &cgroup)
        .and_then(|place| manager::live(options, &place));
    if let Err(error) = mounts::unmount_tmpfs(INSTALLED_BINARIES.as_ref()) {
        // Nothing of ours was mounted there: the machine's installed binaries ran.
        tracing_free_note(&error, layout);
    }
    let swept = sweep(&options.account, &cgroup, hold.record());
    result.and_then(|code| swept.map(|()| code))
}
