//! One output of a sway: made, given its mode, taken away.
//!
//! sway ≥ 1.8 takes an output away again (`unplug`). sway 1.7 cannot, not even disable one ("Failed to commit output"),
//! so nothing is made in the desktop of such a sway.

use std::time::Duration;

use lumen_ipc::Mode;
use swayipc_types::Output;
use tokio::time::{Instant, sleep};

use super::ipc::{Ipc, IpcError};

/// Time until a change is visible in get_outputs, because sway makes it in its next event cycle.
const CHANGE_LIMIT: Duration = Duration::from_secs(1);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(2);
/// Names of outputs that belong to sway's headless backend.
const HEADLESS: &str = "HEADLESS-";

/// Why an output is not as wished.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The conversation failed.
    #[error(transparent)]
    Ipc(#[from] IpcError),
    /// create_output said yes and nothing came.
    #[error("sway made no new output within {} ms", CHANGE_LIMIT.as_millis())]
    NothingNew,
    /// unplug said yes and it is still there.
    #[error("sway did not take the output {name} away within {} ms", CHANGE_LIMIT.as_millis())]
    Stays {
        /// The output.
        name: String,
    },
    /// This sway's outputs are windows or monitors whose size is not ours to set.
    #[error("the output {name} cannot show {asked}: sway set {got}")]
    Mode {
        /// The output.
        name: String,
        /// What was to be shown.
        asked: Mode,
        /// What get_outputs says.
        got: String,
    },
}

/// Whether this sway can take outputs away again; asked of sway itself because its descendants count versions anew.
pub async fn can_remove(ipc: &mut Ipc) -> Result<bool, IpcError> {
    match ipc.run("output LUMEN-NONE unplug").await {
        Ok(()) => Ok(true),
        // "Invalid output subcommand" from 1.7, "Cannot unplug unknown output" from 1.8.
        Err(IpcError::Refused { message, .. }) => Ok(!message.contains("subcommand")),
        Err(other) => Err(other),
    }
}

/// Makes an output and returns its name.
pub async fn create(ipc: &mut Ipc) -> Result<String, OutputError> {
    let before = ipc.outputs().await?;
    ipc.run("create_output").await?;
    let deadline = Instant::now() + CHANGE_LIMIT;
    while Instant::now() < deadline {
        if let Some(name) = appeared(&before, &ipc.outputs().await?) {
            return Ok(name);
        }
        sleep(LOOK).await;
    }
    Err(OutputError::NothingNew)
}

/// Gives the output `name` exactly `mode` and waits until it has it.
pub async fn set_mode(ipc: &mut Ipc, name: &str, mode: Mode) -> Result<(), OutputError> {
    let hertz = format!("{}.{:03}", mode.refresh_mhz / 1000, mode.refresh_mhz % 1000);
    let command = format!("output {name} mode --custom {}x{}@{hertz}Hz", mode.width, mode.height);
    ipc.run(&format!("{command}; output {name} scale 1")).await?;
    let deadline = Instant::now() + CHANGE_LIMIT;
    loop {
        let got = mode_of(&ipc.outputs().await?, name);
        if got == Some(mode) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let got = got.map_or_else(|| "nothing".to_owned(), |got| got.to_string());
            return Err(OutputError::Mode { name: name.to_owned(), asked: mode, got });
        }
        sleep(LOOK).await;
    }
}

/// Takes the output `name` away and waits until it is; one that is not there is fine.
pub async fn remove(ipc: &mut Ipc, name: &str) -> Result<(), OutputError> {
    if !ipc.outputs().await?.iter().any(|output| output.name == name) {
        return Ok(());
    }
    ipc.run(&format!("output {name} unplug")).await?;
    let deadline = Instant::now() + CHANGE_LIMIT;
    while ipc.outputs().await?.iter().any(|output| output.name == name) {
        if Instant::now() >= deadline {
            return Err(OutputError::Stays { name: name.to_owned() });
        }
        sleep(LOOK).await;
    }
    Ok(())
}

/// Takes every headless output away whose name is not in `keep`.
pub async fn remove_others(ipc: &mut Ipc, keep: &[String]) -> Result<(), OutputError> {
    for output in ipc.outputs().await? {
        if output.name.starts_with(HEADLESS) && !keep.contains(&output.name) {
            remove(ipc, &output.name).await?;
        }
    }
    Ok(())
}

/// Mode of the output `name`, if it is on.
pub fn mode_of(outputs: &[Output], name: &str) -> Option<Mode> {
    let output = outputs.iter().find(|output| output.name == name && output.active)?;
    let mode = output.current_mode?;
    Some(Mode {
        width: mode.width.try_into().ok()?,
        height: mode.height.try_into().ok()?,
        refresh_mhz: mode.refresh.try_into().ok()?,
    })
}

/// Name of an output in `after` that is not in `before`.
fn appeared(before: &[Output], after: &[Output]) -> Option<String> {
    let known = |name: &str| before.iter().any(|output| output.name == name);
    after.iter().find(|output| !known(&output.name)).map(|output| output.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(name: &str, active: bool) -> Output {
        let mode = r#"{"width":1280,"height":720,"refresh":59940}"#;
        let json = format!(
            r#"{{"name":"{name}","make":"headless","model":"headless","serial":"","primary":false,
                "active":{active},"current_mode":{mode}}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn new_output_is_the_one_that_was_not_there_before() {
        let before = [output("DP-1", true), output("HEADLESS-2", true)];
        let after = [output("DP-1", true), output("HEADLESS-2", true), output("HEADLESS-10", true)];
        assert_eq!(appeared(&before, &after).as_deref(), Some("HEADLESS-10"));
        assert_eq!(appeared(&before, &before), None);
    }

    #[test]
    fn mode_is_exact_to_a_thousandth_of_a_hertz() {
        let mode = mode_of(&[output("HEADLESS-2", true)], "HEADLESS-2").unwrap();
        assert_eq!(mode, Mode { width: 1280, height: 720, refresh_mhz: 59_940 });
        assert_eq!(mode_of(&[output("HEADLESS-2", false)], "HEADLESS-2"), None);
        assert_eq!(mode_of(&[output("HEADLESS-2", true)], "HEADLESS-1"), None);
    }
}
