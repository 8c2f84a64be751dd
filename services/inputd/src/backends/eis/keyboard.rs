//! The keyboard: keys by place, and by the keymap that EIS gives with the device.

use std::{fs::File, os::unix::fs::FileExt};

use reis::{
    ei::{self, keyboard::KeyState},
    event::{Device, KeyboardModifiers},
};
use xkbcommon::xkb::{self, Context, KeyDirection, Keymap, LayoutIndex, ModMask, State};

use super::{EisError, text::Typist, wire::Wire};
use crate::{
    backends::{
        down::Down,
        keymap::{Meanings, compile},
    },
    counts::Refused,
};

/// Longest keymap that is read. Because that of a whole keyboard has some 70 KiB.
const MAX_KEYMAP: u32 = 1 << 20;

/// The compositor's keyboard for us.
pub(super) struct Keyboard {
    device: Device,
    keys: ei::Keyboard,
    keymap: Keymap,
    /// What our own keys made of it.
    state: State,
    /// Locked modifiers and the active layout, as the compositor tells them. Mutter 48 does not.
    told: Option<(ModMask, LayoutIndex)>,
    meanings: Meanings,
    down: Down,
}

impl Keyboard {
    /// # Errors
    /// The device's keymap cannot be read.
    pub(super) fn new(device: &Device, keys: ei::Keyboard) -> Result<Self, EisError> {
        let keymap = read(device).ok_or(EisError::NoKeymap)?;
        let (state, meanings) = (State::new(&keymap), Meanings::of(&keymap));
        Ok(Self { device: device.clone(), keys, keymap, state, told: None, meanings, down: Down::default() })
    }

    pub(super) fn is(&self, device: &Device) -> bool {
        self.device == *device
    }

    pub(super) fn hear(&mut self, modifiers: &KeyboardModifiers) {
        self.told = Some((modifiers.locked, modifiers.group));
    }

    /// A key by its code goes down or up.
    pub(super) fn key(&mut self, code: u16, pressed: bool, wire: &Wire) {
        let place = match pressed {
            true => self.down.press(code, self.meanings.place(code)),
            false => self.down.release(code),
        };
        if let Some(place) = place {
            self.stroke(place, pressed, wire);
        }
    }

    /// Types what of `text` is on the keymap. What is held stays so.
    pub(super) fn text(&mut self, text: &str, wire: &Wire) -> Option<Refused> {
        let locked = self.state.serialize_mods(xkb::STATE_MODS_LOCKED);
        let (locked, layout) =
            self.told.unwrap_or((locked, self.state.serialize_layout(xkb::STATE_LAYOUT_EFFECTIVE)));
        let typist = Typist::of(&self.keymap, locked, layout);
        let (moves, refused) = typist.plan(text, &self.down.places());
        for (place, pressed) in moves {
            self.stroke(place, pressed, wire);
        }
        (refused > 0).then_some(Refused::Characters(refused))
    }

    fn stroke(&mut self, place: u16, pressed: bool, wire: &Wire) {
        let (state, direction) = match pressed {
            true => (KeyState::Press, KeyDirection::Down),
            false => (KeyState::Released, KeyDirection::Up),
        };
        self.keys.key(place.into(), state);
        wire.frame(&self.device);
        self.state.update_key(u32::from(place + 8).into(), direction);
    }
}

/// The keymap that `device` came with.
fn read(device: &Device) -> Option<Keymap> {
    let given = device.keymap()?;
    let mut bytes = vec![0; given.size.min(MAX_KEYMAP) as usize];
    // At a place, because the offset is shared with every other reader.
    File::from(given.fd.try_clone().ok()?).read_exact_at(&mut bytes, 0).ok()?;
    // Mutter counts the zero at the end in some versions and leaves it out in others.
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    compile(&Context::new(xkb::CONTEXT_NO_FLAGS), &String::from_utf8(bytes).ok()?)
}
