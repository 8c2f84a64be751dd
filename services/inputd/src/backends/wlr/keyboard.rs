//! The keyboard, with the state that the protocol leaves to its client: which modifiers the keys make.

use std::os::fd::AsFd;

use wayland_client::protocol::wl_keyboard::KeymapFormat;
use wayland_protocols_misc::zwp_virtual_keyboard_v1::client::zwp_virtual_keyboard_v1::ZwpVirtualKeyboardV1;
use xkbcommon::xkb::{self, KeyDirection, Keymap, State};

use super::{WlrError, keymap::file, now_ms, text::Run};
use crate::{
    backends::{down::Down, keymap::Meanings},
    counts::Refused,
};

/// Modifiers that are depressed, latched and locked, and the layout.
type Modifiers = (u32, u32, u32, u32);

/// A virtual keyboard.
pub(super) struct Keyboard {
    device: ZwpVirtualKeyboardV1,
    keymap: String,
    state: State,
    modifiers: Modifiers,
    meanings: Meanings,
    down: Down,
}

impl Keyboard {
    pub(super) fn new(device: ZwpVirtualKeyboardV1, keymap: &Keymap) -> Result<Self, WlrError> {
        let (text, state) = (keymap.get_as_string(xkb::KEYMAP_FORMAT_TEXT_V1), State::new(keymap));
        let (modifiers, meanings) = ((0, 0, 0, 0), Meanings::of(keymap));
        let keyboard = Self { device, keymap: text, state, modifiers, meanings, down: Down::default() };
        keyboard.upload(&keyboard.keymap)?;
        Ok(keyboard)
    }

    /// A key by its code goes down or up.
    pub(super) fn key(&mut self, code: u16, pressed: bool) {
        let place = match pressed {
            true => self.down.press(code, self.meanings.place(code)),
            false => self.down.release(code),
        };
        if let Some(place) = place {
            self.stroke(place, pressed);
        }
    }

    fn stroke(&mut self, place: u16, pressed: bool) {
        let direction = if pressed { KeyDirection::Down } else { KeyDirection::Up };
        self.device.key(now_ms(), place.into(), pressed.into());
        self.state.update_key(u32::from(place + 8).into(), direction);
        let modifiers = (
            self.state.serialize_mods(xkb::STATE_MODS_DEPRESSED),
            self.state.serialize_mods(xkb::STATE_MODS_LATCHED),
            self.state.serialize_mods(xkb::STATE_MODS_LOCKED),
            self.state.serialize_layout(xkb::STATE_LAYOUT_EFFECTIVE),
        );
        if std::mem::replace(&mut self.modifiers, modifiers) != modifiers {
            self.tell(modifiers);
        }
    }

    /// Types text by keymaps of its own and puts the keyboard's back.
    ///
    /// # Errors
    /// No memory for a keymap; the text may be typed in part.
    pub(super) fn text(&mut self, text: &str) -> Result<Option<Refused>, WlrError> {
        let (mut rest, mut refused) = (text, 0);
        while !rest.is_empty() {
            let (run, left, left_out) = Run::cut(rest, |place| self.down.has(place));
            (rest, refused) = (left, refused + left_out);
            if run.strokes().is_empty() {
                continue;
            }
            self.upload(&run.keymap())?;
            self.tell((0, 0, 0, 0));
            for code in run.strokes() {
                self.device.key(now_ms(), (*code).into(), 1);
                self.device.key(now_ms(), (*code).into(), 0);
            }
        }
        self.upload(&self.keymap)?;
        // The compositor derives them from the keys that are down and then tells nobody, unless they change.
        self.tell((0, 0, 0, 0));
        self.tell(self.modifiers);
        Ok((refused > 0).then_some(Refused::Characters(refused)))
    }

    fn upload(&self, keymap: &str) -> Result<(), WlrError> {
        let (file, size) = file(keymap)?;
        self.device.keymap(KeymapFormat::XkbV1.into(), file.as_fd(), size);
        Ok(())
    }

    fn tell(&self, (depressed, latched, locked, layout): Modifiers) {
        self.device.modifiers(depressed, latched, locked, layout);
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        self.device.destroy();
    }
}
