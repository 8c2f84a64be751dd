//! The user's service manager: transient units, their state, its environment.
//!
//! Spoken to over `$XDG_RUNTIME_DIR/systemd/private`, as `systemctl --user` does, because a session bus need not
//! exist; over the session bus where that socket refuses us. A call over a connection that broke (a manager that
//! re-executed itself) is made once more over a new one.

use std::{collections::HashMap, path::PathBuf, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::UnixStream, sync::Mutex};
use zbus::{
    Connection, DynamicType, Message, OwnedObjectPath, OwnedVariant, Type, Variant, connection::Builder,
};

use crate::{
    private_bus::PrivateSocket,
    transient::{STEPS_LIMIT_US, TransientUnit},
};

/// Time for one answer of the manager, because a reload of many units takes a second.
const ANSWER_LIMIT: Duration = Duration::from_secs(4);
const NAME: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Of a unit, by name.
type Properties = HashMap<String, OwnedVariant>;

/// Why the manager did not do it.
#[derive(Debug, thiserror::Error)]
pub enum SystemdError {
    /// Neither the private socket nor the session bus.
    #[error("no user service manager at {} ({private}) nor on the session bus ({session})", path.display())]
    NotThere {
        /// The private socket.
        path: PathBuf,
        /// Why not there.
        private: Box<zbus::Error>,
        /// Why not on the bus.
        session: Box<zbus::Error>,
    },
    /// It refused, or does not know this call.
    #[error("systemd refused {call} for {what}: {source}")]
    Refused {
        /// The method.
        call: &'static str,
        /// The unit or property.
        what: String,
        /// Its answer.
        source: Box<zbus::Error>,
    },
}

impl SystemdError {
    /// Whether the unit is not there, or was forgotten between two calls.
    fn is_no_such_unit(&self) -> bool {
        let Self::Refused { source, .. } = self else { return false };
        match &**source {
            zbus::Error::MethodError(name, ..) => name.ends_with(".NoSuchUnit"),
            zbus::Error::FDO(error) => matches!(**error, zbus::fdo::Error::UnknownObject(_)),
            _ => false,
        }
    }
}

/// What a unit is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnitState {
    /// Not loaded: never started, or stopped and forgotten.
    Absent,
    /// Starts or stops, or is about to.
    Changing,
    /// Runs with this main process; 0 if it needs none.
    Running {
        /// Process id.
        pid: u32,
    },
    /// Its process ended by itself; the unit is still there.
    Ended {
        /// For people: "with exit status 3", "by signal 9".
        how: String,
    },
}

/// A connection to the user's manager, made when first needed.
#[derive(Debug)]
pub struct UserManager {
    runtime: PathBuf,
    connection: Mutex<Option<Connection>>,
}

impl UserManager {
    /// The manager whose runtime directory is `runtime` (`$XDG_RUNTIME_DIR`).
    pub fn new(runtime: PathBuf) -> Self {
        Self { runtime, connection: Mutex::new(None) }
    }

    /// The environment that the manager gives to services: name → value.
    pub async fn environment(&self) -> Result<HashMap<String, String>, SystemdError> {
        let body = (MANAGER, "Environment");
        let value: OwnedVariant = self.call("Get", PATH, PROPERTIES, "Environment", &body).await?;
        let lines: Vec<String> = value.try_into().unwrap_or_default();
        Ok(lines.iter().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect())
    }

    /// Starts `unit`, after forgetting an earlier one of that name that failed.
    pub async fn start(&self, unit: &TransientUnit) -> Result<(), SystemdError> {
        // Refused if there is none, which is the usual case.
        let _ = self.call::<(), _>("ResetFailedUnit", PATH, MANAGER, &unit.name, &unit.name).await;
        type Auxiliary = Vec<(String, Vec<(String, OwnedVariant)>)>;
        let body = (&unit.name, "fail", unit.properties(), Auxiliary::new());
        let _job: OwnedObjectPath = self.call("StartTransientUnit", PATH, MANAGER, &unit.name, &body).await?;
        Ok(())
    }

    /// Asks the manager to stop `name`; a unit that is not there is fine.
    pub async fn stop(&self, name: &str) -> Result<(), SystemdError> {
        // Not asked for its state first: a unit whose start is still queued looks like one that is not there.
        match self.call::<OwnedObjectPath, _>("StopUnit", PATH, MANAGER, name, &(name, "replace")).await {
            Err(error) if error.is_no_such_unit() => Ok(()),
            other => other.map(drop),
        }
    }

    /// Whether the [`Work::Steps`](crate::transient::Work::Steps) of `name` went well, once they are over; what went wrong otherwise. Waits for that.
    pub async fn steps_over(&self, name: &str) -> Result<Result<(), String>, SystemdError> {
        loop {
            let properties = self.properties(name).await?.unwrap_or_default();
            match (text(&properties, "ActiveState"), self.state(name).await?) {
                ("active", _) => return Ok(Ok(())),
                ("failed", UnitState::Ended { how }) if text(&properties, "Result") == "timeout" => {
                    return Ok(Err(format!(
                        "took longer than {} s, and ended {how}",
                        STEPS_LIMIT_US / 1_000_000
                    )));
                }
                ("failed", UnitState::Ended { how }) => return Ok(Err(format!("ended {how}"))),
                (_, UnitState::Absent) => return Ok(Err("was stopped".to_owned())),
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Whether `name` is gone within `limit`.
    pub async fn gone_within(&self, name: &str, limit: Duration) -> Result<bool, SystemdError> {
        let gone = async {
            while self.state(name).await? != UnitState::Absent {
                let _ = self.call::<(), _>("ResetFailedUnit", PATH, MANAGER, name, &name).await;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok(true)
        };
        tokio::time::timeout(limit, gone).await.unwrap_or(Ok(false))
    }

    /// What `name` is doing now.
    pub async fn state(&self, name: &str) -> Result<UnitState, SystemdError> {
        Ok(self.properties(name).await?.map_or(UnitState::Absent, |properties| state_of(&properties)))
    }

    /// All properties of `name`; `None` if it is not there.
    async fn properties(&self, name: &str) -> Result<Option<Properties>, SystemdError> {
        let path: OwnedObjectPath = match self.call("GetUnit", PATH, MANAGER, name, &name).await {
            Err(error) if error.is_no_such_unit() => return Ok(None),
            other => other?,
        };
        // An empty interface name means the properties of all interfaces.
        match self.call("GetAll", path.as_str(), PROPERTIES, name, &"").await {
            Err(error) if error.is_no_such_unit() => Ok(None),
            other => other.map(Some),
        }
    }

    /// The `Environment=` of the service `name`: name → value.
    pub async fn environment_of(&self, name: &str) -> Result<HashMap<String, String>, SystemdError> {
        let path: OwnedObjectPath = self.call("GetUnit", PATH, MANAGER, name, &name).await?;
        let body = ("org.freedesktop.systemd1.Service", "Environment");
        let value: OwnedVariant = self.call("Get", path.as_str(), PROPERTIES, name, &body).await?;
        let lines: Vec<String> = value.try_into().unwrap_or_default();
        Ok(lines.iter().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect())
    }

    /// Where people read what the unit `name` said: the journal, or the file that `lumenctl run` has it written to.
    pub fn log_of(&self, name: &str) -> String {
        let file = self.runtime.join(format!("log-{}", name.trim_end_matches(".service")));
        match file.exists() {
            true => file.display().to_string(),
            false => format!("`journalctl --user -u {name}`"),
        }
    }

    /// Names of the loaded units that match the glob `pattern`.
    pub async fn list(&self, pattern: &str) -> Result<Vec<String>, SystemdError> {
        type Row =
            (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);
        let body = (Vec::<String>::new(), vec![pattern]);
        let rows: Vec<Row> = self.call("ListUnitsByPatterns", PATH, MANAGER, pattern, &body).await?;
        Ok(rows.into_iter().map(|row| row.0).collect())
    }

    async fn call<R, B>(
        &self,
        method: &'static str,
        path: &str,
        interface: &'static str,
        what: &str,
        body: &B,
    ) -> Result<R, SystemdError>
    where
        R: DeserializeOwned + Type,
        B: Serialize + DynamicType,
    {
        let refused =
            |source| SystemdError::Refused { call: method, what: what.to_owned(), source: Box::new(source) };
        let mut kept = self.connection.lock().await;
        let mut fresh = kept.is_none();
        loop {
            let connection = match kept.take() {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            let answer = connection.call_method(Some(NAME), path, Some(interface), method, body).await;
            if matches!(answer, Err(zbus::Error::InputOutput(_))) && !fresh {
                fresh = true;
                continue;
            }
            if !matches!(answer, Err(zbus::Error::InputOutput(_))) {
                *kept = Some(connection);
            }
            return answer.and_then(|message| read(&message)).map_err(refused);
        }
    }

    async fn connect(&self) -> Result<Connection, SystemdError> {
        let path = self.runtime.join("systemd/private");
        let private = match UnixStream::connect(&path).await {
            Ok(stream) => {
                Builder::socket(PrivateSocket(stream)).p2p().method_timeout(ANSWER_LIMIT).build().await
            }
            Err(error) => Err(error.into()),
        };
        match private {
            Ok(connection) => Ok(connection),
            Err(private) => {
                let bus = Builder::session().method_timeout(ANSWER_LIMIT).build().await;
                bus.map_err(|session| SystemdError::NotThere {
                    path,
                    private: Box::new(private),
                    session: Box::new(session),
                })
            }
        }
    }
}

fn read<R: DeserializeOwned + Type>(message: &Message) -> Result<R, zbus::Error> {
    message.body().deserialize()
}

/// The state that a unit's properties tell.
fn state_of(properties: &Properties) -> UnitState {
    let number = |key: &str| properties.get(key).and_then(|value| i32::try_from(&**value).ok()).unwrap_or(0);
    let pid = properties.get("MainPID").and_then(|value| u32::try_from(&**value).ok()).unwrap_or(0);
    // Its number and path; 0 if nothing is queued.
    if let Some(Variant::Structure(job)) = properties.get("Job").map(|value| &**value)
        && matches!(job.fields().first(), Some(Variant::U32(1..)))
    {
        return UnitState::Changing;
    }
    match (text(properties, "ActiveState"), text(properties, "SubState")) {
        ("active", "exited") if number("ExecMainCode") == 0 => UnitState::Running { pid },
        ("active", "exited") | ("failed", _) => {
            UnitState::Ended { how: ending(number("ExecMainCode"), number("ExecMainStatus")) }
        }
        ("active", _) => UnitState::Running { pid },
        ("inactive", _) => UnitState::Absent,
        _ => UnitState::Changing,
    }
}

fn text<'a>(properties: &'a Properties, key: &str) -> &'a str {
    properties.get(key).and_then(|value| <&str>::try_from(&**value).ok()).unwrap_or_default()
}

/// In words what `si_code` and `si_status` of a dead process say.
fn ending(code: i32, status: i32) -> String {
    match code {
        1 => format!("with exit status {status}"),
        2 | 3 => format!("by signal {status}"),
        _ => "before it ran".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(active: &str, sub: &str, job: u32, main: (i32, i32)) -> UnitState {
        let path = zbus::ObjectPath::try_from("/").unwrap();
        let properties: [(&str, Variant<'_>); 6] = [
            ("ActiveState", active.into()),
            ("SubState", sub.into()),
            ("Job", (job, path).into()),
            ("ExecMainCode", main.0.into()),
            ("ExecMainStatus", main.1.into()),
            ("MainPID", 42u32.into()),
        ];
        let owned = |(key, value): (&str, Variant<'_>)| (key.to_owned(), value.try_to_owned().unwrap());
        state_of(&properties.into_iter().map(owned).collect())
    }

    /// Sabotage: ignore the job.
    #[test]
    fn unit_whose_start_is_queued_is_not_absent() {
        assert_eq!(state("inactive", "dead", 7, (0, 0)), UnitState::Changing);
        assert_eq!(state("inactive", "dead", 0, (0, 0)), UnitState::Absent);
        assert_eq!(state("active", "running", 0, (0, 0)), UnitState::Running { pid: 42 });
    }

    #[test]
    fn end_of_a_process_is_told_in_words() {
        let ended = |how: &str| UnitState::Ended { how: how.to_owned() };
        assert_eq!(state("active", "exited", 0, (1, 3)), ended("with exit status 3"));
        assert_eq!(state("active", "exited", 0, (2, 11)), ended("by signal 11"));
        assert_eq!(
            state("active", "exited", 0, (0, 0)),
            UnitState::Running { pid: 42 },
            "a keeper has no process"
        );
    }
}
