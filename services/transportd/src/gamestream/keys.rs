//! Windows' virtual key codes, as clients send them, and Linux' codes of the same keys on a US keyboard.

/// Linux' code of a key; `None` for a code that no keyboard of today has.
pub fn evdev(code: u8) -> Option<u16> {
    let linux = match code {
        0x30..=0x5a => in_row(code)?,
        0x60..=0x69 => *NUMBER_PAD.get(usize::from(code - 0x60))?,
        0x70..=0x79 => 59 + u16::from(code - 0x70),
        // F11 and F12 came later than F10, and F13 to F24 later still.
        0x7a..=0x7b => 87 + u16::from(code - 0x7a),
        0x7c..=0x87 => 183 + u16::from(code - 0x7c),
        _ => NAMED.iter().find(|(windows, _)| *windows == code)?.1,
    };
    Some(linux)
}

/// Digits and letters, which Windows numbers as ASCII does and Linux by their place.
fn in_row(code: u8) -> Option<u16> {
    let rows = [(2, "1234567890"), (16, "QWERTYUIOP"), (30, "ASDFGHJKL"), (44, "ZXCVBNM")];
    rows.iter().find_map(|(first, row)| {
        let place = row.bytes().position(|letter| letter == code)?;
        u16::try_from(place).ok().map(|place| first + place)
    })
}

/// 0 to 9.
const NUMBER_PAD: [u16; 10] = [82, 79, 80, 81, 75, 76, 77, 71, 72, 73];

/// All others, (Windows, Linux). Shift, Ctrl and Alt without a side are the left ones.
const NAMED: [(u8, u16); 79] = [
    (0x08, 14),  // Backspace
    (0x09, 15),  // Tab
    (0x0c, 355), // Clear
    (0x0d, 28),  // Enter
    (0x10, 42),  // Shift
    (0x11, 29),  // Ctrl
    (0x12, 56),  // Alt
    (0x13, 119), // Pause
    (0x14, 58),  // Caps Lock
    (0x15, 122), // Hangul, Kana
    (0x19, 123), // Hanja, Kanji
    (0x1b, 1),   // Escape
    (0x1c, 92),  // Convert
    (0x1d, 94),  // No convert
    (0x20, 57),  // Space
    (0x21, 104), // Page up
    (0x22, 109), // Page down
    (0x23, 107), // End
    (0x24, 102), // Home
    (0x25, 105), // Left
    (0x26, 103), // Up
    (0x27, 106), // Right
    (0x28, 108), // Down
    (0x29, 353), // Select
    (0x2a, 210), // Print
    (0x2c, 99),  // Print Screen
    (0x2d, 110), // Insert
    (0x2e, 111), // Delete
    (0x2f, 138), // Help
    (0x5b, 125), // Left logo
    (0x5c, 126), // Right logo
    (0x5d, 127), // Menu
    (0x5f, 142), // Sleep
    (0x6a, 55),  // Number pad *
    (0x6b, 78),  // Number pad +
    (0x6c, 121), // Number pad separator
    (0x6d, 74),  // Number pad -
    (0x6e, 83),  // Number pad .
    (0x6f, 98),  // Number pad /
    (0x90, 69),  // Num Lock
    (0x91, 70),  // Scroll Lock
    (0xa0, 42),  // Left Shift
    (0xa1, 54),  // Right Shift
    (0xa2, 29),  // Left Ctrl
    (0xa3, 97),  // Right Ctrl
    (0xa4, 56),  // Left Alt
    (0xa5, 100), // Right Alt
    (0xa6, 158), // Back
    (0xa7, 159), // Forward
    (0xa8, 173), // Refresh
    (0xa9, 128), // Stop
    (0xaa, 217), // Search
    (0xab, 156), // Favourites
    (0xac, 172), // Home page
    (0xad, 113), // Mute
    (0xae, 114), // Quieter
    (0xaf, 115), // Louder
    (0xb0, 163), // Next track
    (0xb1, 165), // Track before
    (0xb2, 166), // Stop playing
    (0xb3, 164), // Play, pause
    (0xb4, 155), // Mail
    (0xb5, 226), // Media
    (0xb6, 148), // First program
    (0xb7, 149), // Second program
    (0xba, 39),  // ;
    (0xbb, 13),  // =
    (0xbc, 51),  // ,
    (0xbd, 12),  // -
    (0xbe, 52),  // .
    (0xbf, 53),  // /
    (0xc0, 41),  // `
    (0xc1, 89),  // Brazil's /
    (0xc2, 121), // Brazil's number pad .
    (0xdb, 26),  // [
    (0xdc, 43),  // \
    (0xdd, 27),  // ]
    (0xde, 40),  // '
    (0xe2, 86),  // The key beside the left Shift
];

#[cfg(test)]
mod tests {
    use super::*;

    // Source: linux/input-event-codes.h, and the list of virtual key codes in Windows' documentation.
    // Sabotage: count letters from 16 on as they stand in the alphabet.
    #[test]
    fn keys_are_where_linux_has_them() {
        let known = [
            (b'A', 30),
            (b'Q', 16),
            (b'M', 50),
            (b'1', 2),
            (b'0', 11),
            (0x70, 59),
            (0x79, 68),
            (0x7a, 87),
            (0x7b, 88),
            (0x7c, 183),
            (0x87, 194),
            (0x60, 82),
            (0x69, 73),
            (0x0d, 28),
            (0xa1, 54),
            (0xe2, 86),
        ];
        for (windows, linux) in known {
            assert_eq!(evdev(windows), Some(linux), "{windows:#x}");
        }
        for unknown in [0, 0x3a, 0x40, 0x5e, 0x88, 0xff] {
            assert_eq!(evdev(unknown), None, "{unknown:#x}");
        }
    }

    #[test]
    fn no_key_is_listed_twice() {
        for (place, (code, _)) in NAMED.iter().enumerate() {
            assert!(NAMED.iter().skip(place + 1).all(|(other, _)| other != code), "{code:#x}");
            assert!(!matches!(code, 0x30..=0x5a | 0x60..=0x69 | 0x70..=0x87), "{code:#x}");
        }
    }
}
