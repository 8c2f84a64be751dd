//! lumen's own bus, as every stage uses it: one name each, no activation, and calls that wait for a dead stage's
//! next incarnation.
//!
//! If the bus itself dies, the stage makes a new connection and takes its name again; links live on meanwhile.

use std::{
    env,
    os::fd::OwnedFd,
    path::PathBuf,
    pin::pin,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use lumen_ipc::{Failure, FailureClass, SessionId, Stage};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep, timeout, timeout_at},
};
use zbus::{Connection, DynamicType, Type, connection, message::Header};

use crate::{
    caller::{self, Caller},
    pulse::{self, Pulse},
};

/// Pause between two attempts at a name or a bus that is not there.
const RETRY: Duration = Duration::from_millis(20);
/// The same while it may come any moment: a stage that died is back within some tens of milliseconds, and a picture waits.
const SOON: Duration = Duration::from_millis(2);
/// How long that is.
const RETURN: Duration = Duration::from_millis(300);

/// How long a call waits for its stage's next incarnation.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What a method of a stage answers instead of a result; the text says what to do.
#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "org.lumen.Error")]
pub enum CallError {
    /// Anything the bus itself says.
    #[zbus(error)]
    ZBus(zbus::Error),
    /// The caller may not do this.
    Denied(String),
    /// [`FailureClass::Request`].
    Request(String),
    /// [`FailureClass::Environment`].
    Environment(String),
    /// [`FailureClass::Temporary`].
    Temporary(String),
    /// [`FailureClass::Internal`].
    Internal(String),
    /// The stage stops: its next incarnation will answer.
    Stopping(String),
    /// [`FailureClass::Locked`].
    Locked(String),
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        let text = format!("{}\n{}", failure.text, failure.advice);
        match failure.class {
            FailureClass::Request => Self::Request(text),
            FailureClass::Environment => Self::Environment(text),
            FailureClass::Temporary => Self::Temporary(text),
            FailureClass::Internal => Self::Internal(text),
            FailureClass::Locked => Self::Locked(text),
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let (class, text) = match error {
            CallError::Request(text) => (FailureClass::Request, text),
            CallError::Environment(text) => (FailureClass::Environment, text),
            CallError::Temporary(text) | CallError::Stopping(text) => (FailureClass::Temporary, text),
            CallError::Internal(text) => (FailureClass::Internal, text),
            CallError::Locked(text) => (FailureClass::Locked, text),
            CallError::Denied(text) => (FailureClass::Environment, text),
            CallError::ZBus(error) => {
                (FailureClass::Temporary, format!("a stage cannot be asked over lumen's bus: {error}"))
            }
        };
        let (text, advice) = text.split_once('\n').unwrap_or((&text, "see `lumenctl status`"));
        Self::new(class, text, advice)
    }
}

impl From<crate::sessions::OpenError> for CallError {
    fn from(error: crate::sessions::OpenError) -> Self {
        use crate::sessions::OpenError;
        match error {
            OpenError::Stopping => Self::Stopping(error.to_string()),
            OpenError::TooMany => Self::Temporary(error.to_string()),
            OpenError::Unknown(_) => Self::Request(error.to_string()),
            OpenError::Link(_) | OpenError::Kernel(_) => Self::Internal(error.to_string()),
        }
    }
}

/// Reads a session id that came over the bus.
pub fn session_id(text: &str) -> Result<SessionId, CallError> {
    text.parse().map_err(|error: lumen_ipc::identity::SessionIdError| CallError::Request(error.to_string()))
}

/// Where lumen's bus listens.
pub fn address() -> Option<PathBuf> {
    env::var_os("XDG_RUNTIME_DIR").map(|dir| PathBuf::from(dir).join("lumen/bus"))
}

/// Connects to lumen's bus without taking a name: for the administrator's tools.
pub async fn connect() -> Result<Connection, zbus::Error> {
    builder()?.build().await
}

fn builder() -> Result<connection::Builder<'static>, zbus::Error> {
    let path = address().ok_or_else(|| zbus::Error::Address("XDG_RUNTIME_DIR is not set".into()))?;
    Ok(connection::Builder::address(format!("unix:path={}", path.display()).as_str()))
}

type Dress = Arc<dyn Fn(connection::Builder<'static>) -> connection::Builder<'static> + Send + Sync>;

/// A stage's place on the bus. Cloning shares it.
#[derive(Clone)]
pub struct Bus {
    stage: Stage,
    dress: Dress,
    connection: Arc<RwLock<Connection>>,
    runtime: Handle,
}

impl Bus {
    /// Connects, waiting up to [`PATIENCE`] for the bus, and takes the stage's name.
    ///
    /// `dress` puts the stage's interfaces on a connection; it is called again after the bus died.
    pub async fn start(
        stage: Stage,
        dress: impl Fn(connection::Builder<'static>) -> connection::Builder<'static> + Send + Sync + 'static,
    ) -> Result<Self, zbus::Error> {
        let dress: Dress = Arc::new(dress);
        let deadline = Instant::now() + PATIENCE;
        let connection = loop {
            match claim(stage, &dress).await {
                Ok(connection) => break connection,
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => sleep(RETRY).await,
            }
        };
        Ok(Self { stage, dress, connection: Arc::new(RwLock::new(connection)), runtime: Handle::current() })
    }

    /// Whose place it is.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// The connection of this moment.
    pub fn connection(&self) -> Connection {
        self.connection.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Comes back after each death of the bus. Never ends.
    pub async fn keep(&self) {
        loop {
            self.connection().closed().await;
            tracing::warn!(STAGE = self.stage.name(), "the bus is gone; taking the name again");
            loop {
                sleep(RETRY).await;
                if let Ok(connection) = claim(self.stage, &self.dress).await {
                    *self.connection.write().unwrap_or_else(PoisonError::into_inner) = connection;
                    break;
                }
            }
        }
    }

    /// Calls `method` of the stage `target`, waiting for its next incarnation while it is away. The owner of the
    /// name is checked to be the unit of that stage before it gets the call.
    pub async fn call<B, R>(&self, target: Stage, method: &str, body: &B) -> Result<R, CallError>
    where
        B: Serialize + DynamicType + Sync,
        R: DeserializeOwned + Type,
    {
        let (soon, deadline) = (Instant::now() + RETURN, Instant::now() + PATIENCE);
        loop {
            let attempt = self.attempt(target, method, body);
            let pause = if Instant::now() < soon { SOON } else { RETRY };
            match timeout_at(deadline, attempt).await {
                Ok(Err(CallError::Stopping(_))) => sleep(pause).await,
                Ok(Err(CallError::ZBus(error))) if is_away(&error) => sleep(pause).await,
                Ok(answer) => return answer,
                Err(_) => {
                    let text = format!("lumen-{target}.service does not answer on lumen's bus");
                    let advice = format!("see `lumenctl status` and `journalctl --user -u lumen-{target}`");
                    return Err(Failure::new(FailureClass::Temporary, text, advice).into());
                }
            }
        }
    }

    async fn attempt<B, R>(&self, target: Stage, method: &str, body: &B) -> Result<R, CallError>
    where
        B: Serialize + DynamicType + Sync,
        R: DeserializeOwned + Type,
    {
        let connection = self.connection();
        let dbus = zbus::fdo::DBusProxy::new(&connection).await?;
        let owner = dbus.get_name_owner(target.bus_name().try_into()?).await;
        let owner = owner.map_err(zbus::Error::from)?;
        match caller::identify(&connection, owner.as_str()).await {
            Ok(Caller::Stage(stage)) if stage == target => {}
            Ok(other) => {
                let text =
                    format!("the name {} is held by {other:?}, not by {}", target.bus_name(), target.unit());
                return Err(CallError::Denied(text));
            }
            Err(_) => return Err(CallError::ZBus(zbus::Error::InvalidReply)),
        }
        let (path, name) = (target.object_path(), target.bus_name());
        let reply = connection.call_method(Some(owner.as_str()), path, Some(name), method, body).await?;
        Ok(reply.body().deserialize()?)
    }

    /// Opens a link upstream: `Open(session, spec)` of `target`.
    pub async fn open<S>(&self, target: Stage, session: SessionId, spec: &S) -> Result<OwnedFd, CallError>
    where
        S: Serialize + DynamicType + Type + Sync,
    {
        let fd: zbus::OwnedFd = self.call(target, "Open", &(session.to_string(), spec)).await?;
        Ok(fd.into())
    }

    /// Waits on a session's own thread for `work` on the bus, beating the session's pulse meanwhile. Never to be
    /// called on the event loop's thread.
    pub fn wait<T>(&self, pulse: &Pulse, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(async {
            let mut work = pin!(work);
            loop {
                pulse.beat();
                if let Ok(done) = timeout(pulse::SILENCE / 4, &mut work).await {
                    return done;
                }
            }
        })
    }
}

/// One connection with all interfaces and the stage's name, taken with DO_NOT_QUEUE alone: nobody may replace us
/// and we replace nobody.
async fn claim(stage: Stage, dress: &Dress) -> Result<Connection, zbus::Error> {
    let bare = builder()?.allow_name_replacements(false).replace_existing_names(false);
    dress(bare.name(stage.bus_name())).build().await
}

/// Whether an error means that nobody is there now. A call that died with its stage may have been carried out: what is
/// called so is idempotent.
fn is_away(error: &zbus::Error) -> bool {
    let by_name = |name: &str| {
        ["ServiceUnknown", "NameHasNoOwner", "NoReply", "Disconnected", "UnknownObject"]
            .iter()
            .any(|away| name.ends_with(away))
    };
    match error {
        zbus::Error::MethodError(name, ..) => by_name(name.as_str()),
        zbus::Error::FDO(error) => by_name(zbus::DBusError::name(&**error).as_str()),
        zbus::Error::InputOutput(_) | zbus::Error::InvalidReply => true,
        _ => false,
    }
}

/// Refuses a call unless it comes from the unit of `stage`.
pub async fn require_stage(bus: &Connection, header: &Header<'_>, stage: Stage) -> Result<(), CallError> {
    match identify(bus, header).await? {
        Caller::Stage(caller) if caller == stage => Ok(()),
        other => Err(CallError::Denied(format!("only {} may call this, not {other:?}", stage.unit()))),
    }
}

/// Who may ask for what a person decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decider {
    /// The administrator, by a tool.
    Administrator,
    /// Whoever sits at the desktop, by vdisplayd.
    Desktop,
}

/// Refuses a call unless it comes from an administrator's tool, or from vdisplayd, which speaks for the desktop; which of them.
pub async fn require_decider(bus: &Connection, header: &Header<'_>) -> Result<Decider, CallError> {
    match identify(bus, header).await? {
        Caller::Person => Ok(Decider::Administrator),
        Caller::Stage(Stage::Vdisplayd) => Ok(Decider::Desktop),
        other => Err(CallError::Denied(format!(
            "only the administrator's tools and {} may call this, not {other:?}",
            Stage::Vdisplayd.unit()
        ))),
    }
}

/// Refuses a call unless it comes from outside of lumen's slice: an administrator's tool.
pub async fn require_person(bus: &Connection, header: &Header<'_>) -> Result<(), CallError> {
    match identify(bus, header).await? {
        Caller::Person => Ok(()),
        other => {
            Err(CallError::Denied(format!("only the administrator's tools may call this, not {other:?}")))
        }
    }
}

async fn identify(bus: &Connection, header: &Header<'_>) -> Result<Caller, CallError> {
    let sender = header.sender().map(|sender| sender.as_str().to_owned()).unwrap_or_default();
    caller::identify(bus, &sender).await.map_err(|error| CallError::Denied(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sabotage: answer a locked desktop as `Temporary`.
    #[test]
    fn a_failure_crosses_the_bus_unchanged() {
        use FailureClass::{Environment, Internal, Locked, Request, Temporary};
        for class in [Request, Environment, Temporary, Internal, Locked] {
            let original = Failure::new(class, "no app \"x\"", "run `lumenctl apps`");
            assert_eq!(Failure::from(CallError::from(original.clone())), original);
        }
    }
}
