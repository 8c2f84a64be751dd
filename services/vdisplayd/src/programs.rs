//! The apps of sessions, as the loop of [`crate::run`] handles them.
//!
//! What clients are told of them and of the machine's sleep is emitted here as well.
//!
//! An app in the user's GNOME waits until its Output's monitor is there and laid out, so that its windows open on it.

use lumen_ipc::{Failure, SessionId, Stage, bus::Source};
use tokio::{sync::oneshot, task::AbortHandle};
use zbus::object_server::SignalEmitter;

use crate::{
    backends::{AnyBackend, Made},
    config::DEFAULT,
    display::{Display1, Order},
    library::App,
    run::Run,
};

/// An app that starts, in a task of its own: what is done before it may take seconds, and other sessions do not wait for it.
#[derive(Debug)]
pub struct Starting {
    task: AbortHandle,
    asked: Option<Asked>,
}

/// The captured that is answered when the app has started.
#[derive(Debug)]
pub struct Asked {
    /// Where the answer goes.
    pub answer: oneshot::Sender<Result<Source, Failure>>,
    /// What it is if all goes well.
    pub source: Source,
    /// Whether the Output was made for it, and goes again if its app does not start.
    pub fresh: bool,
}

/// An app that is to run on an Output.
#[derive(Debug)]
pub struct Waiting {
    /// The app, with the full paths of its programs.
    pub app: App,
    /// The Output.
    pub made: Made,
    /// Whether the Output was made just now.
    pub fresh: bool,
}

impl Asked {
    fn agree(self) {
        // A caller that died meanwhile needs no answer; its name is gone from the bus as well.
        let _ = self.answer.send(Ok(self.source));
    }
}

impl Run {
    /// Whether there is anything that an app could run on.
    pub(crate) fn has_desktops(&self) -> bool {
        !matches!(self.backend, AnyBackend::Pattern(_))
    }

    /// The app that runs on an Output when its session names `name`, or none; `headless`: on an Output of our own.
    pub(crate) async fn app(&self, name: Option<&str>, headless: bool) -> Result<Option<App>, Failure> {
        let Some(name) = name else { return Ok(self.config.default_app(headless)) };
        let name = name.to_owned();
        self.library.off_the_loop(move |library| library.find(&name)).await.map(Some)
    }

    /// Starts the app of `session` if its Output is `ready`, else as soon as it is.
    pub(crate) fn expect_app(&mut self, session: SessionId, waiting: Waiting, ready: bool) {
        if let Err(error) = self.places.write(session, "app", &waiting.app.name) {
            tracing::warn!(SESSION = %session, "a restart of vdisplayd may cost this app: {error}");
        }
        self.waiting.insert(session, waiting);
        if ready {
            self.start_waiting(session);
        }
    }

    /// Answers who asked for the Output of `session`: now, or when the app that starts on it has started.
    pub(crate) fn answer(&mut self, session: SessionId, asked: Asked) {
        match self.starting.get_mut(&session) {
            Some(starting) => starting.asked = Some(asked),
            None => asked.agree(),
        }
    }

    /// Remembers the app that waited for the Output of `session` when an earlier vdisplayd died.
    pub(crate) async fn expect_app_again(&mut self, session: SessionId) {
        let Ok(name) = std::fs::read_to_string(self.places.file(session, "app")) else { return };
        let made = self.shown.lock().outputs.get(&session).map(|output| output.made.clone());
        let app = match name.as_str() {
            DEFAULT => self.app(None, true).await,
            name => self.app(Some(name), true).await,
        };
        let (Some(made), Ok(Some(app))) = (made, app) else { return };
        match self.apps.find(&app).await {
            Ok(app) => {
                self.waiting.insert(session, Waiting { app, made, fresh: false });
                if self.backend.is_ready(session) {
                    self.start_waiting(session);
                }
            }
            Err(failure) => self.set_app(session, format!("does not start: {failure}")),
        }
    }

    /// Starts the app that waits for the Output of `session`, if one does, unless it starts already;
    /// [`Order::AppStarted`] says how that went.
    pub(crate) fn start_waiting(&mut self, session: SessionId) {
        let Some(waiting) = self.waiting.remove(&session) else { return };
        if self.starting.contains_key(&session) {
            return;
        }
        let (apps, orders) = (self.apps.clone(), self.orders.clone());
        let task = tokio::spawn(async move {
            let started = apps.ensure(session, &waiting.app, &waiting.made, waiting.fresh).await;
            // Nobody listens when vdisplayd stops.
            let _ = orders.send(Order::AppStarted { session, started }).await;
        });
        self.starting.insert(session, Starting { task: task.abort_handle(), asked: None });
    }

    /// The app of `session` runs (true: since now), or does not. Who asked for the Output is told; if nobody did, the
    /// client is told what went wrong.
    pub(crate) async fn handle_started(&mut self, session: SessionId, started: Result<bool, Failure>) {
        // Of an Output that was taken away meanwhile: its app was stopped.
        let Some(Starting { asked, .. }) = self.starting.remove(&session) else { return };
        match (started, asked) {
            (Ok(is_new), asked) => {
                if is_new {
                    self.watch_app(session);
                }
                if !self.backend.make_way(session) {
                    let _ = std::fs::remove_file(self.places.file(session, "app"));
                }
                self.describe_app(session, false).await;
                asked.into_iter().for_each(Asked::agree);
            }
            (Err(failure), asked) => {
                tracing::warn!(SESSION = %session, "{failure}");
                self.set_app(session, failure.text.clone());
                match asked {
                    Some(asked) if asked.fresh => {
                        self.take_away(session).await;
                        self.show_failure(session, &failure);
                        // A caller that died meanwhile needs no answer.
                        let _ = asked.answer.send(Err(failure));
                    }
                    Some(asked) => asked.agree(),
                    None => self.tell_end(session, &failure.text, &failure.advice, false).await,
                }
            }
        }
    }

    /// The app of `session` is not to start any more.
    pub(crate) fn forget_app(&mut self, session: SessionId) {
        self.waiting.remove(&session);
        if let Some(starting) = self.starting.remove(&session) {
            starting.task.abort();
        }
    }

    /// Has [`Order::AppEnded`] sent when the app's main process ends.
    pub(crate) fn watch_app(&self, session: SessionId) {
        let (apps, orders) = (self.apps.clone(), self.orders.clone());
        tokio::spawn(async move {
            apps.wait_for_end(session).await;
            // Nobody listens when vdisplayd stops.
            let _ = orders.send(Order::AppEnded(session)).await;
        });
    }

    /// Tells Status what the app is doing, and the journal and transportd if it `ended`.
    pub(crate) async fn describe_app(&self, session: SessionId, ended: bool) {
        let Some(doing) = self.apps.describe(session).await else { return };
        if let Some(end) = doing.ended.filter(|_| ended) {
            tracing::warn!(SESSION = %session, "the app {}", doing.text);
            let advice = "start it anew in the desktop, or end the session";
            self.tell_end(session, &format!("the app {}", doing.text), advice, end.ends_session).await;
            if let Err(error) = self.apps.undo(session).await {
                tracing::warn!(SESSION = %session, "what was done before the app is not undone: {error}");
            }
        }
        self.set_app(session, doing.text);
    }

    /// Emits `Display1.AppEnded`.
    async fn tell_end(&self, session: SessionId, text: &str, advice: &str, ends_session: bool) {
        let Some(bus) = &self.bus else { return };
        let connection = bus.connection();
        let told = match SignalEmitter::new(&connection, Stage::Vdisplayd.object_path()) {
            Ok(emitter) => {
                Display1::app_ended(&emitter, &session.to_string(), text, advice, ends_session).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = told {
            tracing::warn!(SESSION = %session, "nobody is told that the app ended: {error}");
        }
    }

    /// Emits `Display1.Sleeps`.
    pub(crate) async fn tell_sleep(&self, sleeps: bool) {
        let Some(bus) = &self.bus else { return };
        let connection = bus.connection();
        let told = match SignalEmitter::new(&connection, Stage::Vdisplayd.object_path()) {
            Ok(emitter) => Display1::sleeps(&emitter, sleeps).await,
            Err(error) => Err(error),
        };
        if let Err(error) = told {
            tracing::warn!("no client is told that the machine sleeps or woke: {error}");
        }
    }

    fn set_app(&self, session: SessionId, text: String) {
        if let Some(output) = self.shown.lock().outputs.get_mut(&session) {
            output.app = Some(text);
        }
    }
}
