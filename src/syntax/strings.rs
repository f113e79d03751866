//! The forms of a string: `"…"`, `"""…"""`, `#"…"#`, and what people write in their place.
//! In: a scanner that stands at the opening. Out: one token, and the faults inside it.
//! Never: takes the rest of the file for a string because one quote is missing.

use std::borrow::Cow;

use crate::syntax::chars;
use crate::syntax::faults::{Fault, quoted, shown};
use crate::syntax::prescan::{Kind, Scanner};

const TRIPLE: &str = "\"\"\"";

impl Scanner<'_> {
    /// A string that begins here with a quote.
    pub(super) fn quoted(&mut self) -> bool {
        if self.text[self.at..].starts_with(TRIPLE) { self.lines(0) } else { self.one_line() }
    }

    /// A string that begins here with one or more `#` and a quote.
    pub(super) fn raw(&mut self) -> bool {
        let rest = &self.text[self.at..];
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        if rest[hashes..].starts_with(TRIPLE) {
            return self.lines(hashes);
        }
        let close = format!("\"{}", "#".repeat(hashes));
        let from = self.at + hashes + 1;
        let line_end = match close_on_line(self.text, from, &close) {
            Ok(end) => return self.push(Kind::Text, end),
            Err(line_end) => line_end,
        };
        match self.search(from, &close, hashes) {
            Some(end) => self.broken_across_lines(end, &format!("write `{}\"\"\"` on both sides", "#".repeat(hashes))),
            None => self.unclosed(line_end, &close),
        }
    }

    /// `r"…"`, `r#"…"#`.
    pub(super) fn raw_of_version_1(&mut self) -> bool {
        let rest = &self.text[self.at + 1..];
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        let close = format!("\"{}", "#".repeat(hashes));
        let from = self.at + hashes + 2;
        let end = close_on_line(self.text, from, &close).unwrap_or_else(|line_end| self.search(from, &close, hashes).unwrap_or(line_end));
        let body = self.text[from..end].strip_suffix(&close).unwrap_or(&self.text[from..end]);
        let mark = "#".repeat(hashes.max(1));
        self.faults.add(self.at, end, || {
            let message = "`r\"…\"` is a raw string of KDL 1; this is KDL 2";
            let help = if body.contains(['\n', '\r']) {
                format!("write `{mark}\"\"\"`, the text on lines of its own, then `\"\"\"{mark}`")
            } else {
                format!("write `{mark}\"{}\"{mark}`", shown(body))
            };
            Fault::new("syntax::kdl1", message, "from an older version of the language", help)
        });
        self.push(Kind::Bad, end)
    }

    /// Finds `close` in the rest of the file, unless such a search has failed before. Another raw string in between means that the
    /// quotes of this one were forgotten.
    fn search(&mut self, from: usize, close: &str, hashes: usize) -> Option<usize> {
        if self.hopeless {
            return None;
        }
        let open = format!(" {}\"", "#".repeat(hashes));
        let next = self.text[from..].find(&open);
        let end = next.map_or(self.text.len(), |n| from + n);
        let found = self.text[from..end].find(close).map(|n| from + n + close.len());
        self.hopeless = found.is_none() && next.is_none();
        found
    }

    fn unclosed(&mut self, end: usize, close: &str) -> bool {
        let end = self.at + self.text[self.at..end].trim_end().len();
        self.faults.add(self.at, end, || {
            let help = format!("close it with `{close}`; a text of several lines stands between `\"\"\"`");
            Fault::new("syntax::unclosed-string", "this string is not closed on its line", "opened here", help)
        });
        self.push(Kind::Bad, end)
    }

    fn broken_across_lines(&mut self, end: usize, help: &str) -> bool {
        let first = chars::line_end(self.text, self.at);
        self.faults.add(self.at, first, || {
            let message = "a string between single `\"` cannot span lines";
            let help = format!("{help}, the text on lines of its own between them");
            Fault::new("syntax::string-lines", message, "the line ends here", help)
        });
        self.push(Kind::Bad, end)
    }

    fn one_line(&mut self) -> bool {
        let mut at = self.at + 1;
        while let Some(c) = self.text[at..].chars().next() {
            match c {
                '"' => return self.push(Kind::Text, at + 1),
                '\\' => at = self.escape(at),
                _ if chars::is_newline(c) => break,
                _ => at += c.len_utf8(),
            }
        }
        match self.end_on_a_later_line(at) {
            Some(end) => self.broken_across_lines(end, "write `\"\"\"` on both sides"),
            None => self.unclosed(at, "\""),
        }
    }

    /// The end of a string whose first line ends at `at`, when the next quote of the file looks like one that closes, not opens.
    fn end_on_a_later_line(&self, at: usize) -> Option<usize> {
        let end = at + self.text[at..].find('"')? + 1;
        let rest = &self.text[end..chars::line_end(self.text, end)];
        let closes = rest.chars().next().is_none_or(|c| chars::is_space(c) || matches!(c, ';' | '}' | ')'));
        (closes && rest.matches('"').count().is_multiple_of(2)).then_some(end)
    }

    /// The offset after the escape that stands at `at`; reports one that KDL does not know.
    fn escape(&mut self, at: usize) -> usize {
        let Some(c) = self.text[at + 1..].chars().next() else { return at + 1 };
        if matches!(c, '\\' | '"' | 'b' | 'f' | 'n' | 'r' | 't' | 's') {
            return at + 2;
        }
        if chars::is_blank(c) {
            return self.text[at + 1..].find(|c| !chars::is_blank(c)).map_or(self.text.len(), |n| at + 1 + n);
        }
        let (end, what) =
            if c == 'u' { unicode_escape(self.text, at) } else { (at + 1 + c.len_utf8(), Some("write `\\\\` for a backslash")) };
        if let Some(what) = what {
            let text = &self.text[at..end];
            self.faults.add(at, end, || {
                let message = format!("`{}` is no escape", shown(text));
                let help = if c == '/' {
                    "write `/`; it needs no backslash in KDL 2".to_owned()
                } else {
                    format!("{what}, or use a raw string `#\"…\"#`, which has no escapes")
                };
                Fault::new("syntax::bad-escape", message, "not an escape", help)
            });
        }
        end
    }

    /// A string of several lines, raw when `hashes` is more than zero.
    fn lines(&mut self, hashes: usize) -> bool {
        let start = self.at;
        let begin = start + hashes + TRIPLE.len();
        let close = format!("{TRIPLE}{}", "#".repeat(hashes));
        let Some((last_line, quotes)) = self.close_of_lines(begin, &close) else {
            self.faults.add(start, begin, || {
                let help = format!("put `{close}` on a line of its own after the text");
                Fault::new("syntax::unclosed-string", "this string is never closed", "opened here", help)
            });
            return self.stop(self.text.len());
        };
        let end = quotes + close.len();
        if !self.text[begin..].starts_with(chars::is_newline) {
            self.faults.add(start, start + chars::line_end(&self.text[start..end], 0), || {
                let body = &self.text[begin..quotes];
                let help = if body.contains(chars::is_newline) {
                    "begin the text on the line after the opening quotes".to_owned()
                } else {
                    format!("write `{}`", quoted(body))
                };
                Fault::new("syntax::string-lines", "`\"\"\"` must be followed by a line end", "the text begins on the same line", help)
            });
            return self.push(Kind::Bad, end);
        }
        let prefix_end = chars::skip_spaces(self.text, last_line);
        if skip_space_and_escapes(self.text, prefix_end, hashes == 0) < quotes {
            self.faults.add(quotes, end, || {
                let help = format!("move `{close}` to the next line");
                Fault::new("syntax::string-lines", "the closing quotes must stand on a line of their own", "text before them", help)
            });
            return self.push(Kind::Bad, end);
        }
        let body = chars::skip_newline(self.text, begin);
        self.check_indent(body, last_line, last_line..prefix_end, hashes == 0);
        self.push(Kind::Text, end)
    }

    /// Where the last line of a string of several lines begins, and where its closing quotes stand.
    fn close_of_lines(&mut self, begin: usize, close: &str) -> Option<(usize, usize)> {
        let escapes = close.len() == TRIPLE.len();
        let (mut at, mut line) = (begin, begin);
        loop {
            let found = at + self.text[at..].find(|c| matches!(c, '"' | '\\') || chars::is_newline(c))?;
            at = found + 1;
            match self.text.as_bytes()[found] {
                b'"' if self.text[found..].starts_with(close) => return Some((line, found)),
                b'"' => {}
                b'\\' if escapes => at = self.escape(found),
                b'\\' => {}
                _ => {
                    at = chars::skip_newline(self.text, found);
                    line = at;
                }
            }
        }
    }

    /// Reports the first line that does not begin as the line of the closing quotes does. Lines of white space may be shorter.
    fn check_indent(&mut self, body: usize, last_line: usize, prefix: std::ops::Range<usize>, escapes: bool) {
        let mut at = body;
        while at < last_line {
            let content = skip_space_and_escapes(self.text, at, escapes);
            let blank = self.text[content..].starts_with(chars::is_newline);
            if !blank && !self.text[at..].starts_with(&self.text[prefix.clone()]) {
                let end = chars::skip_spaces(self.text, at);
                let mark = if end > at { end } else { chars::line_end(self.text, at) };
                self.faults.add(at, mark, || {
                    let message = "this line is indented less than the closing quotes, or with other white space";
                    let help = "begin every line of the text with the very white space that stands before the closing quotes";
                    Fault::new("syntax::string-indent", message, "not the same white space", help).other(
                        prefix.start,
                        prefix.end,
                        "the closing quotes set the indentation",
                    )
                });
                return;
            }
            at = next_line(self.text, content, escapes);
        }
    }
}

/// The offset after the first `close`, a quote and its hashes, from `from` on; the end of the line when it ends before.
fn close_on_line(text: &str, from: usize, close: &str) -> Result<usize, usize> {
    let mut at = from;
    while let Some(found) = text[at..].find(|c| c == '"' || chars::is_newline(c)) {
        at += found;
        if text[at..].starts_with(close) {
            return Ok(at + close.len());
        }
        if !text[at..].starts_with('"') {
            return Err(at);
        }
        at += 1;
    }
    Err(text.len())
}

/// The offset of the first character from `from` on that is neither white space in a line nor escaped white space.
fn skip_space_and_escapes(text: &str, from: usize, escapes: bool) -> usize {
    let mut at = chars::skip_spaces(text, from);
    while escapes && text[at..].starts_with('\\') && text[at + 1..].starts_with(chars::is_blank) {
        at = text[at + 1..].find(|c| !chars::is_blank(c)).map_or(text.len(), |n| at + 1 + n);
    }
    at
}

/// The beginning of the line after the one that holds `from`; an escaped line end does not end a line.
fn next_line(text: &str, from: usize, escapes: bool) -> usize {
    let mut at = from;
    while let Some(c) = text[at..].chars().next() {
        if chars::is_newline(c) {
            return chars::skip_newline(text, at);
        }
        let skipped = if c == '\\' && escapes { skip_space_and_escapes(text, at, true) } else { at };
        at = match text[at + c.len_utf8()..].chars().next() {
            _ if skipped > at => skipped,
            Some(after) if c == '\\' && escapes => at + 1 + after.len_utf8(),
            _ => at + c.len_utf8(),
        };
    }
    at
}

/// The end of the escape `\u…` at `at`, and what is wrong with it.
fn unicode_escape(text: &str, at: usize) -> (usize, Option<&'static str>) {
    const FORM: &str = "write `\\u{…}` with one to six hexadecimal digits";
    let Some(rest) = text[at..].strip_prefix("\\u{") else { return (at + 2, Some(FORM)) };
    let digits = rest.bytes().take(7).take_while(u8::is_ascii_hexdigit).count();
    let end = at + 3 + digits;
    if !(1..=6).contains(&digits) || !rest[digits..].starts_with('}') {
        return (end, Some(FORM));
    }
    match u32::from_str_radix(&rest[..digits], 16).ok().and_then(char::from_u32) {
        Some(_) => (end + 1, None),
        None => (end + 1, Some("write the number of a character, at most `\\u{10ffff}` and no surrogate")),
    }
}

/// The text that a quoted or raw string stands for; as written when it is malformed.
pub(super) fn meaning(written: &str) -> Cow<'_, str> {
    match kdl::KdlIdentifier::parse(written) {
        Ok(name) => Cow::Owned(name.value().to_owned()),
        Err(_) => Cow::Borrowed(written),
    }
}
