//! Words in the text of an answer of RTSP.

use std::{fmt::Debug, str::FromStr};

/// What stands behind `name`, up to the end of its line or a semicolon.
pub fn word(text: &str, name: &str) -> String {
    let rest = text.split_once(name).unwrap_or_else(|| panic!("no {name} in {text}")).1;
    rest.split(['\r', ';']).next().unwrap().to_owned()
}

/// The same as a number.
pub fn number<N: FromStr<Err: Debug>>(text: &str, name: &str) -> N {
    word(text, name).parse().unwrap()
}
