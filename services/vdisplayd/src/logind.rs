//! logind: keeps the machine awake while a session lives, and tells whether a desktop is locked.

use std::time::Duration;

use zbus::{Connection, OwnedFd, OwnedObjectPath, OwnedVariant, connection::Builder};

/// Whose signals and methods these are.
pub const NAME: &str = "org.freedesktop.login1";
const PATH: &str = "/org/freedesktop/login1";
/// Its interface for all of the machine.
pub const MANAGER: &str = "org.freedesktop.login1.Manager";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Time for logind's answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Held while a session lives; dropping it lets the machine sleep again.
#[derive(Debug)]
pub struct Inhibitor {
    _fd: OwnedFd,
}

impl Inhibitor {
    /// Asks logind to neither sleep nor count as idle; the error is a note for people.
    pub async fn take() -> Result<Self, String> {
        Self::ask().await.map(|_fd| Self { _fd }).map_err(|error| note(&error))
    }

    async fn ask() -> Result<OwnedFd, zbus::Error> {
        inhibit(&connect().await?, "sleep:idle", "a client is connected", "block").await
    }
}

/// Asks for a lock against `what` of this `mode`; it lasts as long as what is returned.
///
/// # Errors
/// logind is not there, or refuses.
pub async fn inhibit(bus: &Connection, what: &str, why: &str, mode: &str) -> Result<OwnedFd, zbus::Error> {
    let body = (what, "lumen", why, mode);
    bus.call_method(Some(NAME), PATH, Some(MANAGER), "Inhibit", &body).await?.body().deserialize()
}

/// Whether logind says that the desktop of process `pid` is locked; false where it does not say.
pub async fn is_locked(pid: i32) -> bool {
    locked_hint(pid).await.unwrap_or(false)
}

async fn locked_hint(pid: i32) -> Result<bool, zbus::Error> {
    let bus = connect().await?;
    let asked =
        bus.call_method(Some(NAME), PATH, Some(MANAGER), "GetSessionByPID", &pid.cast_unsigned()).await?;
    let session: OwnedObjectPath = asked.body().deserialize()?;
    let body = ("org.freedesktop.login1.Session", "LockedHint");
    let hint = bus.call_method(Some(NAME), session.as_str(), Some(PROPERTIES), "Get", &body).await?;
    let hint: OwnedVariant = hint.body().deserialize()?;
    bool::try_from(hint)
}

/// A connection to the system bus.
///
/// # Errors
/// There is none.
pub async fn connect() -> Result<Connection, zbus::Error> {
    Builder::system().method_timeout(ANSWER_LIMIT).build().await
}

/// What happened, why, and what to do.
fn note(error: &zbus::Error) -> String {
    let refused = matches!(error, zbus::Error::FDO(error) if matches!(**error, zbus::fdo::Error::AccessDenied(_)))
        || matches!(error, zbus::Error::MethodError(name, ..) if name.ends_with("InteractiveAuthorizationRequired"));
    if refused {
        "logind does not let this user keep the machine awake: it may sleep during a session; allow the polkit action \
         org.freedesktop.login1.inhibit-block-sleep, or switch automatic sleep off"
            .to_owned()
    } else {
        format!("no logind: the machine may sleep during a session ({error}); switch automatic sleep off")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn note_tells_refusal_from_absence() {
        let denied = zbus::Error::FDO(Box::new(zbus::fdo::Error::AccessDenied("no".into())));
        assert!(note(&denied).contains("polkit"));
        assert!(note(&zbus::Error::Address("no bus".into())).starts_with("no logind: the machine may sleep"));
    }
}
