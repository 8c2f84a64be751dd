//! What `lumenctl status --json` says, and what the compositors behind it show.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::constellation::{Constellation, STAGES, text};

/// One look at a constellation.
pub struct Overview(Value);

impl Overview {
    /// Looks now.
    pub fn of(host: &Constellation) -> Result<Self> {
        let output = host.lumenctl("status", &["--json"])?;
        serde_json::from_slice(&output.stdout).map(Self).with_context(|| text(&output))
    }

    /// What a stage says of itself.
    pub fn stage(&self, name: &str) -> Result<&Value> {
        let stages = self.0.get("stages").and_then(Value::as_array).context("no stages")?;
        let line = stages.iter().find(|line| line["stage"] == name);
        line.map(|line| &line["status"]).with_context(|| format!("no {name} in {:#}", self.0))
    }

    /// What a stage says of the one session that it has.
    pub fn session_of(&self, stage: &str) -> Result<&Value> {
        let said = self.stage(stage)?;
        let sessions = said["sessions"].as_array().with_context(|| format!("no sessions in {said:#}"))?;
        ensure!(sessions.len() == 1, "{} sessions of {stage}: {said:#}", sessions.len());
        sessions.first().context("no session")
    }

    /// transportd's sessions.
    pub fn sessions(&self) -> &[Value] {
        self.0.get("sessions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }
}

/// A counter of what a stage says.
pub fn count(said: &Value, key: &str) -> Result<u64> {
    said[key].as_u64().with_context(|| format!("no number {key} in {said:#}"))
}

/// Process ids of all stages.
pub fn pids(host: &Constellation) -> Result<BTreeMap<&'static str, u32>> {
    STAGES.into_iter().map(|stage| Ok((stage, host.pid(stage)?))).collect()
}

/// Where the headless sways of the Outputs are spoken to.
pub fn sway_sockets(host: &Constellation) -> Vec<PathBuf> {
    let folder = fs::read_dir(host.runtime_dir().join("lumen-outputs"));
    let paths = folder.into_iter().flatten().flatten().map(|entry| entry.path());
    let mut sockets: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|ext| ext == "sock")).collect();
    sockets.sort();
    sockets
}

/// The mode that the one headless sway shows, as sway itself says: pixels, pixels, mHz.
pub fn sway_mode(host: &Constellation) -> Result<(u64, u64, u64)> {
    let sockets = sway_sockets(host);
    ensure!(sockets.len() == 1, "{} headless sways: {sockets:?}", sockets.len());
    let socket = sockets.first().context("no sway")?.to_string_lossy().into_owned();
    let output = host.as_user(&["swaymsg", "--raw", "--socket", &socket, "--type", "get_outputs"])?;
    let outputs: Value = serde_json::from_slice(&output.stdout).with_context(|| text(&output))?;
    let mode = outputs.pointer("/0/current_mode").with_context(|| format!("no mode in {outputs:#}"))?;
    Ok((count(mode, "width")?, count(mode, "height")?, count(mode, "refresh")?))
}
