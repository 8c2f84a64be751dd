//! The backend *wlr*: zwp_virtual_keyboard_v1 and zwlr_virtual_pointer_v1 of wlroots' compositors.
//!
//! The connection is a fresh one that vdisplayd opened; what it made dies with it. wlroots then lets go of every key by
//! itself, but not of the buttons (seen with sway 1.7): a pointer that comes after one that was killed lets go of them first.

mod compositor;
mod keyboard;
mod keymap;
mod pointer;
mod text;

use std::os::{fd::BorrowedFd, unix::net::UnixStream};

use lumen_ipc::{Failure, FailureClass, input::BY_MEANING};

use self::{compositor::Compositor, keyboard::Keyboard, pointer::Pointer};
use super::Backend;
use crate::{config::Layout, counts::Refused, event::Event, fingers::Touch};

/// Keys that XKB has: its keycodes end at 255 and begin 8 above evdev's.
const KEYS: std::ops::RangeInclusive<u16> = 1..=247;

/// `BTN_LEFT` to `BTN_TASK`.
const BUTTONS: std::ops::RangeInclusive<u16> = 0x110..=0x117;

/// Why nothing can be typed.
#[derive(Debug, thiserror::Error)]
pub enum WlrError {
    /// The compositor lacks a protocol.
    #[error("the compositor does not offer {missing}")]
    NoProtocol {
        /// The interface.
        missing: &'static str,
    },
    /// The Output is not among its outputs.
    #[error("the compositor has no output {name} (it has: {known})")]
    NoOutput {
        /// Ours.
        name: String,
        /// All there are.
        known: String,
    },
    /// It did not answer.
    #[error("the compositor did not answer within {ms} ms")]
    Silent {
        /// Milliseconds.
        ms: u128,
    },
    /// The connection is at its end.
    #[error("the compositor is gone: {0}")]
    Lost(String),
    /// The Output is no more.
    #[error("the Output is gone")]
    OutputGone,
    /// XKB has no such keyboard.
    #[error("XKB does not know the keyboard layout {layout}")]
    NoKeymap {
        /// As in inputd.toml.
        layout: String,
    },
    /// The kernel gave no memory for a keymap.
    #[error("a keymap cannot be handed over: {0}")]
    Memory(String),
}

impl From<WlrError> for Failure {
    fn from(error: WlrError) -> Self {
        let (class, advice) = match &error {
            WlrError::NoProtocol { .. } => (
                FailureClass::Environment,
                "use a compositor of wlroots (sway, labwc, Wayfire), or set backend = \"sway-headless\" in vdisplayd.toml",
            ),
            WlrError::NoKeymap { .. } => (
                FailureClass::Environment,
                "correct layout in inputd.toml (`localectl list-x11-keymap-layouts`), or install xkb-data",
            ),
            WlrError::NoOutput { .. }
            | WlrError::Silent { .. }
            | WlrError::Lost(_)
            | WlrError::OutputGone => (FailureClass::Temporary, "it is asked for again"),
            WlrError::Memory(_) => (FailureClass::Temporary, "see whether the machine has memory left"),
        };
        Self::new(class, format!("cannot type: {error}"), advice)
    }
}

/// One session's devices in one compositor.
pub struct Wlr {
    compositor: Compositor,
    keyboard: Keyboard,
    pointer: Pointer,
    why: String,
}

impl Wlr {
    /// Makes a keyboard and a pointer for the output called `output` of the compositor behind `socket`. Waits for its
    /// answers, 0.7 s each at most.
    ///
    /// # Errors
    /// Why nothing can be typed there.
    pub fn open(socket: UnixStream, output: &str, desktop: &str, layout: &Layout) -> Result<Self, WlrError> {
        let mut compositor = Compositor::find(socket, output)?;
        let (keymap, origin) = keymap::choose(compositor.keymap(), layout)?;
        let keyboard = Keyboard::new(compositor.make_keyboard(), &keymap)?;
        let pointer = Pointer::new(compositor.make_pointer());
        compositor.settle()?;
        let why = format!(
            "{desktop} takes virtual-keyboard-v1 and wlr-virtual-pointer on {output}; layout: {origin}; no \
             touch: it has no protocol for that"
        );
        Ok(Self { compositor, keyboard, pointer, why })
    }

    /// Lets go of all buttons, whoever pressed them: those of a pointer that died are down for ever else, and every motion
    /// goes to the window that they were pressed on.
    pub fn let_go(&mut self) {
        BUTTONS.for_each(|code| self.pointer.button(code, false));
    }
}

impl Backend for Wlr {
    fn name(&self) -> &'static str {
        "wlr"
    }

    fn why(&self) -> String {
        self.why.clone()
    }

    fn play(&mut self, event: &Event) -> Result<Option<Refused>, Failure> {
        let refused = match event {
            Event::Press(code) | Event::Release(code) => {
                let pressed = matches!(event, Event::Press(_));
                match code {
                    code if KEYS.contains(&(code & !BY_MEANING)) => self.keyboard.key(*code, pressed),
                    code if BUTTONS.contains(code) => self.pointer.button(*code, pressed),
                    _ => return Ok(Some(Refused::Code)),
                }
                None
            }
            Event::Motion { dx, dy } => {
                self.pointer.motion(*dx, *dy);
                None
            }
            Event::Position { x, y } => {
                self.pointer.position(*x, *y);
                None
            }
            Event::Scroll { dx, dy } => {
                self.pointer.scroll(*dx, *dy);
                None
            }
            Event::Text(text) => self.keyboard.text(text)?,
            Event::Touch(Touch::Down(_)) => Some(Refused::Finger),
            Event::Touch(_) => None,
        };
        Ok(refused)
    }

    fn failure(&self) -> Option<Failure> {
        None
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.compositor.descriptor())
    }

    fn dispatch(&mut self) -> Result<(), Failure> {
        Ok(self.compositor.dispatch()?)
    }
}

/// Milliseconds of the compositor's clock, which wraps.
fn now_ms() -> u32 {
    (lumen_stage::clock::now_ns() / 1_000_000) as u32
}
