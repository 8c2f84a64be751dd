//! Who removes an output from the user's own sway when vdisplayd cannot: a unit without a process.
//!
//! It is started *before* the output is made and stops with lumen.target. However it is stopped, its `ExecStop`
//! runs `lumen-vdisplayd --sweep`, which takes away the output whose name was noted, or, if vdisplayd died between
//! making and noting, whatever headless output was not there before. An ExecStopPost of vdisplayd's own unit would
//! not do: it also runs before every restart, and an Output must survive that.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use lumen_ipc::{Mode, SessionId};
use tokio::time::{Instant, sleep};

use super::{
    headless::sweep_command,
    ipc::Ipc,
    output::{self, OutputError},
};
use crate::{
    backends::mutter,
    places::Places,
    systemd::{SystemdError, UnitState, UserManager},
    transient::{TransientUnit, Work},
    units,
};

/// Time for a unit without a process to be active.
const START_LIMIT: Duration = Duration::from_secs(2);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// Variable of the unit that holds the IPC socket's path.
pub const SOCKET_VARIABLE: &str = "LUMEN_SOCKET";

/// Starts the keeper of the output that `session` will have in the sway at `socket`, where the outputs `before` are
/// already.
pub async fn start(
    places: &Places,
    manager: &UserManager,
    session: SessionId,
    mode: Mode,
    socket: &Path,
    before: &[String],
) -> Result<(), SystemdError> {
    let mut after_stop = sweep_command(places, session);
    after_stop.push(socket.display().to_string());
    after_stop.extend_from_slice(before);
    let description = format!("lumen Output {mode} (in the running sway)");
    let variable = format!("{SOCKET_VARIABLE}={}", socket.display());
    hold(manager, session, description, after_stop, variable).await
}

/// Starts the unit of `session` that has no process and runs `after_stop` when it is stopped; `variable` tells its
/// finder what it is.
pub async fn hold(
    manager: &UserManager,
    session: SessionId,
    description: String,
    after_stop: Vec<String>,
    variable: String,
) -> Result<(), SystemdError> {
    let unit = TransientUnit {
        name: units::output(session),
        description,
        work: Work::Nothing,
        after_stop: vec![after_stop],
        directory: None,
        environment: vec![variable],
        unset: Vec::new(),
        stops_with: vec![units::TARGET.to_owned()],
        after: Vec::new(),
        slice: units::SESSION_SLICE,
    };
    manager.start(&unit).await?;
    // Stopping a unit whose start is still queued would not run its ExecStop.
    let deadline = Instant::now() + START_LIMIT;
    while !matches!(manager.state(&unit.name).await?, UnitState::Running { .. }) && Instant::now() < deadline
    {
        sleep(LOOK).await;
    }
    Ok(())
}

/// What `--sweep SESSION [gnome | SOCKET KEEP…]` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweep {
    /// Whose Output.
    pub session: SessionId,
    /// Whether it was in the user's GNOME.
    pub in_gnome: bool,
    /// The user's sway, if the output was made in it.
    pub socket: Option<PathBuf>,
    /// Outputs that were there before.
    pub keep: Vec<String>,
}

impl Sweep {
    /// Reads the words after `--sweep`; `None` if the first is no session.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let session = words.next()?.parse().ok()?;
        let place = words.next();
        let in_gnome = place.as_deref() == Some(mutter::keeper::GNOME);
        let socket = place.filter(|_| !in_gnome).map(PathBuf::from);
        Some(Self { session, in_gnome, socket, keep: words.collect() })
    }

    /// Takes the output away and forgets the session's files. A sway that is gone took its outputs with it.
    pub async fn run(&self, places: &Places) -> Result<(), OutputError> {
        let name = std::fs::read_to_string(places.file(self.session, "name")).ok();
        let removed = match &self.socket {
            Some(socket) => self.take_away(socket, name.as_deref()).await,
            None => Ok(()),
        };
        places.forget(self.session);
        if self.in_gnome {
            mutter::keeper::put_back(places).await;
            places.forget_folder();
        }
        removed
    }

    async fn take_away(&self, socket: &Path, name: Option<&str>) -> Result<(), OutputError> {
        let Ok(mut ipc) = Ipc::connect(socket).await else { return Ok(()) };
        match name {
            Some(name) => output::remove(&mut ipc, name).await,
            None => output::remove_others(&mut ipc, &self.keep).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Option<Sweep> {
        Sweep::parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn sweep_reads_what_the_keeper_wrote() {
        let session = SessionId([7; 16]);
        let places = Places { runtime: "/run/user/7".into(), uid: 7, program: "/usr/lib/lumen/x".into() };
        let mut line = sweep_command(&places, session);
        line.extend(["/run/sway.sock", "DP-1", "HEADLESS-1"].map(str::to_owned));
        let sweep = Sweep::parse(line.into_iter().skip(2)).unwrap();
        assert_eq!(sweep.session, session);
        assert_eq!(sweep.socket, Some("/run/sway.sock".into()));
        assert_eq!(sweep.keep, ["DP-1", "HEADLESS-1"]);
        let gnome = words(&format!("{session} gnome")).unwrap();
        assert!(gnome.in_gnome && gnome.socket.is_none(), "{gnome:?}");
        assert_eq!(words("x /run/sway.sock"), None);
        assert_eq!(words(""), None);
    }
}
