//! Lock files in TOML: Cargo.lock, poetry.lock, uv.lock.
//! In: the text. Out: the `[[package]]` tables, each with its texts by dotted key. Never: a whole TOML implementation; what is
//! neither a text nor needed is passed over, but passed over correctly, so that a text inside a list is never taken for a key.

use std::collections::BTreeMap;

use super::{Corrupt, MOST_PACKAGES, is_plain};

/// The texts of one `[[package]]` table, with those of its sub-tables: `name`, `version`, `source.url`.
pub type Table = BTreeMap<String, String>;

/// How deep lists and tables may lie in each other.
const DEEPEST: usize = 32;
/// The longest text that is kept; longer ones are passed over. No name, version or source is as long.
const LONGEST_KEPT: usize = 1024;

/// Reads the `[[package]]` tables. Source: TOML 1.0, as far as the tools that write these files use it.
///
/// # Errors
/// [`Corrupt`] names the line that is not TOML, or a package without a plain name.
pub fn packages(bytes: &[u8]) -> Result<Vec<Table>, Corrupt> {
    let text = std::str::from_utf8(bytes).map_err(|_| Corrupt("is not UTF-8".to_owned()))?;
    let mut reader = Reader { text, at: 0 };
    let mut tables: Vec<Table> = Vec::new();
    // Where the keys that follow belong: the last package and the path below it, or nowhere.
    let mut section: Option<String> = None;
    loop {
        reader.space(true);
        let Some(next) = reader.peek() else { break };
        if next == b'[' {
            section = reader.header(&mut tables)?;
        } else {
            let key = reader.key()?;
            reader.expect(b'=')?;
            let mut sink = |key: &str, value: String| {
                if let (Some(section), Some(table)) = (&section, tables.last_mut()) {
                    let full = if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
                    table.insert(full, value);
                }
            };
            reader.value(&key, 0, &mut sink)?;
        }
        reader.end_of_line()?;
        if tables.len() > MOST_PACKAGES {
            return Err(reader.fault("is beyond the largest lock file that can be"));
        }
    }
    if tables.iter().any(|table| !table.get("name").is_some_and(|name| is_plain(name))) {
        return Err(Corrupt("holds a package without a name".to_owned()));
    }
    Ok(tables)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    fn fault(&self, why: &str) -> Corrupt {
        let line = self.text.as_bytes()[..self.at].iter().filter(|byte| **byte == b'\n').count() + 1;
        Corrupt::line(line, why)
    }

    /// Passes over blanks and, when `lines`, over line ends and comments.
    fn space(&mut self, lines: bool) {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' => self.at += 1,
                b'\r' | b'\n' if lines => self.at += 1,
                b'#' if lines => self.at += self.rest().iter().position(|byte| *byte == b'\n').unwrap_or(self.rest().len()),
                _ => return,
            }
        }
    }

    fn expect(&mut self, wanted: u8) -> Result<(), Corrupt> {
        self.space(false);
        if self.peek() != Some(wanted) {
            return Err(self.fault(&format!("lacks a `{}`", char::from(wanted))));
        }
        self.at += 1;
        self.space(false);
        Ok(())
    }

    fn end_of_line(&mut self) -> Result<(), Corrupt> {
        self.space(false);
        match self.peek() {
            None | Some(b'\n' | b'#') => Ok(()),
            Some(b'\r') if self.rest().get(1) == Some(&b'\n') => Ok(()),
            Some(_) => Err(self.fault("goes on after its value")),
        }
    }

    /// `[[package]]`, `[package.source]`, `[metadata]`: where the keys that follow belong.
    fn header(&mut self, tables: &mut Vec<Table>) -> Result<Option<String>, Corrupt> {
        self.at += 1;
        let array = self.peek() == Some(b'[');
        self.at += usize::from(array);
        self.space(false);
        let name = self.key()?;
        self.expect(b']')?;
        if array {
            self.expect(b']')?;
        }
        if array && name == "package" {
            tables.push(Table::new());
            return Ok(Some(String::new()));
        }
        Ok(name.strip_prefix("package.").filter(|_| !tables.is_empty()).map(str::to_owned))
    }

    /// A bare, quoted or dotted key; the parts are joined with dots.
    fn key(&mut self) -> Result<String, Corrupt> {
        let mut parts = Vec::new();
        loop {
            self.space(false);
            let part = match self.peek() {
                Some(b'"' | b'\'') => self.string()?,
                _ => {
                    let len = self.rest().iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte)).count();
                    let word = self.text.get(self.at..self.at + len).unwrap_or_default().to_owned();
                    self.at += len;
                    if word.is_empty() {
                        return Err(self.fault("does not begin with a key"));
                    }
                    word
                }
            };
            parts.push(part);
            self.space(false);
            if self.peek() != Some(b'.') || parts.len() > DEEPEST {
                return Ok(parts.join("."));
            }
            self.at += 1;
        }
    }

    /// One value; texts go to `sink` under their key, texts inside lists do not.
    fn value(&mut self, key: &str, depth: usize, sink: &mut dyn FnMut(&str, String)) -> Result<(), Corrupt> {
        if depth > DEEPEST {
            return Err(self.fault("is nested too deeply"));
        }
        match self.peek() {
            Some(b'"' | b'\'') => {
                let text = self.string()?;
                if text.len() <= LONGEST_KEPT {
                    sink(key, text);
                }
                Ok(())
            }
            Some(b'[') => self.list(depth),
            Some(b'{') => self.inline_table(key, depth, sink),
            _ => {
                let len = self.rest().iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"+-_.:".contains(byte)).count();
                self.at += len;
                if len == 0 { Err(self.fault("has a key without a value")) } else { Ok(()) }
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<(), Corrupt> {
        self.at += 1;
        loop {
            self.space(true);
            if self.peek() == Some(b']') {
                self.at += 1;
                return Ok(());
            }
            self.value("", depth + 1, &mut |_, _| ())?;
            self.space(true);
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {}
                _ => return Err(self.fault("is in a list that does not end")),
            }
        }
    }

    fn inline_table(&mut self, outer: &str, depth: usize, sink: &mut dyn FnMut(&str, String)) -> Result<(), Corrupt> {
        self.at += 1;
        loop {
            self.space(true);
            if self.peek() == Some(b'}') {
                self.at += 1;
                return Ok(());
            }
            let key = format!("{outer}.{}", self.key()?);
            self.expect(b'=')?;
            self.value(&key, depth + 1, sink)?;
            self.space(true);
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {}
                _ => return Err(self.fault("is in a table that does not end")),
            }
        }
    }

    /// A string of any of the four kinds.
    fn string(&mut self) -> Result<String, Corrupt> {
        let quote = self.peek().unwrap_or(b'"');
        let long = self.rest().starts_with(&[quote; 3]);
        self.at += if long { 3 } else { 1 };
        let mut text = String::new();
        loop {
            let Some(c) = self.text[self.at..].chars().next() else { return Err(self.fault("is in a text that does not end")) };
            let closes = c == char::from(quote) && (!long || self.rest().starts_with(&[quote; 3]));
            if closes {
                self.at += if long { 3 } else { 1 };
                // Up to two more quotes belong to the text of a long string.
                while long && self.peek() == Some(quote) {
                    self.at += 1;
                    text.push(char::from(quote));
                }
                return Ok(text);
            }
            if c == '\n' && !long {
                return Err(self.fault("is in a text that does not end"));
            }
            self.at += c.len_utf8();
            if c == '\\' && quote == b'"' { self.escape(&mut text)? } else { text.push(c) }
        }
    }

    fn escape(&mut self, text: &mut String) -> Result<(), Corrupt> {
        let letter = self.peek();
        self.at += usize::from(letter.is_some_and(|byte| byte.is_ascii()));
        let digits = match letter {
            Some(b'u') => 4,
            Some(b'U') => 8,
            Some(byte) => {
                match byte {
                    b'n' => text.push('\n'),
                    b't' => text.push('\t'),
                    b'"' | b'\\' => text.push(char::from(byte)),
                    // Control characters make no name, and an escaped line end is not part of the text.
                    b'r' | b'b' | b'f' | b'e' | b'\n' | b'\r' | b' ' => {}
                    _ => return Err(self.fault("has an escape that TOML does not know")),
                }
                return Ok(());
            }
            None => return Err(self.fault("is in a text that does not end")),
        };
        let code = self.text.get(self.at..self.at + digits).and_then(|hex| u32::from_str_radix(hex, 16).ok());
        text.push(code.and_then(char::from_u32).ok_or_else(|| self.fault("has an escape that is no character"))?);
        self.at += digits;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_texts_of_packages_are_taken_over() {
        let text = br#"# made by a tool
version = 4
[[package]]
name = "a\u0020\"b"   # comment
'version' = '1.0'
dependencies = [
 "x 1.0", # ]
 { name = "not a package", version = "9" },
]
source = { registry = "https://example.org/simple", n = 1 }
size = 12_000
when = 2024-01-01T00:00:00Z
description = """two
lines ""quoted"" """

[package.dependencies]
name = "dep"
[[package.files]]
name = "file"
[metadata]
name = "no"
[[package]]
name = "c"
"#;
        let tables = packages(text).unwrap();
        assert_eq!(tables.len(), 2);
        assert_eq!(tables[0]["name"], "a \"b");
        assert_eq!(tables[0]["version"], "1.0");
        assert_eq!(tables[0]["source.registry"], "https://example.org/simple");
        assert_eq!(tables[0]["dependencies.name"], "dep");
        assert_eq!(tables[1]["name"], "c");
    }

    #[test]
    fn what_is_not_toml_is_refused_with_its_line() {
        for (text, why) in [
            ("[[package]]\nname = \"a", "line 2 is in a text that does not end"),
            ("[[package]]\nname = \"a\"\n<<<<<<< HEAD\n", "line 3 does not begin with a key"),
            ("[[package]]\nname = \"a\" \"b\"\n", "line 2 goes on after its value"),
            ("[[package]]\nfiles = [\n", "line 3 has a key without a value"),
            ("[[package]]\nfiles = [1\n", "line 3 is in a list that does not end"),
            ("[[package]]\nversion = \"1\"\n", "holds a package without a name"),
            ("[[package]\n", "line 1 lacks a `]`"),
            ("a = \"\\q\"", "line 1 has an escape that TOML does not know"),
        ] {
            assert_eq!(packages(text.as_bytes()), Err(Corrupt(why.to_owned())), "{text}");
        }
    }

    #[test]
    fn deep_nesting_ends_in_an_error() {
        let text = format!("a = {}", "[".repeat(100_000));
        assert_eq!(packages(text.as_bytes()), Err(Corrupt("line 1 is nested too deeply".to_owned())));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[\\[\\]{}\"'\\\\=.,# \nau0ü]{0,60}") {
            let _ = packages(text.as_bytes());
        }
    }
}
