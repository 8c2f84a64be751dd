//! The checked-in corpus: what a person wrote, then what the fuzzer found.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use lumen_fuzz::{Target, corpus};

/// Where the fuzzer's own begins. What stands above is never touched.
const MARK: &str = "# Found by `cargo xtask fuzz --deep`: the shortest that reach what those above do not.\n";
/// Because a corpus is read by people too, and all of them together shall stay below 200 KiB.
const FOUND_BYTES: usize = 4 << 10;

fn path(folder: &Path, target: &Target) -> PathBuf {
    folder.join(format!("{}.txt", target.name))
}

fn text(folder: &Path, target: &Target) -> anyhow::Result<String> {
    let path = path(folder, target);
    fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))
}

fn parse(target: &Target, text: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let name = target.name;
    corpus::read(text).map_err(|malformed| anyhow!("line {} of {name}.txt is no input", malformed.line))
}

/// All inputs of a target.
///
/// # Errors
/// The file cannot be read, or a line is no input.
pub(super) fn read(folder: &Path, target: &Target) -> anyhow::Result<Vec<Vec<u8>>> {
    parse(target, &text(folder, target)?)
}

/// Those that no fuzzer wrote.
///
/// # Errors
/// As [`read`].
pub(super) fn by_hand(folder: &Path, target: &Target) -> anyhow::Result<Vec<Vec<u8>>> {
    parse(target, hand(&text(folder, target)?))
}

fn hand(text: &str) -> &str {
    text.split_once(MARK).map_or(text, |(hand, _)| hand)
}

/// Replaces what the fuzzer found by the shortest of `found` that there is room for.
///
/// # Errors
/// The file cannot be read or written.
pub(super) fn write(folder: &Path, target: &Target, found: Vec<Vec<u8>>) -> anyhow::Result<()> {
    let before = text(folder, target)?;
    fs::write(path(folder, target), joined(hand(&before), found)).context("the corpus cannot be written")
}

fn joined(hand: &str, mut found: Vec<Vec<u8>>) -> String {
    found.sort_by_key(|input| (input.len(), input.clone()));
    let mut text = format!("{hand}{MARK}");
    let room = text.len() + FOUND_BYTES;
    let lines = found.iter().map(|input| corpus::line(input));
    for line in lines.filter(|line| !line.is_empty()) {
        if text.len() + line.len() >= room {
            break;
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    // Sabotage: let what was found last stand beside what is found now.
    #[test]
    fn what_was_found_is_replaced_and_what_was_written_stays() {
        let first = joined("# by hand\nabc\n", vec![b"long".to_vec(), b"x".to_vec()]);
        assert_eq!(first, format!("# by hand\nabc\n{MARK}x\nlong\n"));
        assert_eq!(joined(hand(&first), vec![b"y".to_vec()]), format!("# by hand\nabc\n{MARK}y\n"));
        let much = vec![vec![b'z'; 1000]; 20];
        assert_eq!(joined("", much).matches("zz\n").count(), 4);
    }
}
