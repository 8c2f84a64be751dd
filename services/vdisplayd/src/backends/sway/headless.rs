//! A sway of our own, without a monitor, as a transient unit of the user's manager.

use std::{io, path::PathBuf, time::Duration};

use lumen_ipc::{Failure, FailureClass, Mode, SessionId};
use tokio::time::{Instant, sleep};

use super::ipc::Ipc;
use crate::{
    places::{Places, find_program, has_render_node},
    sound,
    systemd::{SystemdError, UnitState, UserManager},
    transient::{TransientUnit, Work},
    units,
};

/// Time until a new sway answers, because a cold one on a slow disk was seen to need 2 s.
const START_LIMIT: Duration = Duration::from_secs(6);
/// Between two looks whether it answers.
const LOOK: Duration = Duration::from_millis(5);
/// Looks between two questions to systemd whether it still runs.
const LOOKS_PER_STATE: u32 = 10;
/// Variables by which a compositor would become a window of another one, or which would mislead its children.
const MISLEADING: [&str; 5] = ["WAYLAND_DISPLAY", "WAYLAND_SOCKET", "DISPLAY", "I3SOCK", "XCURSOR_SIZE"];

/// How sway draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Renderer {
    /// sway chooses: the GPU.
    Gpu,
    /// The CPU.
    Pixman,
}

/// A headless sway that answers.
#[derive(Debug)]
pub struct Headless {
    /// Its IPC socket.
    pub socket: PathBuf,
    /// An open connection to it.
    pub ipc: Ipc,
    /// How it draws, for people.
    pub renderer: &'static str,
}

/// Why there is no headless sway.
#[derive(Debug, thiserror::Error)]
pub enum HeadlessError {
    /// sway refuses.
    #[error("sway refuses to run as root")]
    Root,
    /// Not installed.
    #[error("no desktop is running, and sway, which would make one, is not installed")]
    NotInstalled,
    /// The runtime directory is not ours to write.
    #[error("cannot write {}: {source}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The manager did not start it.
    #[error(transparent)]
    Systemd(#[from] SystemdError),
    /// It ended.
    #[error("sway ended {how} right after its start")]
    Ended {
        /// Where to read what it said.
        log: String,
        /// Exit status or signal.
        how: String,
    },
    /// It runs and does not answer.
    #[error("sway runs but did not answer within {} s", START_LIMIT.as_secs())]
    Silent {
        /// Where to read what it said.
        log: String,
    },
}

/// Starts a headless sway for `session` whose only output has `mode`; tries without the GPU if it fails with it.
pub async fn start(
    places: &Places,
    manager: &UserManager,
    session: SessionId,
    mode: Mode,
) -> Result<Headless, HeadlessError> {
    if places.uid == 0 {
        return Err(HeadlessError::Root);
    }
    let environment = manager.environment().await?;
    let path = environment.get("PATH").map_or("/usr/local/bin:/usr/bin:/bin", String::as_str);
    let sway = find_program("sway", path).ok_or(HeadlessError::NotInstalled)?;
    if has_render_node() {
        match start_with(places, manager, session, mode, &sway, Renderer::Gpu).await {
            Ok(headless) => return Ok(headless),
            Err(error) => tracing::warn!(SESSION = %session, "{error} with the GPU: trying without"),
        }
        stop(manager, session).await?;
    }
    start_with(places, manager, session, mode, &sway, Renderer::Pixman).await
}

async fn start_with(
    places: &Places,
    manager: &UserManager,
    session: SessionId,
    mode: Mode,
    sway: &std::path::Path,
    renderer: Renderer,
) -> Result<Headless, HeadlessError> {
    let conf = write(places, session, mode)?;
    let socket = places.file(session, "sock");
    let _ = std::fs::remove_file(&socket); // sway takes the name only if nothing has it
    let mut environment = vec![
        format!("SWAYSOCK={}", socket.display()),
        "WLR_BACKENDS=headless".to_owned(),
        "WLR_LIBINPUT_NO_DEVICES=1".to_owned(),
        "XDG_CURRENT_DESKTOP=sway".to_owned(),
        "XDG_SESSION_TYPE=wayland".to_owned(),
    ];
    // For what is started from within it.
    environment.extend(sound::environment(session));
    if renderer == Renderer::Pixman {
        environment.push("WLR_RENDERER=pixman".to_owned());
    }
    let unit = TransientUnit {
        name: units::output(session),
        description: format!("lumen Output {mode} (headless sway)"),
        // Without --unsupported-gpu sway refuses to start where NVIDIA's kernel module is loaded.
        work: Work::Program(
            [sway.to_string_lossy().as_ref(), "--unsupported-gpu", "--config", &conf.to_string_lossy()]
                .map(str::to_owned)
                .to_vec(),
        ),
        after_stop: vec![sweep_command(places, session)],
        directory: None,
        environment,
        unset: MISLEADING.map(str::to_owned).to_vec(),
        stops_with: vec![units::TARGET.to_owned()],
        after: Vec::new(),
        slice: units::SESSION_SLICE,
    };
    manager.start(&unit).await?;
    let ipc = answer(manager, &unit.name, &socket).await?;
    let renderer = match renderer {
        Renderer::Gpu => "the GPU",
        Renderer::Pixman => "the CPU",
    };
    Ok(Headless { socket, ipc, renderer })
}

/// What a unit runs when it stopped.
pub fn sweep_command(places: &Places, session: SessionId) -> Vec<String> {
    vec![places.program.display().to_string(), "--sweep".to_owned(), session.to_string()]
}

async fn stop(manager: &UserManager, session: SessionId) -> Result<(), SystemdError> {
    let unit = units::output(session);
    manager.stop(&unit).await?;
    manager.gone_within(&unit, Duration::from_secs(2)).await.map(drop)
}

fn write(places: &Places, session: SessionId, mode: Mode) -> Result<PathBuf, HeadlessError> {
    let display = places.file(session, "display");
    let text = config(mode, &display.display().to_string());
    places
        .write(session, "conf", &text)
        .map_err(|source| HeadlessError::Unwritable { path: places.file(session, "conf"), source })
}

/// sway's configuration: one output of the client's mode, one window filling it, nothing else on the screen.
fn config(mode: Mode, display: &str) -> String {
    let hertz = format!("{}.{:03}", mode.refresh_mhz / 1000, mode.refresh_mhz % 1000);
    format!(
        "# Written by lumen-vdisplayd for one session; removed with it.\n\
         output HEADLESS-1 mode --custom {}x{}@{hertz}Hz\n\
         output * scale 1\n\
         default_border none\n\
         default_floating_border none\n\
         focus_on_window_activation focus\n\
         exec printf %s \"$DISPLAY\" > '{display}.new' && mv '{display}.new' '{display}'\n",
        mode.width, mode.height
    )
}

async fn answer(manager: &UserManager, unit: &str, socket: &std::path::Path) -> Result<Ipc, HeadlessError> {
    let deadline = Instant::now() + START_LIMIT;
    for look in 1.. {
        if let Ok(mut ipc) = Ipc::connect(socket).await
            && ipc.outputs().await.is_ok_and(|outputs| !outputs.is_empty())
        {
            return Ok(ipc);
        }
        if look % LOOKS_PER_STATE == 0
            && let UnitState::Ended { how } = manager.state(unit).await?
        {
            return Err(HeadlessError::Ended { log: manager.log_of(unit), how });
        }
        if Instant::now() >= deadline {
            break;
        }
        sleep(LOOK).await;
    }
    Err(HeadlessError::Silent { log: manager.log_of(unit) })
}

impl From<HeadlessError> for Failure {
    fn from(error: HeadlessError) -> Self {
        let advice = match &error {
            HeadlessError::Root => "run lumen as an ordinary user".to_owned(),
            HeadlessError::NotInstalled => "install the package sway, or start your desktop".to_owned(),
            HeadlessError::Unwritable { .. } => {
                "see who owns the runtime directory and whether it is full (df)".to_owned()
            }
            HeadlessError::Systemd(_) => {
                "see `systemctl --user status`; lumen needs the user's service manager".to_owned()
            }
            HeadlessError::Ended { log, .. } | HeadlessError::Silent { log } => {
                format!("see {log} for what sway said")
            }
        };
        Failure::new(FailureClass::Environment, error.to_string(), advice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_has_the_exact_refresh_rate() {
        let text = config(Mode { width: 1920, height: 1080, refresh_mhz: 59_940 }, "/run/x.display");
        assert!(text.contains("output HEADLESS-1 mode --custom 1920x1080@59.940Hz\n"), "{text}");
    }

    #[test]
    fn missing_sway_is_told_with_what_to_do() {
        let failure = Failure::from(HeadlessError::NotInstalled);
        assert_eq!(failure.class, FailureClass::Environment);
        assert_eq!(failure.advice, "install the package sway, or start your desktop");
    }
}
