//! Lumen's own bus, as the administrator's tool uses it: a person without a name of its own.

use std::collections::HashMap;
use std::time::Duration;

use lumen_ipc::Stage;
use lumen_ipc::bus::STAGE_INTERFACE;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use zbus::names::BusName;
use zbus::{Connection, DynamicType, OwnedVariant, Type};

use crate::account::Account;
use crate::json;

/// How long a stage may take for an answer. It never waits for anything itself, so this is a stage that hangs.
const PATIENCE: Duration = Duration::from_secs(2);

/// What `Allowed` and `Sessions` answer.
type Rows = Vec<HashMap<String, OwnedVariant>>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// Nobody listens where the bus should be.
    #[error(
        "lumen does not run for {name}: nothing answers on {path}\nstart it: `systemctl --user start lumen.target`, \
         or `sudo lumenctl run` where nobody booted systemd"
    )]
    NotRunning {
        /// The user's name.
        name: String,
        /// Where the bus would listen.
        path: String,
    },
    /// The stage's name has no owner.
    #[error(
        "lumen-{stage} is not on the bus; `lumenctl logs {stage}` tells why, `lumenctl status` shows the others"
    )]
    Away {
        /// Who.
        stage: Stage,
    },
    /// The stage has its name but does not answer.
    #[error("lumen-{stage} has not answered within {} s; `lumenctl logs {stage}` tells more", PATIENCE.as_secs())]
    Silent {
        /// Who.
        stage: Stage,
    },
    /// The stage refused, in its own words.
    #[error("{text}")]
    Refused {
        /// Its words.
        text: String,
    },
    /// Anything else that D-Bus says.
    #[error("lumen-{stage} cannot be asked")]
    Protocol {
        /// Who.
        stage: Stage,
        /// What zbus says.
        source: zbus::Error,
    },
}

/// A connection to the bus of one constellation.
#[derive(Debug)]
pub struct Bus {
    connection: Connection,
}

impl Bus {
    /// Connects to the bus of this user's constellation. The process must be that user already.
    pub async fn connect(account: &Account) -> Result<Self, BusError> {
        let path = account.runtime_dir().join("lumen/bus");
        let address = format!("unix:path={}", path.display());
        match zbus::connection::Builder::address(address.as_str()).build().await {
            Ok(connection) => Ok(Self { connection }),
            Err(_) => {
                Err(BusError::NotRunning { name: account.name.clone(), path: path.display().to_string() })
            }
        }
    }

    /// `org.lumen.Stage1.Status` of a stage.
    pub async fn status(&self, stage: Stage) -> Result<Map<String, Value>, BusError> {
        self.call(stage, STAGE_INTERFACE, "Status", &()).await.map(json::of_dict)
    }

    /// Transport1.Sessions: one dictionary a running session.
    pub async fn sessions(&self) -> Result<Vec<Map<String, Value>>, BusError> {
        self.transport::<_, Rows>("Sessions", &()).await.map(of_rows)
    }

    /// Transport1.Latency of a session.
    pub async fn latency(&self, session: &str) -> Result<Map<String, Value>, BusError> {
        self.transport("Latency", &session).await.map(json::of_dict)
    }

    /// Transport1.Allowed: one dictionary a client.
    pub async fn allowed(&self) -> Result<Vec<Map<String, Value>>, BusError> {
        self.transport::<_, Rows>("Allowed", &()).await.map(of_rows)
    }

    /// Transport1.Pairings: one dictionary an attempt.
    pub async fn pairings(&self) -> Result<Vec<Map<String, Value>>, BusError> {
        self.transport::<_, Rows>("Pairings", &()).await.map(of_rows)
    }

    /// A method of transportd's own interface that waits for somebody else.
    pub async fn patient_transport<B, R>(
        &self,
        method: &str,
        body: &B,
        patience: Duration,
    ) -> Result<R, BusError>
    where
        B: Serialize + DynamicType + Sync,
        R: DeserializeOwned + Type,
    {
        self.call_within(patience, Stage::Transportd, Stage::Transportd.bus_name(), method, body).await
    }

    /// A method of transportd's own interface.
    pub async fn transport<B, R>(&self, method: &str, body: &B) -> Result<R, BusError>
    where
        B: Serialize + DynamicType + Sync,
        R: DeserializeOwned + Type,
    {
        self.call(Stage::Transportd, Stage::Transportd.bus_name(), method, body).await
    }

    async fn call<B, R>(&self, stage: Stage, interface: &str, method: &str, body: &B) -> Result<R, BusError>
    where
        B: Serialize + DynamicType + Sync,
        R: DeserializeOwned + Type,
    {
        self.call_within(PATIENCE, stage, interface, method, body).await
    }

    async fn call_within<B, R>(
        &self,
        patience: Duration,
        stage: Stage,
        interface: &str,
        method: &str,
        body: &B,
    ) -> Result<R, BusError>
    where
        B: Serialize + DynamicType + Sync,
        R: DeserializeOwned + Type,
    {
        let protocol = |source| BusError::Protocol { stage, source };
        let name = BusName::try_from(stage.bus_name()).map_err(protocol)?;
        let asking =
            self.connection.call_method(Some(name), stage.object_path(), Some(interface), method, body);
        match tokio::time::timeout(patience, asking).await {
            Err(_) => Err(BusError::Silent { stage }),
            Ok(Ok(answer)) => answer.body().deserialize().map_err(protocol),
            Ok(Err(zbus::Error::MethodError(name, text, _))) => Err(refusal(stage, name.as_str(), text)),
            Ok(Err(source)) => Err(protocol(source)),
        }
    }
}

fn refusal(stage: Stage, name: &str, text: Option<String>) -> BusError {
    match name {
        "org.freedesktop.DBus.Error.ServiceUnknown" | "org.freedesktop.DBus.Error.NameHasNoOwner" => {
            BusError::Away { stage }
        }
        "org.freedesktop.DBus.Error.NoReply" => BusError::Silent { stage },
        _ => BusError::Refused { text: text.unwrap_or_else(|| name.to_owned()) },
    }
}

fn of_rows(rows: Rows) -> Vec<Map<String, Value>> {
    rows.into_iter().map(json::of_dict).collect()
}
