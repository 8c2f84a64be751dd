//! What sees to it that nothing of an Output in GNOME stays: a unit without a process, started before the Output.
//!
//! The monitor goes by itself when vdisplayd stops, since the fd store is emptied then. What the unit's `ExecStop`
//! puts back is the layout of the user's own monitors, if lumen changed it, after the last Output went.

use std::{fs, path::PathBuf, time::Duration};

use lumen_ipc::{Mode, SessionId};
use tokio::time::{Instant, sleep};

use super::{
    desk::{self, Desk, Presence},
    layout::Place,
    line::session_bus,
};
use crate::{
    backends::sway::{headless::sweep_command, keeper::hold},
    places::Places,
    systemd::{SystemdError, UserManager},
};

/// Variable of the unit that says what kind of Output it keeps.
pub const VARIABLE: &str = "LUMEN_DESKTOP";
/// Its value, and the word that the sweep is called with.
pub const GNOME: &str = "gnome";

/// The file with the user's layout.
const LAYOUT: &str = "gnome.layout";
/// Time for the monitors of recordings to go, because systemd kills an `ExecStop` after 1.2 s.
const GONE_LIMIT: Duration = Duration::from_millis(700);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(40);
/// Time for GNOME to lay out by itself what is left.
const SETTLE: Duration = Duration::from_millis(200);

/// Starts the keeper of the Output that `session` will have.
pub async fn start(
    places: &Places,
    manager: &UserManager,
    session: SessionId,
    mode: Mode,
) -> Result<(), SystemdError> {
    let mut after_stop = sweep_command(places, session);
    after_stop.push(GNOME.to_owned());
    let description = format!("lumen Output {mode} (in the running GNOME)");
    hold(manager, session, description, after_stop, format!("{VARIABLE}={GNOME}")).await
}

/// Where the user's layout of before is noted while lumen has changed it.
fn note(places: &Places) -> PathBuf {
    places.shared_file(LAYOUT)
}

/// Notes how the user's monitors lie, unless an earlier Output did.
pub async fn note_layout(places: &Places, desk: &Desk) {
    if note(places).exists() {
        return;
    }
    let written = match desk.layout().await {
        Ok(layout) => serde_json::to_string(&layout.own())
            .map_err(std::io::Error::from)
            .and_then(|text| places.write_shared(LAYOUT, &text))
            .map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = written {
        tracing::warn!("how the monitors lie now cannot be noted, GNOME alone will put them back: {error}");
    }
}

/// Puts the user's monitors back as they were, if lumen moved them and no Output is left.
pub async fn put_back(places: &Places) {
    let Ok(text) = fs::read_to_string(note(places)) else { return };
    if !places.sessions().is_empty() {
        return;
    }
    let before: Vec<Place> = serde_json::from_str(&text).unwrap_or_default();
    let _ = fs::remove_file(note(places));
    if let Presence::Usable(desk) = desk::look(&session_bus(&places.runtime)).await
        && let Err(error) = restore(&desk, &before).await
    {
        tracing::warn!("the monitors may lie otherwise than before: {error}; see GNOME's display settings");
    }
}

async fn restore(desk: &Desk, before: &[Place]) -> Result<(), zbus::Error> {
    let deadline = Instant::now() + GONE_LIMIT;
    while desk.layout().await?.recorded().next().is_some() && Instant::now() < deadline {
        sleep(LOOK).await;
    }
    sleep(SETTLE).await;
    let layout = desk.layout().await?;
    match layout.restored(before) {
        Some(places) => desk.apply(&layout, &places).await,
        None => Ok(()),
    }
}
