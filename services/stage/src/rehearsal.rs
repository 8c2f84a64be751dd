//! The switch with which a test lets a part of a stage fail each time it is used, so that what follows can be seen: the
//! ladder of backends, the pacing of restarts, the watchdog.
//!
//! `LUMEN_REHEARSE` says `PART crash` or `PART hang`; only a test's drop-in sets it. A part is a rung of a ladder, or
//! [`START`]. Without the switch a part costs one branch. (`cargo xtask kill` has a switch for single deaths at named steps.)

use std::{env, process, sync::LazyLock, thread};

/// The stage before it is READY.
pub const START: &str = "start";

static SWITCH: LazyLock<Option<String>> = LazyLock::new(|| env::var("LUMEN_REHEARSE").ok());

/// What is to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Crash,
    Hang,
}

/// `part` is used now.
pub fn of(part: &str) {
    if let Some(switch) = &*SWITCH {
        meet(fate(switch, part));
    }
}

fn fate(switch: &str, part: &str) -> Option<Fate> {
    match switch.split_once(' ') {
        Some((meant, "crash")) if meant == part => Some(Fate::Crash),
        Some((meant, "hang")) if meant == part => Some(Fate::Hang),
        _ => None,
    }
}

#[cold]
fn meet(fate: Option<Fate>) {
    match fate {
        Some(Fate::Crash) => process::abort(),
        Some(Fate::Hang) => loop {
            thread::park();
        },
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sabotage: take the beginning of a name for the name.
    #[test]
    fn only_the_part_that_is_meant_fails() {
        assert_eq!(fate("openh264 crash", "openh264"), Some(Fate::Crash));
        assert_eq!(fate("start hang", START), Some(Fate::Hang));
        for (switch, part) in [("openh264 crash", "openh264-plain"), ("openh264-plain crash", "openh264")] {
            assert_eq!(fate(switch, part), None);
        }
        assert_eq!((fate("openh264", "openh264"), fate("openh264 sing", "openh264")), (None, None));
    }
}
