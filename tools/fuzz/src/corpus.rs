//! Inputs worth keeping: `corpus/<target>.txt`, one a line, bytes that are no printable ASCII as `\xNN`, `\r`, `\n`, `\t`,
//! `\\`, `\'`, `\"`. Lines that begin with `# ` say where the next input came from; an empty input is the line `-`.

/// Why a line is no input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// From 1.
    pub line: usize,
}

/// The inputs of a corpus' text.
///
/// # Errors
/// The first line that is none.
pub fn read(text: &str) -> Result<Vec<Vec<u8>>, Malformed> {
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.is_empty() && !line.starts_with("# "));
    lines.map(|(line, number)| unescape(line).ok_or(Malformed { line: number })).collect()
}

/// The line of an input.
pub fn line(input: &[u8]) -> String {
    match input {
        [] => "-".to_owned(),
        // Else it would read as a comment, as an empty one, or lose its white space.
        [first @ (b'#' | b'-' | b' '), rest @ ..] => format!("\\x{first:02x}{}", rest.escape_ascii()),
        input => input.escape_ascii().to_string(),
    }
}

fn unescape(line: &str) -> Option<Vec<u8>> {
    if line == "-" {
        return Some(Vec::new());
    }
    let mut bytes = Vec::with_capacity(line.len());
    let mut rest = line.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next()? {
                b'x' => nibble(rest.next()?)? << 4 | nibble(rest.next()?)?,
                b'r' => b'\r',
                b'n' => b'\n',
                b't' => b'\t',
                same @ (b'\\' | b'\'' | b'"') => same,
                _ => return None,
            },
            byte => byte,
        });
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets;
    use std::{fs, path::Path};

    // Sabotage: forget one of the escapes.
    #[test]
    fn every_input_is_read_as_it_was_written() {
        let all: Vec<u8> = (0..=255).collect();
        for input in [&all[..], b"", b"-", b"# x", b" x ", b"\\x00"] {
            assert_eq!(read(&line(input)), Ok(vec![input.to_vec()]));
        }
        assert_eq!(read("# a\nx\n\n\\q"), Err(Malformed { line: 4 }));
    }

    // Sabotage: leave out a check of a length that a parser makes; `cargo xtask fuzz` finds what this does not.
    #[test]
    fn every_input_of_the_corpus_is_survived() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
        for target in targets() {
            let text = fs::read_to_string(folder.join(format!("{}.txt", target.name)));
            let inputs = read(&text.expect("each target has a corpus")).expect("each line is an input");
            assert!(!inputs.is_empty(), "{} has no input", target.name);
            for input in inputs {
                assert!(input.len() <= target.max_len, "{}: {}", target.name, line(&input));
                println!("{}: {}", target.name, line(&input));
                (target.run)(&input);
            }
        }
    }

    #[test]
    fn each_target_has_a_name_of_its_own() {
        let mut names: Vec<_> = targets().map(|target| target.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), targets().count());
    }
}
