//! A writer of the small XML that clients read.

use std::fmt::Write;

/// A document with the root `root`.
#[derive(Clone, Debug)]
pub struct Document(String);

impl Document {
    /// One that says success.
    pub fn ok() -> Self {
        Self("<root status_code=\"200\">".to_owned())
    }

    /// One that says failure. `message` is shown to a person, `query` is the path that was asked for.
    pub fn failure(status: u16, message: &str, query: &str) -> Self {
        let (message, query) = (escape(message), escape(query));
        Self(format!("<root status_code=\"{status}\" status_message=\"{message}\" query=\"{query}\">"))
    }

    /// `<name>value</name>`
    pub fn element(mut self, name: &'static str, value: impl ToString) -> Self {
        let value = escape(&value.to_string());
        write!(self.0, "<{name}>{value}</{name}>").expect("a String takes all that is written");
        self
    }

    /// `<name>…</name>` around what `inner` adds.
    pub fn nested(mut self, name: &'static str, inner: impl FnOnce(Self) -> Self) -> Self {
        write!(self.0, "<{name}>").expect("a String takes all that is written");
        let mut inside = inner(self);
        write!(inside.0, "</{name}>").expect("a String takes all that is written");
        inside
    }

    /// The text.
    pub fn finish(mut self) -> String {
        self.0.push_str("</root>");
        self.0
    }
}

/// `text` as XML has it. Characters that XML 1.0 cannot say at all become U+FFFD.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\t' | '\n' | '\r' => write!(out, "&#{};", character as u32).expect("a String takes all"),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        // Sabotage: leave one of the characters unescaped.
        #[test]
        fn any_text_is_read_back_by_an_xml_parser(text in any::<String>(), message in any::<String>()) {
            let document = Document::failure(404, &message, "/a&b").nested("A", |inner| inner.element("B", &text)).finish();
            let tree = roxmltree::Document::parse(&document).unwrap();
            let sayable = |text: &str| text.replace(|c| matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}'), "\u{fffd}");
            let root = tree.root_element();
            prop_assert_eq!(root.attribute("status_message").unwrap_or_default(), sayable(&message));
            let inner = root.first_element_child().and_then(|node| node.first_element_child()).unwrap();
            prop_assert_eq!(inner.text().unwrap_or_default(), sayable(&text));
        }
    }
}
