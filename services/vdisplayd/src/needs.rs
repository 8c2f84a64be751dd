//! What vdisplayd needs of its machine: the user's manager, a desktop or sway for one of its own, and PipeWire for GNOME and for sound.

use std::os::unix::net::UnixStream;

use lumen_stage::Need;

use crate::{
    backends::{
        mutter::{
            desk::{self, Presence},
            line::session_bus,
        },
        sway::desktop,
    },
    config::{Choice, Config},
    places::{Places, find_program},
    systemd::UserManager,
};

/// Where programs are looked for if the user's manager does not say.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Looks at this machine.
pub fn needs(config: &Config) -> Vec<Need> {
    let places = match Places::find() {
        Ok(places) => places,
        Err(error) => {
            return vec![Need::missing(
                "user manager",
                error.to_string(),
                "systemctl --user start lumen.target",
            )];
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else {
        let mend = "end programs of this user that have many files open";
        return vec![Need::missing("event loop", "the kernel gives no descriptor for one", mend)];
    };
    runtime.block_on(look(config, &places))
}

async fn look(config: &Config, places: &Places) -> Vec<Need> {
    let manager = UserManager::new(places.runtime.clone());
    let mut needs = Vec::new();
    let path = match manager.environment().await {
        Ok(mut environment) => {
            needs.push(Need::met("user manager", "answers; apps and desktops are started by it"));
            environment.remove("PATH").unwrap_or_else(|| PATH.to_owned())
        }
        Err(error) => {
            let mend = format!("loginctl enable-linger {}", places.uid);
            needs.push(Need::missing("user manager", error.to_string(), mend));
            PATH.to_owned()
        }
    };
    if config.backend == Choice::Pattern {
        needs.push(Need::met("desktop", "none is needed: vdisplayd.toml asks for a test picture"));
        return needs;
    }
    let gnome = match config.backend {
        Choice::Auto => desk::look(&session_bus(&places.runtime)).await,
        _ => Presence::Absent,
    };
    let is_gnome = matches!(gnome, Presence::Usable(_));
    needs.push(if is_gnome {
        Need::met("desktop", "GNOME runs; each session gets a monitor in it")
    } else {
        desktop(config, places, &manager, &path).await
    });
    needs.push(pipewire(places, is_gnome));
    needs
}

/// A sway that runs, or what a headless one needs.
async fn desktop(config: &Config, places: &Places, manager: &UserManager, path: &str) -> Need {
    if config.backend == Choice::Auto
        && let Some(found) = desktop::search(&places.runtime, places.uid, manager).await.desktop
    {
        return Need::met(
            "desktop",
            format!("sway runs (process {}); each session gets an output in it", found.pid),
        );
    }
    match find_program("sway", path) {
        Some(sway) => {
            Need::met("desktop", format!("none that can be used; {} makes one a session", sway.display()))
        }
        None => Need::missing(
            "desktop",
            "no GNOME and no sway that runs unlocked, and sway, which would make a desktop, is not installed",
            "sudo apt-get install --yes --no-install-recommends sway",
        ),
    }
}

/// GNOME's pictures come through it, and all sound.
fn pipewire(places: &Places, is_gnome: bool) -> Need {
    const MEND: &str = "systemctl --user start pipewire.socket wireplumber.service \
                        || sudo apt-get install --yes pipewire wireplumber libpipewire-0.3-modules";
    match UnixStream::connect(places.runtime.join("pipewire-0")) {
        Ok(_) => Need::met("PipeWire", "answers"),
        Err(_) if is_gnome => {
            Need::missing("PipeWire", "it does not run, and GNOME's pictures come through it", MEND)
        }
        Err(_) => Need::worse("PipeWire", "it does not run: no sound, and no desktop of GNOME", MEND),
    }
}
