//! The keyboard layouts that are tested, and what the same keys of both clients type on each of them.

/// Keys by what they type on a US keyboard, which is what Windows calls them, and their places as Linux numbers them.
const KEYS: [(char, u16); 6] = [('Q', 16), ('W', 17), ('Y', 21), ('Z', 44), ('A', 30), ('M', 50)];

/// In a key's code at the probe: it is the key that types so.
const BY_MEANING: u16 = 0x8000;

/// A host's layout.
pub struct Layout {
    /// As inputd.toml has it.
    pub name: &'static str,
    /// As GNOME's settings have it.
    pub gnome: &'static str,
    by_place: &'static str,
    /// Of a client on another layout that says what its keys type.
    by_meaning: &'static str,
    /// Some of what its keyboard has.
    text: &'static str,
}

/// Of Russian keys none types what the client's do: they are taken by their place.
pub const LAYOUTS: [Layout; 5] = [
    Layout { name: "de", gnome: "de", by_place: "qwzyam", by_meaning: "qwyzam", text: "Grüße" },
    Layout { name: "fr", gnome: "fr", by_place: "azywq,", by_meaning: "qwyzam", text: "1 été à" },
    Layout { name: "ru", gnome: "ru", by_place: "йцняфь", by_meaning: "йцняфь", text: "Мир" },
    Layout { name: "us(dvorak)", gnome: "us+dvorak", by_place: "',f;am", by_meaning: "qwyzam", text: "Hi!" },
    Layout { name: "us", gnome: "us", by_place: "qwyzam", by_meaning: "qwyzam", text: "A-z" },
];

impl Layout {
    /// What all of either client's script types.
    pub fn typed(&self) -> String {
        [self.by_place, self.by_meaning, self.text].concat()
    }

    /// Its keys and its text at the probe, as a script that is read along.
    pub fn at_the_probe(&self) -> String {
        let tap = |code: u16| format!("10 press {code}\n10 release {code}\n");
        let places = KEYS.map(|(_, place)| tap(place)).concat();
        let meanings = KEYS.map(|(_, place)| tap(place | BY_MEANING)).concat();
        format!("{places}{meanings}10 text {}\n", self.text)
    }

    /// The same at a Moonlight client.
    pub fn at_moonlight(&self) -> String {
        let tap = |verb: &str, key: char| {
            let code = u32::from(key);
            format!("10 {verb} {code} down\n10 {verb} {code} up\n")
        };
        let [places, meanings] = ["key", "meant"].map(|verb| KEYS.map(|(key, _)| tap(verb, key)).concat());
        format!("{places}{meanings}10 text {}\n", self.text)
    }
}
