//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// The administrator's tool of the lumen streaming host.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Whose constellation is meant.
#[derive(Debug, Args)]
pub struct Whose {
    /// The user whose constellation it is; root only (default: the one that `lumenctl run` runs for).
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the constellation where nobody booted systemd: a private `systemd --user` with the shipped units.
    Run(Run),
    /// Call systemctl --user for the user manager that runs the constellation.
    Systemctl {
        #[command(flatten)]
        whose: Whose,
        /// As for systemctl: `lumenctl systemctl status lumen-encoded`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// Show what the stages logged.
    #[command(visible_alias = "journal")]
    Logs {
        #[command(flatten)]
        whose: Whose,
        /// vdisplayd, captured, encoded, transportd, inputd, bus, or manager for systemd itself (default: all).
        stage: Option<String>,
        /// Go on as more is logged.
        #[arg(short, long)]
        follow: bool,
        /// So many of the last lines of each.
        #[arg(short = 'n', long, default_value_t = 50)]
        lines: usize,
    },
    /// Show stages, generations, backends and why, sessions, and what is degraded. Exit 3: it does not run.
    Status {
        #[command(flatten)]
        whose: Whose,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Check what each stage needs of this machine, and print the command that mends what is not there. Exit 1: something is missing.
    Doctor {
        #[command(flatten)]
        whose: Whose,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show each session's latency per step, unique and repeated frames, and the largest burst.
    Top {
        #[command(flatten)]
        whose: Whose,
        /// Look once instead of once a second.
        #[arg(long)]
        once: bool,
        /// As JSON, one line a look.
        #[arg(long)]
        json: bool,
    },
    /// Let a client stream.
    Allow {
        #[command(flatten)]
        whose: Whose,
        /// 64 hexadecimal digits, as the client shows them.
        fingerprint: String,
        /// What to call it.
        #[arg(long, default_value = "")]
        name: String,
    },
    /// List the Moonlight clients that want to be paired, or type the PIN that one of them shows.
    Pair {
        #[command(flatten)]
        whose: Whose,
        /// As `pair` without arguments lists it.
        attempt: Option<u32>,
        /// The four digits that the client shows.
        #[arg(requires = "attempt")]
        pin: Option<String>,
        /// What to call the client.
        #[arg(long, default_value = "", requires = "pin")]
        name: String,
        /// Say no to it.
        #[arg(long, requires = "attempt", conflicts_with = "pin")]
        refuse: bool,
    },
    /// List the clients that may stream, and by which protocol.
    #[command(visible_alias = "allowed")]
    Clients {
        #[command(flatten)]
        whose: Whose,
    },
    /// Call a client something else.
    Rename {
        #[command(flatten)]
        whose: Whose,
        /// As `clients` lists it.
        fingerprint: String,
        /// What to call it.
        name: String,
    },
    /// Let a client stream no more, and end its sessions.
    Revoke {
        #[command(flatten)]
        whose: Whose,
        /// As `clients` lists it.
        fingerprint: String,
    },
    /// Print this host's fingerprint, which clients pin.
    Fingerprint {
        #[command(flatten)]
        whose: Whose,
    },
    /// End a session, and release what is kept for it.
    End {
        #[command(flatten)]
        whose: Whose,
        /// As `status` lists it, or `all`.
        session: String,
    },
    /// What `run` starts.
    #[command(hide = true)]
    Inner {
        /// JSON.
        inner: String,
    },
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Whose constellation it is (default: who called sudo). Never root.
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// A directory with built binaries, seen in /usr/lib/lumen by the stages only (default: the build that this
    /// lumenctl is of, else what is installed).
    #[arg(long, value_name = "DIR")]
    pub binaries: Option<PathBuf>,
    /// A directory with lumen's unit files (default: the checkout's systemd/, else what is installed).
    #[arg(long, value_name = "DIR")]
    pub units: Option<PathBuf>,
    /// Configuration of lumen's bus (default: bus.conf beside the units).
    #[arg(long, value_name = "FILE")]
    pub bus_conf: Option<PathBuf>,
    /// A variable for all stages and the command; may be given more than once.
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    pub setenv: Vec<(OsString, OsString)>,
    /// Run this as the user once the stages are up, end with it and exit with its code.
    #[arg(last = true)]
    pub command: Vec<OsString>,
}

fn variable(text: &str) -> Result<(OsString, OsString), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}
