//! Valve's KeyValues text: `"key" "value"` and `"key" { … }`, as Steam writes its manifests.

/// Deepest nesting that is read, because Steam's own files have four levels.
const MAX_DEPTH: usize = 16;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text.
    Text(String),
    /// Keys and values, in the order of the file; keys may repeat.
    Table(Vec<(String, Value)>),
}

impl Value {
    /// The first value of `key`, whose case does not count.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let Self::Table(rows) = self else { return None };
        rows.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value)
    }

    /// The text of `key`.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Self::Text(text) => Some(text),
            Self::Table(_) => None,
        }
    }

    /// All rows of a table.
    pub fn rows(&self) -> &[(String, Value)] {
        match self {
            Self::Table(rows) => rows,
            Self::Text(_) => &[],
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Open,
    Close,
}

/// Reads a file; `None` if it is no such text.
pub fn parse(text: &str) -> Option<Value> {
    let mut tokens = tokens(text)?.into_iter();
    table(&mut tokens, 0, true)
}

fn table(tokens: &mut impl Iterator<Item = Token>, depth: usize, is_root: bool) -> Option<Value> {
    let mut rows = Vec::new();
    loop {
        match tokens.next() {
            None if is_root => return Some(Value::Table(rows)),
            Some(Token::Close) if !is_root => return Some(Value::Table(rows)),
            Some(Token::Word(key)) => {
                let value = match tokens.next()? {
                    Token::Word(text) => Value::Text(text),
                    Token::Open if depth < MAX_DEPTH => table(tokens, depth + 1, false)?,
                    Token::Open | Token::Close => return None,
                };
                rows.push((key, value));
            }
            _ => return None,
        }
    }
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '{' => tokens.push(Token::Open),
            '}' => tokens.push(Token::Close),
            '"' => {
                let mut word = String::new();
                loop {
                    match rest.next()? {
                        '"' => break,
                        '\\' => word.push(match rest.next()? {
                            'n' => '\n',
                            't' => '\t',
                            other => other,
                        }),
                        other => word.push(other),
                    }
                }
                tokens.push(Token::Word(word));
            }
            '/' if rest.peek() == Some(&'/') => while rest.next_if(|c| *c != '\n').is_some() {},
            c if c.is_whitespace() => {}
            first => {
                let mut word = String::from(first);
                while let Some(c) = rest.next_if(|c| !c.is_whitespace() && !"{}\"".contains(*c)) {
                    word.push(c);
                }
                tokens.push(Token::Word(word));
            }
        }
    }
    Some(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_values_and_tables_are_read() {
        let root =
            parse("// made by hand\n\"A\"\n{\n\t\"Name\"\t\t\"say \\\"x\\\" \\\\ y\"\n bare 7\n}\n").unwrap();
        let table = root.get("a").unwrap();
        assert_eq!(table.text("name"), Some("say \"x\" \\ y"));
        assert_eq!(table.text("BARE"), Some("7"));
        assert_eq!(table.text("none"), None);
    }

    #[test]
    fn what_is_torn_or_endless_is_no_text_of_valves() {
        for torn in ["\"a", "\"a\" {", "}", "{ }", "\"a\" }", "\"a\" \"b", &"a { ".repeat(100_000)] {
            assert_eq!(parse(torn), None, "{}", torn.get(..10).unwrap_or(torn));
        }
        assert_eq!(parse(""), Some(Value::Table(Vec::new())));
    }
}
