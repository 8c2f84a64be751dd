//! Rust source with the parts that are not code taken out, line by line.

/// Takes comments and the insides of string literals out of `source`, keeping every line where it was. Good enough for
/// looking a keyword up; it knows `//`, nested `/* */`, `"..."`, `r#"..."#` and character literals.
pub fn code_only(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(next) = rest.chars().next() {
        let skipped = skip(rest);
        if skipped == 0 {
            // A name is taken whole, so that the `r` of `for"` is not read as the start of a raw string.
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let (code, tail) = rest.split_at(word.max(next.len_utf8()));
            out.push_str(code);
            rest = tail;
        } else {
            let (taken, tail) = rest.split_at(skipped);
            out.push(' ');
            out.extend(taken.chars().filter(|c| *c == '\n'));
            rest = tail;
        }
    }
    out
}

/// Bytes of the comment or literal that `text` starts with; 0 when it starts with code.
fn skip(text: &str) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return block_comment(text);
    }
    if let Some(raw) = text.strip_prefix('r').or_else(|| text.strip_prefix("br")) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if let Some(inside) = raw.trim_start_matches('#').strip_prefix('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            return text.len() - inside.len()
                + inside.find(&close).map_or(inside.len(), |at| at + close.len());
        }
        return 0;
    }
    match text.strip_prefix('"') {
        Some(inside) => 1 + quoted(inside, '"'),
        None => character(text),
    }
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(tail) = text.get(at..).filter(|tail| !tail.is_empty()) {
        if tail.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if tail.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += tail.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// Bytes up to and with the closing `quote` that no backslash precedes.
fn quoted(inside: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in inside.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    inside.len()
}

/// `'x'` and `'\n'`, but not the lifetime `'a`.
fn character(text: &str) -> usize {
    let Some(inside) = text.strip_prefix('\'') else {
        return 0;
    };
    let mut chars = inside.chars();
    match (chars.next(), chars.next()) {
        (Some('\\'), _) => 1 + quoted(inside, '\''),
        (Some(c), Some('\'')) => 2 + c.len_utf8(),
        _ => 0,
    }
}

/// Whether `word` stands in `line` with no letter, digit or underscore beside it.
pub fn has_word(line: &str, word: &str) -> bool {
    let inside_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|head| head.chars().next_back());
        let after = line.get(at + word.len()..).and_then(|tail| tail.chars().next());
        !before.is_some_and(inside_name) && !after.is_some_and(inside_name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_is_left() {
        let source = "let a = \"unsafe \\\" x\"; // unsafe\n/* unsafe /* in */ two\nlines */ unsafe { r#\"\"unsafe\"# }\nlet c = '\"'; fn f<'a>() {}";
        let code = code_only(source);
        assert_eq!(code.lines().count(), source.lines().count());
        assert_eq!(code.matches("unsafe").count(), 1);
        assert!(code.lines().nth(2).unwrap().contains("unsafe {"));
        assert!(code.contains("fn f<'a>() {}"), "the quote in '\"' opens no string: {code}");
    }

    #[test]
    fn a_word_is_whole() {
        assert!(has_word("unsafe {", "unsafe"));
        assert!(!has_word("forbid(unsafe_code)", "unsafe"));
        assert!(!has_word("not_unsafe", "unsafe"));
    }
}
