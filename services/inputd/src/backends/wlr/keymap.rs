//! Keymaps: whose our keyboard has, and how one is handed over.

use std::{collections::BTreeMap, io::Write};

use lumen_ipc::input::BY_MEANING;
use xkbcommon::xkb::{self, Context, Keymap, Keysym};

use super::{WlrError, text};
use crate::config::Layout;

/// `KEY_YEN` and `KEY_RO`, which print on keyboards of Japan and Brazil.
const YEN_AND_RO: [u16; 2] = [124, 89];

/// The keymap of our keyboard, and where it comes from for people: the compositor's own keyboard, so that a key means what
/// it means at the machine, else the configured layout.
pub(super) fn choose(own: Option<&str>, layout: &Layout) -> Result<(Keymap, String), WlrError> {
    let context = Context::new(xkb::CONTEXT_NO_FLAGS);
    // Another session's text may be in the making.
    if let Some(text) = own.filter(|own| !own.contains(text::MARK))
        && let Some(keymap) = compile(&context, text)
    {
        return Ok((keymap, "that of the desktop's own keyboard".to_owned()));
    }
    let Layout { name, variant } = layout;
    let keymap = Keymap::new_from_names(&context, "", "", name, variant, None, xkb::KEYMAP_COMPILE_NO_FLAGS);
    let keymap = keymap.ok_or_else(|| WlrError::NoKeymap { layout: layout.to_string() })?;
    Ok((keymap, format!("{layout}, as inputd.toml says or by default")))
}

/// Where on a keyboard the keys are that a US keyboard has elsewhere. Only those that print: the others are alike everywhere.
pub(super) struct Meanings(BTreeMap<u16, u16>);

impl Meanings {
    pub(super) fn of(keymap: &Keymap) -> Self {
        let context = Context::new(xkb::CONTEXT_NO_FLAGS);
        let us = Keymap::new_from_names(&context, "", "", "us", "", None, xkb::KEYMAP_COMPILE_NO_FLAGS);
        let meant = us.iter().flat_map(|us| {
            let places = text::PRINTING.into_iter().flatten();
            places.filter_map(|place| Some((place, find(keymap, symbol(us, place, 0)?)?)))
        });
        Self(meant.filter(|(place, found)| place != found).collect())
    }

    /// The place of the key with this code.
    pub(super) fn place(&self, code: u16) -> u16 {
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
        let mut places = text::PRINTING.into_iter().flatten().chain(YEN_AND_RO);
        places.find(|place| symbol(keymap, *place, level) == Some(wanted))
    };
    (0..levels).find_map(keys)
}

/// What a key of the first layout types at a level.
fn symbol(keymap: &Keymap, place: u16, level: u32) -> Option<Keysym> {
    keymap.key_get_syms_by_level(u32::from(place + 8).into(), 0, level).first().copied()
}

/// A keymap from its text.
pub(super) fn compile(context: &Context, text: &str) -> Option<Keymap> {
    let format = xkb::KEYMAP_FORMAT_TEXT_V1;
    Keymap::new_from_string(context, text.to_owned(), format, xkb::KEYMAP_COMPILE_NO_FLAGS)
}

/// A file with the text and a zero at its end, and how many bytes that is.
pub(super) fn file(text: &str) -> Result<(std::fs::File, u32), WlrError> {
    let told = |error: &dyn std::fmt::Display| WlrError::Memory(error.to_string());
    let memory = memfd::MemfdOptions::default().close_on_exec(true).create("lumen-keymap");
    let mut file = memory.map_err(|error| told(&error))?.into_file();
    file.write_all(text.as_bytes()).and_then(|()| file.write_all(&[0])).map_err(|error| told(&error))?;
    let size = u32::try_from(text.len() + 1).map_err(|error| told(&error))?;
    Ok((file, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us() -> Layout {
        Layout::try_from("us".to_owned()).unwrap()
    }

    fn symbol(keymap: &Keymap, code: u32) -> String {
        xkb::State::new(keymap).key_get_utf8((code + 8).into())
    }

    /// Sabotage: take the configured layout always, or whatever keymap the compositor has.
    #[test]
    fn desktops_own_keymap_goes_before_the_configured_one_but_never_a_text() {
        let context = Context::new(xkb::CONTEXT_NO_FLAGS);
        let german = Layout::try_from("de".to_owned()).unwrap();
        let (german, _) = choose(None, &german).unwrap();
        let own = german.get_as_string(xkb::KEYMAP_FORMAT_TEXT_V1);
        let (chosen, _) = choose(Some(&own), &us()).unwrap();
        assert_eq!(symbol(&chosen, 21), "z", "KEY_Y on a German keyboard");
        let run = text::Run::cut("ß", |_| false).0;
        assert!(compile(&context, &run.keymap()).is_some());
        let (chosen, _) = choose(Some(&run.keymap()), &us()).unwrap();
        assert_eq!(symbol(&chosen, 21), "y");
        let unknown = Layout::try_from("nowhere".to_owned()).unwrap();
        assert!(matches!(choose(None, &unknown), Err(WlrError::NoKeymap { .. })));
    }

    /// Sabotage: take the US place whatever the layout is, or look for letters on every level.
    #[test]
    fn key_by_meaning_is_where_the_layout_has_it() {
        let place = |layout: &str, code: u16| {
            let (keymap, _) = choose(None, &Layout::try_from(layout.to_owned()).unwrap()).unwrap();
            Meanings::of(&keymap).place(code | BY_MEANING)
        };
        let (key_1, key_q, key_y, key_a, key_semicolon) = (2, 16, 21, 30, 39);
        for code in [key_1, key_q, key_semicolon, 28, 42] {
            assert_eq!(place("us", code), code);
        }
        assert_eq!((place("de", key_y), place("de", 44)), (44, key_y), "Y and Z change their places");
        assert_eq!((place("fr", key_q), place("fr", key_a)), (key_a, key_q));
        assert_eq!(place("fr", key_1), key_1, "with Shift");
        assert_eq!(place("us(dvorak)", key_semicolon), 44);
        assert_eq!(place("ru", key_q), key_q, "there is no such letter");
        let (german, _) = choose(None, &Layout::try_from("de".to_owned()).unwrap()).unwrap();
        assert_eq!(Meanings::of(&german).place(key_y), key_y, "a place is a place");
    }
}
