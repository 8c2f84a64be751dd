//! The hidden subcommands: lumenctl started again, to become something else.
//!
//! A child of a std Command cannot run code of ours between fork and exec without `unsafe`; a second exec can.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt, parent_id};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::process::{Signal, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};

use super::cgroup::Cgroup;
use super::mounts;
use crate::account::Account;

/// What becomes of the second lumenctl.
#[derive(Debug, Serialize, Deserialize)]
pub struct Inner {
    /// Who it becomes.
    pub account: Account,
    /// The `lumenctl run` that started it, and without which it ends.
    pub parent: u32,
    /// The child of the run's cgroup to move to.
    pub cgroup: String,
    /// Variables beside the account's own.
    pub environment: Vec<(OsString, OsString)>,
    /// What it becomes.
    pub role: Role,
}

/// What a `run` starts.
#[derive(Debug, Serialize, Deserialize)]
pub enum Role {
    /// The private `systemd --user`, in namespaces of its own.
    Manager {
        /// The terminal that is its console.
        console: PathBuf,
    },
    /// A command of the caller, beside it.
    Command(Vec<OsString>),
    /// Nothing: it tries whether this user may have namespaces of his own, and ends.
    Trial,
}

impl Inner {
    /// A Command that starts lumenctl again in this role.
    pub fn command(&self) -> Result<Command> {
        let mut command = Command::new("/proc/self/exe");
        command.arg("inner").arg(serde_json::to_string(self)?);
        Ok(command)
    }

    /// Whether this user's units can have a user namespace and mounts in it: some distributions forbid that, and
    /// in a chroot the kernel does.
    pub fn namespaces_allowed(account: &Account) -> Result<bool> {
        let trial = Self {
            account: account.clone(),
            parent: std::process::id(),
            cgroup: "command".to_owned(),
            environment: Vec::new(),
            role: Role::Trial,
        };
        Ok(trial.command()?.stderr(Stdio::null()).status()?.success())
    }

    /// Becomes what it says; comes back with an error, or after a trial that went well.
    pub fn become_it(self) -> Result<()> {
        Cgroup::of_user(self.account.uid).child(&self.cgroup).enter().context("no cgroup of this run")?;
        if let Role::Manager { console } = &self.role {
            mounts::enter_inner(console)?;
        }
        self.account.assume().with_context(|| format!("cannot become {}", self.account.name))?;
        self.end_with_parent()?;
        let (mut command, name) = match &self.role {
            Role::Manager { .. } => (manager()?, "systemd --user".to_owned()),
            Role::Command(words) => other(words)?,
            Role::Trial => return mounts::try_user_namespace(),
        };
        command.env_clear().envs(self.account.environment()).envs(self.environment);
        Err(command.exec()).with_context(|| format!("cannot start {name}"))
    }

    /// Asks the kernel for SIGTERM when `lumenctl run` dies, however it dies. A change of uid forgets the wish, so
    /// this comes after it.
    fn end_with_parent(&self) -> io::Result<()> {
        set_parent_process_death_signal(Some(Signal::TERM))?;
        if parent_id() == self.parent {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::Interrupted, "lumenctl run has gone"))
    }
}

fn manager() -> Result<Command> {
    let places = ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"];
    let Some(program) = places.into_iter().find(|place| Path::new(place).exists()) else {
        bail!("there is no systemd on this machine (`apt-get install systemd`, which need not be booted)");
    };
    let mut command = Command::new(program);
    command.args(["--user", "--unit=basic.target", "--log-target=console", "--log-level=info"]);
    command.current_dir("/");
    Ok(command)
}

fn other(words: &[OsString]) -> Result<(Command, String)> {
    let [program, arguments @ ..] = words else { bail!("there is no command to run") };
    let mut command = Command::new(program);
    command.args(arguments);
    Ok((command, program.to_string_lossy().into_owned()))
}
