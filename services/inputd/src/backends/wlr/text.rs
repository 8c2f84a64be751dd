//! Text as keys: a keymap made for one run of characters, each of which is one key of it. Sans-IO.

use std::fmt::Write;

use crate::backends::keymap::PRINTING;

/// In every keymap of ours, so that none is taken for a keyboard's.
pub(super) const MARK: &str = "lumen-text";

/// Some characters, all of one keymap, in the order in which they are typed.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// Key and what it types.
    keys: Vec<(u16, char)>,
    /// The keys to press.
    strokes: Vec<u16>,
}

impl Run {
    /// As much of `text` as one keymap holds, without the keys that are `taken`; what is left of the text, and how many
    /// characters were left out because nothing types them: controls other than a new line and a tabulator.
    pub(super) fn cut(text: &str, taken: impl Fn(u16) -> bool) -> (Self, &str, u64) {
        let mut free = PRINTING.into_iter().flatten().filter(|code| !taken(*code));
        let (mut run, mut refused) = (Self::default(), 0);
        for (place, character) in text.char_indices() {
            if symbol(character).is_none() {
                refused += 1;
                continue;
            }
            let known = run.keys.iter().find(|(_, known)| *known == character).map(|(code, _)| *code);
            let Some(code) = known.or_else(|| free.next()) else {
                return (run, text.get(place..).unwrap_or_default(), refused);
            };
            if known.is_none() {
                run.keys.push((code, character));
            }
            run.strokes.push(code);
        }
        (run, "", refused)
    }

    /// The keys to press and release, one after the other.
    pub(super) fn strokes(&self) -> &[u16] {
        &self.strokes
    }

    /// The keymap in XKB's text form. It has no modifier, so what is held on the keyboard colours nothing.
    pub(super) fn keymap(&self) -> String {
        let (mut codes, mut symbols) = (String::new(), String::new());
        for (code, character) in &self.keys {
            let name = format!("<T{code}>");
            let symbol = symbol(*character).unwrap_or_default();
            // Infallible: it writes to a String.
            let _ = write!(codes, "{name}={};", code + 8);
            let _ = write!(symbols, "key {name}{{[{symbol}]}};");
        }
        format!(
            "xkb_keymap{{xkb_keycodes \"{MARK}\"{{minimum=8;maximum=255;{codes}}};\
             xkb_types \"{MARK}\"{{type \"ONE_LEVEL\"{{modifiers=none;level_name[Level1]=\"Any\";}};}};\
             xkb_compatibility \"{MARK}\"{{interpret Any+AnyOf(all){{action=NoAction();}};}};\
             xkb_symbols \"{MARK}\"{{{symbols}}};}};"
        )
    }
}

/// XKB's name of the character; `None` for one that no key types.
fn symbol(character: char) -> Option<String> {
    match character {
        '\n' => Some("Return".to_owned()),
        '\t' => Some("Tab".to_owned()),
        control if control.is_control() => None,
        other => Some(format!("U{:04X}", u32::from(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::keymap::compile;
    use xkbcommon::xkb::{self, Context, State};

    /// What a program would read that is told the keymaps and the strokes.
    fn read(text: &str, taken: impl Fn(u16) -> bool + Copy) -> (String, u64) {
        let context = Context::new(xkb::CONTEXT_NO_FLAGS);
        let (mut rest, mut said, mut refused) = (text, String::new(), 0);
        while !rest.is_empty() {
            let (run, left, left_out) = Run::cut(rest, taken);
            assert!(left.len() < rest.len());
            (rest, refused) = (left, refused + left_out);
            let keymap = compile(&context, &run.keymap()).expect("XKB reads it");
            let state = State::new(&keymap);
            for code in run.strokes() {
                assert!(!taken(*code));
                said.push_str(&state.key_get_utf8(u32::from(code + 8).into()));
            }
        }
        (said, refused)
    }

    /// Sabotage: name characters by their UTF-16 units, or cut a run in the middle of a character.
    #[test]
    fn every_character_is_a_key() {
        for text in ["Grüße, ß→中 😀", "aAaA", "\u{1F469}\u{200D}\u{1F680}", "é\u{301}", "\"\\{};<>"]
        {
            assert_eq!(read(text, |_| false), (text.to_owned(), 0));
        }
        assert_eq!(read("a\nb\tc", |_| false).0, "a\rb\tc");
    }

    #[test]
    fn long_texts_take_several_keymaps() {
        let text: String = (0x4e00..0x4e00 + 200).filter_map(char::from_u32).collect();
        assert_eq!(read(&text, |_| false), (text, 0));
    }

    /// Sabotage: use a key that is held; its release would let go of what the client holds.
    #[test]
    fn held_keys_are_left_alone() {
        let text = "the quick brown fox";
        assert_eq!(read(text, |code| code % 2 == 0), (text.to_owned(), 0));
    }

    /// Sabotage: type ESC, or drop the whole text.
    #[test]
    fn controls_are_left_out_and_counted() {
        assert_eq!(read("a\0b\u{1b}[2Jc\u{7f}\u{9b}", |_| false), ("ab[2Jc".to_owned(), 4));
    }
}
