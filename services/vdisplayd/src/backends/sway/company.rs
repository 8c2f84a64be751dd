//! What an Output in the user's own desktop needs besides: a desktop that stays awake, and the app's windows.

use std::path::Path;

use lumen_ipc::SessionId;

use super::{connect, idle::IdleInhibitor, ipc::Ipc, windows::WindowMover};
use crate::units;

/// Held while the Output lives.
#[derive(Debug)]
pub struct Company {
    _idle: Option<IdleInhibitor>,
    _windows: Option<WindowMover>,
}

impl Company {
    /// For the output `name` of the sway at `socket`; what cannot be had is added to `why`.
    pub async fn start(
        runtime: &Path,
        session: SessionId,
        name: &str,
        socket: &Path,
        why: &mut String,
    ) -> Self {
        let idle = idle(runtime, socket).await;
        let windows = WindowMover::start(socket, name, &units::app(session)).await;
        if let Err(error) = &idle {
            why.push_str(&format!("; it may blank or lock itself: {error}"));
        }
        if let Err(error) = &windows {
            why.push_str(&format!("; windows of the app open anywhere: {error}"));
        }
        Self { _idle: idle.ok(), _windows: windows.ok() }
    }
}

async fn idle(runtime: &Path, socket: &Path) -> Result<IdleInhibitor, String> {
    let ipc = Ipc::connect(socket).await.map_err(|error| error.to_string())?;
    let (_, fd) = connect(runtime, &ipc).await.map_err(|failure| failure.to_string())?;
    IdleInhibitor::take(fd.into()).await.map_err(|error| error.to_string())
}
