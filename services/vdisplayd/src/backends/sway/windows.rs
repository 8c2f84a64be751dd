//! Moves the windows of a session's app to the session's Output, because the user's own sway opens them wherever the
//! user is looking.

use std::path::Path;

use tokio::task::JoinHandle;

use super::ipc::{Ipc, IpcError};
use crate::process;

/// Held while the Output lives; dropping it ends the moving.
#[derive(Debug)]
pub struct WindowMover {
    task: JoinHandle<()>,
}

impl WindowMover {
    /// From now on each new window of a process in the unit `unit` goes to the output `output` of the sway at `socket`.
    pub async fn start(socket: &Path, output: &str, unit: &str) -> Result<Self, IpcError> {
        let mut windows = Ipc::connect(socket).await?.windows().await?;
        let mut ipc = Ipc::connect(socket).await?;
        let (output, unit) = (output.to_owned(), format!("/{unit}"));
        let task = tokio::spawn(async move {
            while let Ok(window) = windows.next().await {
                let cgroup = window.pid.and_then(process::cgroup).unwrap_or_default();
                if !cgroup.contains(&unit) {
                    continue;
                }
                let command = format!("[con_id={}] move container to output {output}", window.id);
                if let Err(error) = ipc.run(&command).await {
                    tracing::warn!("a window of the app stays where it is: {error}");
                }
            }
        });
        Ok(Self { task })
    }
}

impl Drop for WindowMover {
    fn drop(&mut self) {
        self.task.abort();
    }
}
