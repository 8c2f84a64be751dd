//! What inputd needs of its machine.

use lumen_stage::Need;
use xkbcommon::xkb;

use crate::config::{Choice, Config};

/// Makes the keymap of the configured layout. Whether a desktop takes input is seen when a session begins: `lumenctl status`.
pub fn needs(config: &Config) -> Vec<Need> {
    if config.backend == Choice::Log {
        return vec![Need::worse(
            "keyboard",
            "inputd.toml has every key counted and none typed",
            "set backend = \"auto\" there",
        )];
    }
    let layout = &config.layout;
    let context = xkb::Context::new(xkb::CONTEXT_NO_FLAGS);
    let flags = xkb::KEYMAP_COMPILE_NO_FLAGS;
    let made = xkb::Keymap::new_from_names(&context, "", "", &layout.name, &layout.variant, None, flags);
    vec![match made {
        Some(_) => {
            Need::met("keyboard", format!("layout {layout}, where a desktop has no keyboard of its own"))
        }
        None => Need::worse(
            "keyboard",
            format!(
                "there is no layout {layout} on this machine; nothing could be typed where a desktop has no keyboard of its own"
            ),
            "set another `layout` in inputd.toml, or: sudo apt-get install --yes xkb-data",
        ),
    }]
}
