//! The program on an Output: a transient unit `lumen-app-SESSION.service` beside the compositor's.
//!
//! It outlives a restart of vdisplayd. Its end is no failure of lumen: the Output stays, and Status says how it ended.

use std::{sync::Arc, time::Duration};

use lumen_ipc::{Failure, FailureClass, SessionId};
use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

use crate::{
    backends::Made,
    config::App,
    places::find_program,
    sound,
    systemd::{SystemdError, TransientUnit, UnitState, UserManager},
    units,
};

/// Variable of the unit that holds the app's name.
const NAME_VARIABLE: &str = "LUMEN_APP";
/// Time for an app to go, because systemd kills it after 1.2 s.
const GONE_LIMIT: Duration = Duration::from_secs(3);

/// Time until systemd has started an app's process.
const START_LIMIT: Duration = Duration::from_secs(2);
/// Between two looks at an app that starts or ends.
const LOOK: Duration = Duration::from_millis(20);

/// The apps of all sessions.
#[derive(Debug, Clone)]
pub struct Apps {
    manager: Arc<UserManager>,
}

impl Apps {
    /// Started by `manager`.
    pub fn new(manager: Arc<UserManager>) -> Self {
        Self { manager }
    }

    /// Whether `app` can be started, before anything is made for it: its program's full path.
    pub async fn find(&self, app: &App) -> Result<String, Failure> {
        let environment = self.manager.environment().await?;
        let path = environment.get("PATH").map_or("/usr/local/bin:/usr/bin:/bin", String::as_str);
        let program = app.argv.first().map(String::as_str).unwrap_or_default();
        match find_program(program, path) {
            Some(program) => Ok(program.display().to_string()),
            None => Err(Failure::new(
                FailureClass::Environment,
                format!("the app {:?} cannot start: there is no program {program:?} in {path}", app.name),
                "install it, or write its full path into vdisplayd.toml",
            )),
        }
    }

    /// Sees to it that `app` runs, or ran, on the Output of `session`; `fresh`: the Output was made just now.
    /// True if it was started now.
    pub async fn ensure(
        &self,
        session: SessionId,
        app: &App,
        program: String,
        made: &Made,
        fresh: bool,
    ) -> Result<bool, SystemdError> {
        let name = units::app(session);
        if self.manager.state(&name).await? != UnitState::Absent {
            let running = self.manager.environment_of(&name).await?;
            if !fresh && running.get(NAME_VARIABLE) == Some(&app.name) {
                return Ok(false);
            }
            self.stop(session).await?;
        }
        self.manager.start(&unit(session, app, program, made)).await?;
        Ok(true)
    }

    /// Ends the app of `session`; that there is none is fine.
    pub async fn stop(&self, session: SessionId) -> Result<(), SystemdError> {
        let name = units::app(session);
        self.manager.stop(&name).await?;
        self.manager.gone_within(&name, GONE_LIMIT).await.map(drop)
    }

    /// Comes back when the main process of the app of `session` has ended, or if there is none.
    pub async fn wait_for_end(&self, session: SessionId) {
        let deadline = Instant::now() + START_LIMIT;
        let pid = loop {
            match self.manager.state(&units::app(session)).await {
                Ok(UnitState::Running { pid }) if pid > 0 => break pid,
                Ok(UnitState::Absent | UnitState::Changing) if Instant::now() < deadline => sleep(LOOK).await,
                _ => return,
            }
        };
        // A process that is gone already cannot be opened.
        let Some(pidfd) =
            Pid::from_raw(pid.cast_signed()).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
        else {
            return;
        };
        let (ended, end) = oneshot::channel::<()>();
        // A thread that sleeps in poll, because tokio's AsyncFd takes unsafe code.
        let waiting = std::thread::Builder::new().name(format!("app-{pid}")).spawn(move || {
            let _ = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], None);
            drop(ended);
        });
        if waiting.is_ok() {
            let _ = end.await;
        }
        // systemd learns of it at the same time, and tells how it ended a moment later.
        while let Ok(UnitState::Running { pid: now }) = self.manager.state(&units::app(session)).await
            && now == pid
        {
            sleep(LOOK).await;
        }
    }

    /// What the app of `session` is doing, in words; `None` if there is none.
    pub async fn describe(&self, session: SessionId) -> Option<Doing> {
        let name = units::app(session);
        match self.manager.state(&name).await.ok()? {
            UnitState::Absent => None,
            UnitState::Running { pid } => Some(Doing { text: "runs".to_owned(), pid: Some(pid) }),
            UnitState::Changing => Some(Doing { text: "starts or stops".to_owned(), pid: None }),
            UnitState::Ended { how } => Some(Doing {
                text: format!(
                    "ended {how}; the desktop stays without it, see {}",
                    self.manager.log_of(&name)
                ),
                pid: None,
            }),
        }
    }
}

/// What an app is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doing {
    /// For people.
    pub text: String,
    /// Its main process while it runs.
    pub pid: Option<u32>,
}

fn unit(session: SessionId, app: &App, program: String, made: &Made) -> TransientUnit {
    let mut start = app.argv.clone();
    if let Some(first) = start.first_mut() {
        *first = program;
    }
    let mut environment = vec![
        format!("{NAME_VARIABLE}={}", app.name),
        format!("LUMEN_SESSION={session}"),
        "XDG_SESSION_TYPE=wayland".to_owned(),
        format!("XDG_CURRENT_DESKTOP={}", if made.backend == "mutter" { "GNOME" } else { "sway" }),
    ];
    if !sound::is_users(made.backend) {
        environment.extend(sound::environment(session));
    }
    let mut unset = vec!["WAYLAND_SOCKET".to_owned()];
    for (variable, value) in [("WAYLAND_DISPLAY", &made.wayland), ("DISPLAY", &made.display)] {
        match value {
            Some(value) => environment.push(format!("{variable}={value}")),
            // The manager's own value may name another desktop.
            None if made.backend == "sway-headless" => unset.push(variable.to_owned()),
            None => {}
        }
    }
    let compositor: Vec<String> = made.unit.clone().into_iter().collect();
    TransientUnit {
        name: units::app(session),
        description: format!("lumen app {}", app.name),
        start,
        after_stop: Vec::new(),
        environment,
        unset,
        stops_with: [vec![units::TARGET.to_owned()], compositor.clone()].concat(),
        after: compositor,
        slice: units::APP_SLICE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumen_ipc::Mode;

    #[test]
    fn app_sees_its_own_output_and_no_other_desktop() {
        let made = Made {
            mode: Mode { width: 1280, height: 720, refresh_mhz: 60_000 },
            output: Some("HEADLESS-1".into()),
            wayland: Some("wayland-3".into()),
            display: None,
            unit: Some("lumen-output-x.service".into()),
            backend: "sway-headless",
            why: String::new(),
        };
        let app = App { name: "game".into(), argv: vec!["game".into(), "--full".into()] };
        let unit = unit(SessionId([3; 16]), &app, "/usr/bin/game".into(), &made);
        assert_eq!(unit.start, ["/usr/bin/game", "--full"]);
        assert!(unit.environment.contains(&"WAYLAND_DISPLAY=wayland-3".to_owned()));
        assert!(unit.unset.contains(&"DISPLAY".to_owned()));
        assert!(sound::environment(SessionId([3; 16])).iter().all(|line| unit.environment.contains(line)));
        assert_eq!(unit.stops_with, ["lumen.target", "lumen-output-x.service"]);
    }
}
