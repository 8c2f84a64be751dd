//! One line for each thing that happened: when it was heard, in milliseconds of CLOCK_MONOTONIC, and what it was, in JSON.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use anyhow::Context;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// A thing that happened, and `at_ms` in the compositor's clock where it has one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Thing {
    /// The window is shown in this size; from here on it gets what is done.
    Shown {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// The keyboard is on the window, with these keys down: nothing is typed by them.
    Enter(Vec<u32>),
    /// The keyboard is on the window no more, which has no key down then.
    Leave,
    /// The keyboard means something else from now on; how often that was.
    Keymap(u64),
    /// A key by evdev code: its keysym's name and what it types under the modifiers of the moment.
    Key {
        /// The compositor's clock.
        at_ms: u32,
        /// `KEY_*`.
        code: u32,
        /// Down.
        pressed: bool,
        /// XKB's name of what the key means.
        sym: String,
        /// What it types, also when it goes up.
        text: String,
    },
    /// The modifiers that are in force, as XKB's mask.
    Modifiers(u32),
    /// A button by evdev code.
    Button {
        /// The compositor's clock.
        at_ms: u32,
        /// `BTN_*`.
        code: u32,
        /// Down.
        pressed: bool,
    },
    /// The pointer is here, in pixels from the window's left and top edge.
    Place {
        /// To the right.
        x: f64,
        /// Down.
        y: f64,
    },
    /// The pointer left the window.
    PointerLeft,
    /// A finger came down or moved, in pixels from the window's left and top edge.
    Touch {
        /// The compositor's number of it.
        finger: i32,
        /// It came down; else it moved.
        is_down: bool,
        /// To the right.
        x: f64,
        /// Down.
        y: f64,
    },
    /// The finger of this number went up.
    Lift(i32),
    /// No finger that is down was a touch after all.
    TouchCancel,
    /// Scrolling in pixels, and in notches where a wheel turned.
    Scroll {
        /// Down and up, or else to the sides.
        is_vertical: bool,
        /// Down or to the right.
        pixels: f64,
        /// Likewise.
        notches: i32,
    },
}

/// Where the lines go.
pub struct Journal(Box<dyn Write>);

impl Journal {
    /// Appends to `file`, or writes to the standard output.
    pub fn open(file: Option<&Path>) -> anyhow::Result<Self> {
        Ok(Self(match file {
            None => Box::new(io::stdout()),
            Some(path) => {
                let opened = File::options().create(true).append(true).open(path);
                Box::new(opened.with_context(|| format!("cannot write {}", path.display()))?)
            }
        }))
    }

    /// Writes a line at once, because whoever reads along decides by it.
    pub fn write(&mut self, thing: &Thing) -> anyhow::Result<()> {
        let now = clock_gettime(ClockId::Monotonic);
        let line =
            format!("{} {}\n", now.tv_sec * 1000 + now.tv_nsec / 1_000_000, serde_json::to_string(thing)?);
        self.0.write_all(line.as_bytes()).and_then(|()| self.0.flush()).context("cannot write what happened")
    }
}
