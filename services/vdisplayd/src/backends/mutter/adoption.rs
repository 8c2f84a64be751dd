//! How an Output in GNOME passes from one vdisplayd to the next: a note beside it, its keeper, its socket.

use std::{collections::BTreeMap, io};

use lumen_ipc::{Failure, SessionId};
use lumen_stage::inherited;
use serde::{Deserialize, Serialize};

use super::{
    Mutter, Placed,
    cast::{Cast, Recording},
    desk::{self, Presence},
    keeper,
    line::Line,
    stored_name,
};
use crate::{
    backends::Made,
    systemd::{UnitState, UserManager},
    units,
};

/// What the next vdisplayd reads about an Output.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    recording: Recording,
    mode: String,
    monitor: Option<u64>,
    /// Of its GNOME.
    #[serde(default)]
    pid: Option<i32>,
}

impl Mutter {
    /// Finds what earlier incarnations of vdisplayd recorded.
    pub async fn adopt(&mut self) -> Result<BTreeMap<SessionId, Made>, Failure> {
        for unit in self.manager.list(units::OUTPUT_PATTERN).await? {
            let Some(session) = units::session_of(&unit) else { continue };
            if !is_ours(&self.manager, &unit).await {
                continue;
            }
            match self.found(session, &unit).await {
                Some(placed) => {
                    self.outputs.insert(session, placed);
                }
                None => self.manager.stop(&unit).await?,
            }
        }
        for name in std::mem::take(&mut self.stored).into_keys() {
            tracing::warn!("a descriptor {name:?} of before is nobody's");
            let _ = inherited::remove(&name);
        }
        if !self.outputs.is_empty() {
            self.start_watch();
        }
        Ok(self.outputs.iter().map(|(session, placed)| (*session, placed.made.clone())).collect())
    }

    /// What the keeper `unit` tells about its Output: dark if the recording ended, none if GNOME did.
    async fn found(&mut self, session: SessionId, unit: &str) -> Option<Placed> {
        let name = stored_name(session);
        let socket = self.stored.remove(&name);
        let kept = self.manager.state(unit).await.ok()?;
        let note: Note =
            serde_json::from_str(&std::fs::read_to_string(self.places.file(session, "cast")).ok()?).ok()?;
        let presence = desk::look(&self.bus()).await;
        if matches!(presence, Presence::Absent) || !matches!(kept, UnitState::Running { .. }) {
            let _ = inherited::remove(&name);
            return None;
        }
        let cast = match socket {
            Some(socket) => match Line::resume(socket, &name).await {
                Ok(line) => Cast::resume(line, note.recording).await,
                Err(error) => {
                    tracing::warn!(SESSION = %session, "the Output is made anew: {error}");
                    let _ = inherited::remove(&name);
                    None
                }
            },
            None => None,
        };
        let wayland = match &presence {
            Presence::Usable(desk) => self.wayland(desk).await,
            Presence::Locked | Presence::Absent => None,
        };
        let made = Made {
            mode: note.mode.parse().ok()?,
            output: None,
            wayland,
            display: None,
            unit: Some(unit.to_owned()),
            backend: "mutter",
            why: "found in the user's GNOME after a restart of vdisplayd".to_owned(),
        };
        let monitor = note.monitor.filter(|_| cast.is_some());
        Some(Placed { made, cast, monitor, pid: note.pid, gone: None })
    }

    /// Notes what the next vdisplayd has to know of the Output of `session`.
    pub(super) fn write(&self, session: SessionId) {
        let Some(placed) = self.outputs.get(&session) else { return };
        let Some(cast) = &placed.cast else { return };
        let note = Note {
            recording: cast.recording.clone(),
            mode: placed.made.mode.to_string(),
            monitor: placed.monitor,
            pid: placed.pid,
        };
        let text = serde_json::to_string(&note).map_err(io::Error::from);
        if let Err(error) = text.and_then(|text| self.places.write(session, "cast", &text)) {
            tracing::warn!(SESSION = %session, "a restart of vdisplayd will cost this Output: {error}");
        }
    }
}

/// Whether the keeper `unit` keeps an Output in GNOME.
pub async fn is_ours(manager: &UserManager, unit: &str) -> bool {
    let environment = manager.environment_of(unit).await.unwrap_or_default();
    environment.get(keeper::VARIABLE).is_some_and(|desktop| desktop == keeper::GNOME)
}
