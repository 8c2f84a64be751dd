//! The program on an Output: a transient unit `lumen-app-SESSION.service` beside the compositor's. What is done before
//! it and undone after it is a unit of its own, `lumen-prep-SESSION.service`, so that systemd undoes it whoever dies.
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
    library::{App, AtEnd},
    sound,
    systemd::{SystemdError, UnitState, UserManager},
    transient::{STEPS_LIMIT_US, TransientUnit, Work},
    units,
};

/// Variable of the unit that holds the app's name.
const NAME_VARIABLE: &str = "LUMEN_APP";
/// Variable of the unit that says that the session ends with the app.
const ENDS_VARIABLE: &str = "LUMEN_ENDS_SESSION";
/// Time for an app to go, because systemd kills it after 1.2 s.
const GONE_LIMIT: Duration = Duration::from_secs(3);

/// Time for what was done before an app to be undone: for one step of it, because a client gives a launch up after 30 s.
const UNDONE_LIMIT: Duration = Duration::from_micros(STEPS_LIMIT_US);

/// Time until systemd has started an app's process.
const START_LIMIT: Duration = Duration::from_secs(2);
/// Between two looks at an app that starts or ends.
const LOOK: Duration = Duration::from_millis(20);
/// Between two looks at an app whose first process has ended and which goes on.
const SELDOM: Duration = Duration::from_secs(1);

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

    /// `app` with the full paths of its programs, before anything is made for it.
    ///
    /// # Errors
    /// One of them is not there.
    pub async fn find(&self, app: &App) -> Result<App, Failure> {
        let environment = self.manager.environment().await?;
        app.resolved(environment.get("PATH").map_or("/usr/local/bin:/usr/bin:/bin", String::as_str))
    }

    /// Sees to it that `app`, as [`Apps::find`] gave it, runs, or ran, on the Output of `session`; `fresh`: the Output
    /// was made just now. True if it was started now.
    ///
    /// # Errors
    /// What is done before it went wrong, or systemd starts nothing.
    pub async fn ensure(
        &self,
        session: SessionId,
        app: &App,
        made: &Made,
        fresh: bool,
    ) -> Result<bool, Failure> {
        let name = units::app(session);
        if self.manager.state(&name).await? != UnitState::Absent {
            let running = self.manager.environment_of(&name).await?;
            if !fresh && running.get(NAME_VARIABLE) == Some(&app.name) {
                return Ok(false);
            }
            self.stop(session).await?;
            // Until all of it is undone there is no doing it again.
            self.manager.gone_within(&units::prep(session), UNDONE_LIMIT).await?;
        }
        if !app.prep.is_empty() {
            self.prepare(session, app, made).await?;
        }
        self.manager.start(&unit(session, app, made)).await?;
        Ok(true)
    }

    /// Does what is to be done before `app`, unless it is done.
    async fn prepare(&self, session: SessionId, app: &App, made: &Made) -> Result<(), Failure> {
        let prep = prep(session, app, made);
        if self.manager.state(&prep.name).await? == UnitState::Absent {
            self.manager.start(&prep).await?;
        }
        let Err(how) = self.manager.steps_over(&prep.name).await? else { return Ok(()) };
        let log = self.manager.log_of(&prep.name);
        // So that nothing is `failed` because of it; what was done is undone.
        self.manager.gone_within(&prep.name, GONE_LIMIT).await?;
        Err(Failure::new(
            FailureClass::Environment,
            format!("the app {:?} does not start: what is to be done before it {how}", app.name),
            format!("see {log}, and mend prep in apps.toml"),
        ))
    }

    /// Undoes what was done before the app of `session`, which has ended.
    pub async fn undo(&self, session: SessionId) -> Result<(), SystemdError> {
        self.manager.stop(&units::prep(session)).await
    }

    /// Ends the app of `session`; that there is none is fine.
    pub async fn stop(&self, session: SessionId) -> Result<(), SystemdError> {
        let name = units::app(session);
        self.manager.stop(&name).await?;
        let gone = self.manager.gone_within(&name, GONE_LIMIT).await.map(drop);
        self.undo(session).await.and(gone)
    }

    /// Comes back when the main process of the app of `session` has ended, or if there is none.
    pub async fn wait_for_end(&self, session: SessionId) {
        let deadline = Instant::now() + START_LIMIT;
        let pid = loop {
            match self.manager.state(&units::app(session)).await {
                Ok(UnitState::Running { pid }) => break pid,
                Ok(UnitState::Absent | UnitState::Changing) if Instant::now() < deadline => sleep(LOOK).await,
                _ => return,
            }
        };
        if pid > 0 {
            until_gone(pid).await;
        }
        // systemd learns of it at the same time, and tells how it ended a moment later.
        let soon = Instant::now() + START_LIMIT;
        while let Ok(UnitState::Running { .. } | UnitState::Changing) =
            self.manager.state(&units::app(session)).await
        {
            sleep(if Instant::now() < soon { LOOK } else { SELDOM }).await;
        }
    }

    /// What the app of `session` is doing, in words; `None` if there is none.
    pub async fn describe(&self, session: SessionId) -> Option<Doing> {
        let name = units::app(session);
        match self.manager.state(&name).await.ok()? {
            UnitState::Absent => None,
            UnitState::Running { .. } => Some(Doing { text: "runs".to_owned(), ended: None }),
            UnitState::Changing => Some(Doing { text: "starts or stops".to_owned(), ended: None }),
            UnitState::Ended { how } => {
                let environment = self.manager.environment_of(&name).await.unwrap_or_default();
                let ends_session = environment.contains_key(ENDS_VARIABLE);
                let what =
                    if ends_session { "its session ends with it" } else { "the desktop stays without it" };
                let text = format!("ended {how}; {what}, see {}", self.manager.log_of(&name));
                Some(Doing { text, ended: Some(Ended { ends_session }) })
            }
        }
    }
}

/// Comes back when the process `pid` has ended.
async fn until_gone(pid: u32) {
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
}

/// What an app is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doing {
    /// For people.
    pub text: String,
    /// Whether, and how, it is over.
    pub ended: Option<Ended>,
}

/// The end of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Whether its session ends with it.
    pub ends_session: bool,
}

fn unit(session: SessionId, app: &App, made: &Made) -> TransientUnit {
    let mut unit = of(session, app, made);
    unit.work = Work::Family(app.argv.clone());
    // Stopped before what was done for it is undone.
    unit.after.push(units::prep(session));
    if app.at_end == AtEnd::EndSession {
        unit.environment.push(format!("{ENDS_VARIABLE}=1"));
    }
    unit
}

/// What is done before `app` and undone after it, the last first.
fn prep(session: SessionId, app: &App, made: &Made) -> TransientUnit {
    let mut acts: Vec<_> =
        app.prep.iter().map(|prep| prep.act.clone()).filter(|act| !act.is_empty()).collect();
    if acts.is_empty() {
        // systemd wants a step; one that is there wherever an app can be started.
        acts.push(vec!["/bin/true".to_owned()]);
    }
    let undos = app.prep.iter().rev().map(|prep| prep.undo.clone()).filter(|undo| !undo.is_empty());
    TransientUnit {
        name: units::prep(session),
        description: format!("lumen: before and after the app {}", app.name),
        work: Work::Steps(acts),
        after_stop: undos.collect(),
        ..of(session, app, made)
    }
}

/// What the units of `app` have in common.
fn of(session: SessionId, app: &App, made: &Made) -> TransientUnit {
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
    environment.extend(app.environment.iter().map(|(name, value)| format!("{name}={value}")));
    let compositor: Vec<String> = made.unit.clone().into_iter().collect();
    TransientUnit {
        name: units::app(session),
        description: format!("lumen app {}", app.name),
        work: Work::Nothing,
        after_stop: Vec::new(),
        directory: app.directory.clone(),
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
    use crate::library::Prep;
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
        let mut app = App::new("game", ["/usr/bin/game", "--full"], "apps.toml");
        app.environment.insert("MANGOHUD".to_owned(), "1".to_owned());
        let [on, off] = ["on", "off"].map(|word| vec![format!("/bin/{word}")]);
        app.prep =
            vec![Prep { act: on.clone(), undo: off.clone() }, Prep { act: Vec::new(), undo: on.clone() }];
        let unit = unit(SessionId([3; 16]), &app, &made);
        assert_eq!(unit.work, Work::Family(vec!["/usr/bin/game".to_owned(), "--full".to_owned()]));
        assert!(unit.environment.contains(&"MANGOHUD=1".to_owned()));
        assert!(unit.after.contains(&units::prep(SessionId([3; 16]))));
        let prep = prep(SessionId([3; 16]), &app, &made);
        assert_eq!((prep.work, prep.after_stop), (Work::Steps(vec![on.clone()]), vec![on, off]));
        assert!(unit.environment.contains(&"WAYLAND_DISPLAY=wayland-3".to_owned()));
        assert!(unit.unset.contains(&"DISPLAY".to_owned()));
        assert!(sound::environment(SessionId([3; 16])).iter().all(|line| unit.environment.contains(line)));
        assert_eq!(unit.stops_with, ["lumen.target", "lumen-output-x.service"]);
    }
}
