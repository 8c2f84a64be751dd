//! Tells whoever sits at the desktop that somebody else controls it, and lets them end that: a notification for as long as a
//! session has an Output, by the notification daemon of the user's session bus where there is one.
//!
//! ```text
//!  an Output is there ─► transportd is asked whose it is ─► shown ── its action ──► transportd ends the session
//!                                                             └──── the Output is gone: taken back
//! ```
//! The client's name is text of a client's: it is shown as text, and nothing else becomes of it. The daemon's number of the
//! notification lies in the session's files, so that the next vdisplayd shows the same one.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    time::Duration,
};

use lumen_ipc::{SessionId, Stage};
use lumen_stage::Bus;
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};
use zbus::{Connection, MatchRule, MessageStream, OwnedVariant, Variant, connection::Builder, message::Type};

use crate::{places::Places, watch::next};

const NAME: &str = "org.freedesktop.Notifications";
const PATH: &str = "/org/freedesktop/Notifications";

/// The action's key, and what its button says.
const END: [&str; 2] = ["end", "End session"];

/// Time for one answer of the daemon, which the bus may have to start.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Between two questions whose session it is, and how long it is asked. Because a Moonlight client has 15 s from its launch
/// until its session begins.
const RETRY: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(30);

/// Most characters of a client's name that are shown.
const MOST: usize = 64;

/// What the sessions' people are told. Dropping it tells nobody anything.
#[derive(Debug, Default)]
pub struct Notices(BTreeMap<SessionId, oneshot::Sender<()>>);

/// What one notification needs.
#[derive(Clone)]
struct Desk {
    session: SessionId,
    /// lumen's.
    bus: Bus,
    /// Where the user's own listens.
    address: PathBuf,
    places: Places,
}

impl Notices {
    /// These are the sessions that have an Output: the new ones are told of, the gone ones taken back.
    pub fn settle(&mut self, sessions: &[SessionId], bus: &Bus, address: &Path, places: &Places) {
        // Whoever does not listen any more has nothing to take back.
        self.0.retain(|session, _| sessions.contains(session));
        for session in sessions {
            self.0.entry(*session).or_insert_with(|| {
                let (goes_on, is_over) = oneshot::channel();
                let (bus, address, places) = (bus.clone(), address.to_owned(), places.clone());
                tokio::spawn(Desk { session: *session, bus, address, places }.tell(is_over));
                goes_on
            });
        }
    }
}

impl Desk {
    /// Shows it until `is_over`.
    async fn tell(self, mut is_over: oneshot::Receiver<()>) {
        let named = tokio::select! {
            named = timeout(PATIENCE, self.client()) => named,
            _ = &mut is_over => return,
        };
        let Ok(client) = named else { return };
        if let Err(error) = self.show(&client, &mut is_over).await {
            tracing::info!(SESSION = %self.session, "the desktop does not say who controls it: {error}");
        }
    }

    /// What its client is called, once transportd knows the session.
    async fn client(&self) -> String {
        let id = self.session.to_string();
        loop {
            let sessions = self.bus.call(Stage::Transportd, "Sessions", &()).await;
            let sessions: Vec<HashMap<String, OwnedVariant>> = sessions.unwrap_or_default();
            let text = |row: &HashMap<String, OwnedVariant>, key: &str| {
                row.get(key).and_then(|value| <&str>::try_from(&**value).ok().map(str::to_owned))
            };
            let row = sessions.iter().find(|row| text(row, "session").as_deref() == Some(&id));
            if let Some(client) = row.and_then(|row| text(row, "client")) {
                return client;
            }
            sleep(RETRY).await;
        }
    }

    async fn show(&self, client: &str, is_over: &mut oneshot::Receiver<()>) -> Result<(), zbus::Error> {
        let address = format!("unix:path={}", self.address.display());
        let bus = Builder::address(address.as_str()).method_timeout(ANSWER_LIMIT).build().await?;
        // Before it is shown, so that no press of its button is missed.
        let rule = MatchRule::builder().msg_type(Type::Signal).interface(NAME).path(PATH).build()?;
        let mut signals = MessageStream::for_match_rule(rule, &bus, None).await?;
        let before = std::fs::read_to_string(self.places.file(self.session, "notice")).ok();
        let before = before.and_then(|number| number.parse().ok()).unwrap_or(0);
        let (number, daemon) = notify(&bus, client, before).await?;
        // Lost, a killed vdisplayd leaves it to its successor to show another one.
        let _ = self.places.write(self.session, "notice", &number.to_string());
        loop {
            tokio::select! {
                said = next(&mut signals) => {
                    let said = said?;
                    let header = said.header();
                    let is_daemon = header.sender().is_some_and(|sender| sender.as_str() == daemon);
                    let is_action = header.member().is_some_and(|member| member.as_str() == "ActionInvoked");
                    let body = said.body();
                    let pressed = body.deserialize::<(u32, &str)>();
                    if is_daemon && is_action && pressed.is_ok_and(|word| word == (number, END[0])) {
                        self.end().await;
                    }
                }
                _ = &mut *is_over => break,
            }
        }
        bus.call_method(Some(NAME), PATH, Some(NAME), "CloseNotification", &number).await?;
        Ok(())
    }

    async fn end(&self) {
        tracing::info!(SESSION = %self.session, "whoever is at the desktop ends the session");
        let ended: Result<(), _> = self.bus.call(Stage::Transportd, "End", &self.session.to_string()).await;
        if let Err(error) = ended {
            tracing::warn!(SESSION = %self.session, "the session does not end: {error}");
        }
    }
}

/// Shows it in place of the one of `before`; the daemon's number of it, and who the daemon is.
async fn notify(bus: &Connection, client: &str, before: u32) -> Result<(u32, String), zbus::Error> {
    let title = format!("Controlled by {}", printable(client));
    let text = "This desktop is seen and used from elsewhere, through lumen.";
    // It stays, and its button does not take it away.
    let hints = HashMap::from([("urgency", Variant::from(1_u8)), ("resident", Variant::from(true))]);
    let body = ("lumen", before, "", title, text, &END[..], hints, 0_i32);
    let answer = bus.call_method(Some(NAME), PATH, Some(NAME), "Notify", &body).await?;
    let daemon = answer.header().sender().map(|sender| sender.as_str().to_owned()).unwrap_or_default();
    Ok((answer.body().deserialize()?, daemon))
}

/// A name without what is no text, and not longer than a person reads.
fn printable(name: &str) -> String {
    let name: String = name.chars().filter(|character| !character.is_control()).take(MOST).collect();
    if name.is_empty() { "another machine".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sabotage: show the name as it comes.
    #[test]
    fn name_of_a_client_is_text() {
        assert_eq!(printable("den\n\u{1b}[31m"), "den[31m");
        assert_eq!(printable("\0"), "another machine");
        assert_eq!(printable(&"x".repeat(999)).len(), MOST);
    }
}
