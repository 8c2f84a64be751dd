//! What captured needs of its machine.

use lumen_stage::Need;

use crate::{backends::pipewire, config::Config};

/// Looks at this machine: the compositor's protocols are seen when a session begins, and `lumenctl status` names them.
pub fn needs(_: &Config) -> Vec<Need> {
    vec![match pipewire::check_library() {
        Ok(()) => Need::met("libpipewire", "there, with its modules"),
        Err(error) => Need::worse(
            "libpipewire",
            format!("{error}; no sound, and no desktop of GNOME"),
            "sudo apt-get install --yes --no-install-recommends libpipewire-0.3-modules libspa-0.2-modules",
        ),
    }]
}
