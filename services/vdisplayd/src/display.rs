//! `org.lumen.Display1`, the interface that captured and inputd call. It only passes orders on to the one loop of [`crate::run`].

use std::{path::PathBuf, sync::Arc};

use lumen_ipc::{
    Failure, FailureClass, SessionId, Stage,
    bus::{OutputSpec, SeatSource, SoundSource, Source},
};
use lumen_stage::bus::{CallError, require_stage, session_id};
use tokio::sync::{mpsc, oneshot};
use zbus::{Connection, OwnedFd, interface, message::Header, object_server::SignalEmitter};

use crate::{
    library::{Library, picture},
    sound,
};

/// What the loop is asked to do.
#[derive(Debug)]
pub enum Order {
    /// Make or find the Output of `session`.
    Acquire {
        /// Whose.
        session: SessionId,
        /// What it is to show.
        spec: OutputSpec,
        /// Process id of the captured that asks.
        holder: u32,
        /// Where the answer goes.
        answer: oneshot::Sender<Result<Source, Failure>>,
    },
    /// captured does not need the Output of `session` any more.
    Release {
        /// Whose.
        session: SessionId,
        /// Where the answer goes.
        answer: oneshot::Sender<Result<(), Failure>>,
    },
    /// Say where input for the Output of `session` goes.
    Seat {
        /// Whose.
        session: SessionId,
        /// Where the answer goes.
        answer: oneshot::Sender<Result<SeatSource, Failure>>,
    },
    /// The captured on the bus is now this process, or there is none.
    Captured(Option<u32>),
    /// An app has started, or not.
    AppStarted {
        /// Whose.
        session: SessionId,
        /// True if it did not run before.
        started: Result<bool, Failure>,
    },
    /// The app of `session` may have ended.
    AppEnded(SessionId),
    /// Something changed in the user's desktop.
    Desk,
    /// The machine goes to sleep, or it woke.
    Sleeps(bool),
}

/// The interface on one connection.
#[derive(Debug, Clone)]
pub struct Display1 {
    orders: mpsc::Sender<Order>,
    library: Arc<Library>,
    runtime: PathBuf,
}

impl Display1 {
    /// Passes what it is asked on to `orders`; a session may name an app of `library`. The user's sockets lie in `runtime`.
    pub fn new(orders: mpsc::Sender<Order>, library: Arc<Library>, runtime: PathBuf) -> Self {
        Self { orders, library, runtime }
    }

    async fn order<T>(
        &self,
        order: Order,
        answer: oneshot::Receiver<Result<T, Failure>>,
    ) -> Result<T, CallError> {
        let stopping = || {
            let text = "lumen-vdisplayd.service is stopping";
            Failure::new(FailureClass::Temporary, text, "it is asked again when it is back")
        };
        self.orders.send(order).await.map_err(|_| stopping())?;
        Ok(answer.await.map_err(|_| stopping())??)
    }
}

/// Process id of the caller.
async fn pid_of(bus: &Connection, header: &Header<'_>) -> Result<u32, CallError> {
    let sender = header.sender().ok_or_else(|| CallError::Denied("the call has no sender".to_owned()))?;
    let dbus = zbus::fdo::DBusProxy::new(bus).await?;
    let pid = dbus.get_connection_unix_process_id(sender.clone().into()).await;
    pid.map_err(|error| CallError::ZBus(error.into()))
}

#[interface(name = "org.lumen.Display1")]
impl Display1 {
    /// Makes the Output of `session`, or finds it and gives it the mode of `spec`. Idempotent: each call answers with
    /// a fresh connection to the same compositor.
    #[zbus(out_args("source"))]
    async fn acquire(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        session: &str,
        spec: OutputSpec,
    ) -> Result<Source, CallError> {
        require_stage(bus, &header, Stage::Captured).await?;
        let session = session_id(session)?;
        let holder = pid_of(bus, &header).await?;
        let (answer, answered) = oneshot::channel();
        self.order(Order::Acquire { session, spec, holder, answer }, answered).await
    }

    /// captured does not need the Output of `session` any more: it goes. Unknown sessions are fine.
    async fn release(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        session: &str,
    ) -> Result<(), CallError> {
        require_stage(bus, &header, Stage::Captured).await?;
        let session = session_id(session)?;
        let (answer, answered) = oneshot::channel();
        self.order(Order::Release { session, answer }, answered).await
    }

    /// The names of the apps that a session may ask for: those of apps.toml, and installed games.
    async fn apps(&self) -> Result<Vec<String>, CallError> {
        Ok(self
            .library
            .off_the_loop(|library| Ok(library.catalogue().apps.keys().cloned().collect()))
            .await?)
    }

    /// The picture of the app `name`: a sealed memfd with a PNG of at most 4 MiB; of an app without one a failure.
    #[zbus(out_args("png"))]
    async fn art(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        name: String,
    ) -> Result<OwnedFd, CallError> {
        require_stage(bus, &header, Stage::Transportd).await?;
        let png = self.library.off_the_loop(move |library| {
            let none = || {
                let advice = "name one as image in apps.toml";
                Failure::new(FailureClass::Request, format!("the app {name:?} has no picture"), advice)
            };
            picture(library.find(&name)?.image.as_deref().ok_or_else(none)?)
        });
        Ok(png.await?.into())
    }

    /// Where input for the Output of `session` goes. Makes nothing: a session without an Output is answered with a
    /// failure that passes. Each call answers with a fresh connection to the Output's compositor.
    #[zbus(out_args("source"))]
    async fn seat(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        session: &str,
    ) -> Result<SeatSource, CallError> {
        require_stage(bus, &header, Stage::Inputd).await?;
        let session = session_id(session)?;
        let (answer, answered) = oneshot::channel();
        self.order(Order::Seat { session, answer }, answered).await
    }

    /// A fresh connection to the user's PipeWire, where the sound of `session` is. Makes nothing.
    #[zbus(out_args("source"))]
    async fn sound(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        session: &str,
    ) -> Result<SoundSource, CallError> {
        require_stage(bus, &header, Stage::Captured).await?;
        session_id(session)?;
        Ok(sound::source(&self.runtime)?)
    }

    /// The app of `session` ended by itself, or did not start; `text` says how, `advice` what to do. The Output is
    /// still there; `ends_session` if the session is to end with its app.
    #[zbus(signal)]
    pub async fn app_ended(
        emitter: &SignalEmitter<'_>,
        session: &str,
        text: &str,
        advice: &str,
        ends_session: bool,
    ) -> Result<(), zbus::Error>;

    /// The machine goes to sleep now, or it woke.
    #[zbus(signal)]
    pub async fn sleeps(emitter: &SignalEmitter<'_>, sleeps: bool) -> Result<(), zbus::Error>;
}
