//! Text as keys of the keymap that the desktop has: which key types a character, with which modifiers. Sans-IO.

use std::collections::{BTreeMap, BTreeSet};

use xkbcommon::xkb::{self, KeyDirection, Keymap, LayoutIndex, ModMask, State};

use crate::backends::keymap::PRINTING;

const KEY_TAB: u16 = 15;
const KEY_ENTER: u16 = 28;
const KEY_LEFT_SHIFT: u16 = 42;
const KEY_SPACE: u16 = 57;
/// Between the left Shift and Z on keyboards of Europe.
const KEY_102ND: u16 = 86;
const KEY_RIGHT_ALT: u16 = 100;

/// Control, Shift, Alt and Meta of both sides: up while text is typed, save those that its characters need.
const MODIFIERS: [u16; 8] = [29, KEY_LEFT_SHIFT, 54, 56, 97, KEY_RIGHT_ALT, 125, 126];

/// What is tried for a character, the simplest first. The right Alt is AltGr where a keymap has a third level.
const CHORDS: [&[u16]; 4] = [&[], &[KEY_LEFT_SHIFT], &[KEY_RIGHT_ALT], &[KEY_LEFT_SHIFT, KEY_RIGHT_ALT]];

/// Modifiers under which a program takes a key for a command.
const COMMANDS: [&str; 3] = [xkb::MOD_NAME_CTRL, xkb::MOD_NAME_ALT, xkb::MOD_NAME_LOGO];

/// A key goes down (true) or up.
pub(super) type Move = (u16, bool);

/// One key, and the modifiers that are down for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stroke {
    place: u16,
    with: &'static [u16],
}

/// How each character of a keymap is typed.
#[derive(Debug)]
pub(super) struct Typist(BTreeMap<char, Stroke>);

impl Typist {
    /// For a keymap of which `layout` is active, with these modifiers locked.
    pub(super) fn of(keymap: &Keymap, locked: ModMask, layout: LayoutIndex) -> Self {
        let mut strokes = BTreeMap::from(
            [('\n', KEY_ENTER), ('\t', KEY_TAB)]
                .map(|(character, place)| (character, Stroke { place, with: &[] })),
        );
        for with in CHORDS {
            let mut state = State::new(keymap);
            state.update_mask(0, 0, locked, 0, 0, layout);
            for modifier in with {
                state.update_key(u32::from(modifier + 8).into(), KeyDirection::Down);
            }
            if COMMANDS.iter().any(|name| state.mod_name_is_active(*name, xkb::STATE_MODS_EFFECTIVE)) {
                continue;
            }
            for place in PRINTING.into_iter().flatten().chain([KEY_SPACE, KEY_102ND]) {
                // A dead key types nothing by itself, and a ligature is no character.
                let typed = state.key_get_utf8(u32::from(place + 8).into());
                let mut typed = typed.chars();
                if let (Some(character), None) = (typed.next(), typed.next())
                    && !character.is_control()
                {
                    strokes.entry(character).or_insert(Stroke { place, with });
                }
            }
        }
        Self(strokes)
    }

    /// The keys that type `text` where `held` are down, which are down again in the end; and how many characters are not on
    /// this keymap and are left out.
    pub(super) fn plan(&self, text: &str, held: &BTreeSet<u16>) -> (Vec<Move>, u64) {
        let mut hand = Hand { down: held.clone(), moves: Vec::new() };
        let mut refused = 0;
        for character in text.chars() {
            let Some(stroke) = self.0.get(&character) else {
                refused += 1;
                continue;
            };
            hand.shift(|modifier| stroke.with.contains(&modifier));
            // One that the client holds is pressed again, and stays down.
            let is_held = hand.down.contains(&stroke.place);
            hand.go(stroke.place, !is_held);
            hand.go(stroke.place, is_held);
        }
        hand.shift(|modifier| held.contains(&modifier));
        (hand.moves, refused)
    }
}

/// What is down while a text is typed.
struct Hand {
    down: BTreeSet<u16>,
    moves: Vec<Move>,
}

impl Hand {
    fn go(&mut self, place: u16, pressed: bool) {
        match pressed {
            true => self.down.insert(place),
            false => self.down.remove(&place),
        };
        self.moves.push((place, pressed));
    }

    /// Lets go of the modifiers that are not wanted, and then presses those that are.
    fn shift(&mut self, wanted: impl Fn(u16) -> bool) {
        for pressed in [false, true] {
            for modifier in MODIFIERS {
                if wanted(modifier) == pressed && self.down.contains(&modifier) != pressed {
                    self.go(modifier, pressed);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::keymap::tests::keymap;

    /// What a program reads while these keys move, what is down then, and how many characters were refused.
    fn read(layout: &str, held: &[u16], caps: bool, text: &str) -> (String, BTreeSet<u16>, u64) {
        let keymap = keymap(layout, "");
        let mut state = State::new(&keymap);
        let mut down: BTreeSet<u16> = held.iter().copied().collect();
        let caps_lock = u32::from(58u16 + 8);
        for key in held.iter().map(|place| u32::from(place + 8)).chain(caps.then_some(caps_lock)) {
            state.update_key(key.into(), KeyDirection::Down);
        }
        let locked = state.serialize_mods(xkb::STATE_MODS_LOCKED);
        let (moves, refused) = Typist::of(&keymap, locked, 0).plan(text, &down);
        let mut said = String::new();
        for (place, pressed) in moves {
            let key = u32::from(place + 8).into();
            if pressed {
                assert!(down.insert(place), "{place} went down twice");
                said.push_str(&state.key_get_utf8(key));
            } else {
                assert!(down.remove(&place), "{place} went up twice");
            }
            state.update_key(key, if pressed { KeyDirection::Down } else { KeyDirection::Up });
        }
        (said, down, refused)
    }

    /// Sabotage: look at the first level alone, or leave the key beside the left Shift out.
    #[test]
    fn characters_of_the_keymap_are_typed_and_others_counted() {
        assert_eq!(read("de", &[], false, "Grüße, ß→中 😀"), ("Grüße, ß→ ".into(), BTreeSet::new(), 2));
        assert_eq!(read("us", &[], false, "Grüße!").0, "Gre!");
        assert_eq!(read("us", &[], false, "Grüße!").2, 2);
        assert_eq!(read("de", &[], false, "a<b>|{[]}\\~@€").0, "a<b>|{[]}\\~@€");
        assert_eq!(read("ru", &[], false, "Привет, мир").0, "Привет, мир");
        assert_eq!(read("us", &[], false, "a\nb\tc").0, "a\rb\tc");
        assert_eq!(read("us", &[], false, "a\0\u{1b}b\u{7f}"), ("ab".into(), BTreeSet::new(), 3));
    }

    /// Sabotage: leave Shift down while text is typed, or let go of a key that the client holds.
    #[test]
    fn what_is_held_colours_no_character_and_is_held_afterwards() {
        let (said, down, refused) = read("de", &[42, 29, 32], false, "Das da");
        // Shift and Control type nothing when they go down again.
        assert_eq!((said.as_str(), refused), ("Das da", 0));
        assert_eq!(down, [42, 29, 32].into());
    }

    #[test]
    fn caps_lock_turns_no_character_round() {
        assert_eq!(read("us", &[], true, "Abc 1!").0, "Abc 1!");
    }

    /// Sabotage: try the right Alt where it is an Alt: a program would take the key for a command.
    #[test]
    fn no_character_is_typed_with_a_command() {
        let (moves, _) = Typist::of(&keymap("us", ""), 0, 0).plan("aB3$ é", &BTreeSet::new());
        assert!(moves.iter().all(|(place, _)| *place != KEY_RIGHT_ALT), "{moves:?}");
    }

    #[test]
    fn text_without_a_single_character_of_the_keymap_moves_nothing() {
        let typist = Typist::of(&keymap("us", ""), 0, 0);
        assert_eq!(typist.plan("中😀", &[KEY_LEFT_SHIFT].into()), (Vec::new(), 2));
    }
}
