//! What the keys of a keymap mean. Sans-IO.

use std::collections::BTreeMap;

use lumen_ipc::input::BY_MEANING;
use xkbcommon::xkb::{self, Context, Keymap, Keysym};

/// The keys that print on a usual keyboard, by evdev code. Text goes by no others, because programs that look at
/// positions as well shall see neither Escape nor a function key.
pub const PRINTING: [std::ops::RangeInclusive<u16>; 4] = [2..=13, 16..=27, 30..=40, 43..=53];

/// `KEY_YEN` and `KEY_RO`, which print on keyboards of Japan and Brazil.
const YEN_AND_RO: [u16; 2] = [124, 89];

/// Where on a keyboard the keys are that a US keyboard has elsewhere. Only those that print: the others are alike everywhere.
#[derive(Debug)]
pub struct Meanings(BTreeMap<u16, u16>);

impl Meanings {
    /// Those of a keyboard with this keymap, in its first layout.
    pub fn of(keymap: &Keymap) -> Self {
        let context = Context::new(xkb::CONTEXT_NO_FLAGS);
        let us = Keymap::new_from_names(&context, "", "", "us", "", None, xkb::KEYMAP_COMPILE_NO_FLAGS);
        let meant = us.iter().flat_map(|us| {
            let places = PRINTING.into_iter().flatten();
            places.filter_map(|place| Some((place, find(keymap, symbol(us, place, 0)?)?)))
        });
        Self(meant.filter(|(place, found)| place != found).collect())
    }

    /// The place of the key with this code.
    pub fn place(&self, code: u16) -> u16 {
        let place = code & !BY_MEANING;
        if code == place { place } else { self.0.get(&place).copied().unwrap_or(place) }
    }
}

/// The first key that types `wanted` by itself. Of digits also one that does so with Shift, as in France, where it is named
/// after it all the same.
fn find(keymap: &Keymap, wanted: Keysym) -> Option<u16> {
    let is_digit = (Keysym::_0.raw()..=Keysym::_9.raw()).contains(&wanted.raw());
    let levels = if is_digit { 2 } else { 1 };
    let keys = |level| {
        let mut places = PRINTING.into_iter().flatten().chain(YEN_AND_RO);
        places.find(|place| symbol(keymap, *place, level) == Some(wanted))
    };
    (0..levels).find_map(keys)
}

/// What a key of the first layout types at a level.
fn symbol(keymap: &Keymap, place: u16, level: u32) -> Option<Keysym> {
    keymap.key_get_syms_by_level(u32::from(place + 8).into(), 0, level).first().copied()
}

/// A keymap from its text.
pub fn compile(context: &Context, text: &str) -> Option<Keymap> {
    let format = xkb::KEYMAP_FORMAT_TEXT_V1;
    Keymap::new_from_string(context, text.to_owned(), format, xkb::KEYMAP_COMPILE_NO_FLAGS)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The keymap of a layout like `de` or `us` with a variant like `dvorak`.
    pub fn keymap(layout: &str, variant: &str) -> Keymap {
        let context = Context::new(xkb::CONTEXT_NO_FLAGS);
        Keymap::new_from_names(&context, "", "", layout, variant, None, xkb::KEYMAP_COMPILE_NO_FLAGS).unwrap()
    }

    /// Sabotage: take the US place whatever the layout is, or look for letters on every level.
    #[test]
    fn key_by_meaning_is_where_the_layout_has_it() {
        let place = |layout: &str, variant: &str, code: u16| {
            Meanings::of(&keymap(layout, variant)).place(code | BY_MEANING)
        };
        let (key_1, key_q, key_y, key_a, key_semicolon) = (2, 16, 21, 30, 39);
        for code in [key_1, key_q, key_semicolon, 28, 42] {
            assert_eq!(place("us", "", code), code);
        }
        assert_eq!((place("de", "", key_y), place("de", "", 44)), (44, key_y), "Y and Z change their places");
        assert_eq!((place("fr", "", key_q), place("fr", "", key_a)), (key_a, key_q));
        assert_eq!(place("fr", "", key_1), key_1, "with Shift");
        assert_eq!(place("us", "dvorak", key_semicolon), 44);
        assert_eq!(place("ru", "", key_q), key_q, "there is no such letter");
        assert_eq!(Meanings::of(&keymap("de", "")).place(key_y), key_y, "a place is a place");
    }
}
