//! Keyboard, pointer and touch screen: from the compositor's events to what they mean.

use std::{
    fs::File,
    os::{fd::OwnedFd, unix::fs::FileExt},
};

use wayland_client::{
    Connection, Dispatch, QueueHandle, WEnum,
    protocol::{
        wl_keyboard::{self, KeyState, WlKeyboard},
        wl_pointer::{self, Axis, ButtonState, WlPointer},
        wl_seat::{self, Capability, WlSeat},
        wl_touch::{self, WlTouch},
    },
};
use xkbcommon::xkb::{self, Context, Keymap, State};

use lumen_see::Thing;

use crate::window::Window;

/// What the keys mean now.
#[derive(Default)]
pub struct Hands {
    state: Option<State>,
    keymaps: u64,
    keyboard: Option<WlKeyboard>,
    pointer: Option<WlPointer>,
    touch: Option<WlTouch>,
    /// Notches told for the axis whose pixels follow.
    notches: i32,
}

impl Hands {
    fn use_keymap(&mut self, fd: OwnedFd, size: u32) -> Option<Thing> {
        let mut bytes = vec![0; size as usize];
        File::from(fd).read_exact_at(&mut bytes, 0).ok()?;
        bytes.truncate(bytes.iter().position(|byte| *byte == 0)?);
        let (text, format) = (String::from_utf8(bytes).ok()?, xkb::KEYMAP_FORMAT_TEXT_V1);
        let context = Context::new(xkb::CONTEXT_NO_FLAGS);
        let keymap = Keymap::new_from_string(&context, text, format, xkb::KEYMAP_COMPILE_NO_FLAGS)?;
        self.state = Some(State::new(&keymap));
        self.keymaps += 1;
        Some(Thing::Keymap(self.keymaps))
    }

    fn key(&self, at_ms: u32, code: u32, pressed: bool) -> Thing {
        let key = xkb::Keycode::new(code + 8);
        let sym = self.state.as_ref().map(|state| xkb::keysym_get_name(state.key_get_one_sym(key)));
        let text = self.state.as_ref().map(|state| state.key_get_utf8(key));
        Thing::Key { at_ms, code, pressed, sym: sym.unwrap_or_default(), text: text.unwrap_or_default() }
    }
}

impl Dispatch<WlSeat, ()> for Window {
    fn event(
        window: &mut Self,
        seat: &WlSeat,
        event: wl_seat::Event,
        _: &(),
        _: &Connection,
        queue: &QueueHandle<Self>,
    ) {
        let wl_seat::Event::Capabilities { capabilities: WEnum::Value(has) } = event else { return };
        let hands = &mut window.hands;
        // Devices of a client come and go, and the capability with the last of a kind.
        match (has.contains(Capability::Keyboard), hands.keyboard.take()) {
            (true, kept) => hands.keyboard = Some(kept.unwrap_or_else(|| seat.get_keyboard(queue, ()))),
            (false, gone) => gone.into_iter().for_each(|keyboard| keyboard.release()),
        }
        match (has.contains(Capability::Pointer), hands.pointer.take()) {
            (true, kept) => hands.pointer = Some(kept.unwrap_or_else(|| seat.get_pointer(queue, ()))),
            (false, gone) => gone.into_iter().for_each(|pointer| pointer.release()),
        }
        match (has.contains(Capability::Touch), hands.touch.take()) {
            (true, kept) => hands.touch = Some(kept.unwrap_or_else(|| seat.get_touch(queue, ()))),
            (false, gone) => gone.into_iter().for_each(|touch| touch.release()),
        }
    }
}

impl Dispatch<WlKeyboard, ()> for Window {
    fn event(
        window: &mut Self,
        _: &WlKeyboard,
        event: wl_keyboard::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let thing = match event {
            wl_keyboard::Event::Keymap { fd, size, .. } => window.hands.use_keymap(fd, size),
            wl_keyboard::Event::Enter { keys, .. } => {
                let codes = keys.as_chunks::<4>().0.iter().map(|code| u32::from_ne_bytes(*code));
                Some(Thing::Enter(codes.collect()))
            }
            wl_keyboard::Event::Leave { .. } => Some(Thing::Leave),
            wl_keyboard::Event::Key { time, key, state, .. } => {
                Some(window.hands.key(time, key, state == WEnum::Value(KeyState::Pressed)))
            }
            wl_keyboard::Event::Modifiers { mods_depressed, mods_latched, mods_locked, group, .. } => {
                window.hands.state.as_mut().map(|state| {
                    state.update_mask(mods_depressed, mods_latched, mods_locked, 0, 0, group);
                    Thing::Modifiers(state.serialize_mods(xkb::STATE_MODS_EFFECTIVE))
                })
            }
            _ => None,
        };
        window.write(thing);
    }
}

impl Dispatch<WlPointer, ()> for Window {
    fn event(
        window: &mut Self,
        _: &WlPointer,
        event: wl_pointer::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let thing = match event {
            wl_pointer::Event::Enter { surface_x: x, surface_y: y, .. }
            | wl_pointer::Event::Motion { surface_x: x, surface_y: y, .. } => Some(Thing::Place { x, y }),
            wl_pointer::Event::Leave { .. } => Some(Thing::PointerLeft),
            wl_pointer::Event::Button { time, button, state, .. } => Some(Thing::Button {
                at_ms: time,
                code: button,
                pressed: state == WEnum::Value(ButtonState::Pressed),
            }),
            wl_pointer::Event::AxisDiscrete { discrete, .. } => {
                window.hands.notches = discrete;
                None
            }
            wl_pointer::Event::Axis { axis, value, .. } => Some(Thing::Scroll {
                is_vertical: axis == WEnum::Value(Axis::VerticalScroll),
                pixels: value,
                notches: std::mem::take(&mut window.hands.notches),
            }),
            _ => None,
        };
        window.write(thing);
    }
}

impl Dispatch<WlTouch, ()> for Window {
    fn event(
        window: &mut Self,
        _: &WlTouch,
        event: wl_touch::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let thing = match event {
            wl_touch::Event::Down { id: finger, x, y, .. } => {
                Some(Thing::Touch { finger, is_down: true, x, y })
            }
            wl_touch::Event::Motion { id: finger, x, y, .. } => {
                Some(Thing::Touch { finger, is_down: false, x, y })
            }
            wl_touch::Event::Up { id, .. } => Some(Thing::Lift(id)),
            wl_touch::Event::Cancel => Some(Thing::TouchCancel),
            _ => None,
        };
        window.write(thing);
    }
}
