//! Why `run` does not begin, and what the caller does instead. A refusal is exit code 2 and has changed nothing.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::account::Account;

/// What stands against it. Each text says what was found and the next command.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refusal {
    /// The caller has a user manager, which runs the constellation better than a private one.
    #[error(
        "you have a systemd user manager already; let it run the constellation:\n  systemctl --user start lumen.target"
    )]
    OwnManager,
    /// systemd runs the machine but no manager runs for the caller.
    #[error(
        "systemd runs this machine but no user manager runs for {name}; have one that outlives log-ins:\n  \
         loginctl enable-linger {name}\nand then, as {name}:\n  systemctl --user start lumen.target"
    )]
    NoLinger {
        /// The caller's name.
        name: String,
    },
    /// Nobody booted systemd and the caller is not root.
    #[error(
        "nobody booted systemd here, and a private one needs root for its cgroup and mounts:\n  sudo lumenctl run"
    )]
    NotRoot,
    /// Root asked for a `run` without a word about whose constellation it is.
    #[error(
        "root has to say whose constellation it is, because stages and compositors run as an ordinary user:\n  \
         lumenctl run --user NAME"
    )]
    NoUser,
    /// Root asked about a constellation, and there is none or more than one.
    #[error(
        "it cannot be told whose constellation is meant: either none runs or more than one; name its user:\n  \
         lumenctl {command} --user NAME"
    )]
    Whose {
        /// The subcommand that was asked for.
        command: &'static str,
    },
    /// An ordinary user asked about somebody else.
    #[error("only root may look into the constellation of {name}:\n  sudo lumenctl {command} --user {name}")]
    NotTheirs {
        /// The subcommand that was asked for.
        command: &'static str,
        /// The other user.
        name: String,
    },
    /// Root asked for a constellation of its own.
    #[error("the constellation never runs as root; name an ordinary user:\n  lumenctl run --user NAME")]
    RootUser,
    /// The named user has an ordinary manager.
    #[error(
        "{name} has a systemd user manager already; start the constellation there:\n  \
         systemctl --user --machine={name}@ start lumen.target"
    )]
    UsersManager {
        /// The user's name.
        name: String,
    },
    /// Another `lumenctl run` is at it.
    #[error(
        "`lumenctl run` with pid {pid} already runs the constellation of {name}; ask it something:\n  \
         lumenctl systemctl --user {name} status\nor end it:\n  kill {pid}"
    )]
    Held {
        /// The user's name.
        name: String,
        /// Process id of the other one.
        pid: u32,
    },
    /// Somebody else serves the user's session bus.
    #[error(
        "{path} is served by a program that is not a systemd user manager; end that session of {name} first \
         or name another user with --user"
    )]
    ForeignBus {
        /// The user's name.
        name: String,
        /// The socket.
        path: PathBuf,
    },
    /// A directory lacks what the units start.
    #[error(
        "{directory} has no {missing}; build it with `cargo build --release`, or name another place with {option}"
    )]
    Incomplete {
        /// Where it was looked for.
        directory: PathBuf,
        /// The missing file's name.
        missing: String,
        /// The option that says where to look.
        option: &'static str,
    },
}

/// What `run` is told when its caller is an ordinary user.
pub fn of_ordinary_user(account: &Account) -> Refusal {
    if manager_is_live(&account.runtime_dir()) {
        Refusal::OwnManager
    } else if Path::new("/run/systemd/system").is_dir() {
        Refusal::NoLinger { name: account.name.clone() }
    } else {
        Refusal::NotRoot
    }
}

/// Whether root may start a private manager for this account: nobody else must serve its runtime directory.
pub fn of_occupied(account: &Account) -> Result<(), Refusal> {
    let (name, runtime_dir) = (account.name.clone(), account.runtime_dir());
    if account.uid == 0 {
        return Err(Refusal::RootUser);
    }
    if manager_is_live(&runtime_dir) {
        return Err(Refusal::UsersManager { name });
    }
    let path = runtime_dir.join("bus");
    match UnixStream::connect(&path) {
        Ok(_) => Err(Refusal::ForeignBus { name, path }),
        Err(_) => Ok(()),
    }
}

/// Whether a systemd user manager answers in this runtime directory. A socket file alone proves nothing.
pub fn manager_is_live(runtime_dir: &Path) -> bool {
    UnixStream::connect(runtime_dir.join("systemd/private")).is_ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_dead_managers_socket_is_not_a_manager() {
        let runtime_dir = tempfile::tempdir().expect("a scratch directory");
        assert!(!manager_is_live(runtime_dir.path()));
        std::fs::create_dir(runtime_dir.path().join("systemd")).expect("a directory");
        let listener = UnixListener::bind(runtime_dir.path().join("systemd/private")).expect("a socket");
        assert!(manager_is_live(runtime_dir.path()));
        drop(listener);
        assert!(!manager_is_live(runtime_dir.path()));
    }

    #[test]
    fn root_is_no_ordinary_user() {
        let root = Account { name: "root".into(), uid: 0, gid: 0, groups: vec![0], home: "/root".into() };
        assert_eq!(of_occupied(&root), Err(Refusal::RootUser));
    }
}
