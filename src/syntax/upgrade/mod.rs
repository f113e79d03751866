//! KDL 1 → KDL 2: which of the two a text is written in, and the same document in KDL 2.
//! In: any text. Out: its translation, word by word, and the signs of either version. Comments, spaces and order stay.
//! Never: a fault, a look at what a word means; what belongs to neither version stays as it is.
//!
//! KDL 1 has no bare words as values, no `#`, and no `"""`; KDL 2 has no `r"…"`, no bare `true`, no `\/` and no line end in a `"…"`.
//! Source: KDL 1.0.0 and 2.0.0, the latter's section "Changes".

mod strings;

use std::ops::Range;
use std::sync::Arc;

use crate::base::diagnostic::{Diagnostics, Source};
use crate::syntax::faults::{Fault, Faults};
use crate::syntax::{chars, comments, format, parse, prescan, shape};

/// So many bare keywords in a text without a sign of KDL 2 are no slip: it is KDL 1.
const SLIPS: usize = 3;

/// The file in KDL 2, in the one form of [`format::format`]. A file that is KDL 2 is only formatted.
///
/// # Errors
/// The syntax faults that remain after the translation, with their places in the translated text.
pub fn upgrade(source: &Arc<Source>) -> Result<String, Diagnostics> {
    if parse(Arc::clone(source)).is_ok() {
        return format::format(source);
    }
    let text = translate(&source.text).text;
    format::format(&Arc::new(Source { name: format!("{} as KDL 2", source.name), text }))
}

/// One fault for a file that is KDL 1 from beginning to end; `None` for any other, whose faults have their own causes.
pub(super) fn fault_of_version_1(source: &Arc<Source>) -> Option<Faults> {
    let Translation { text, first, signs, sure, newer } = translate(&source.text);
    let first = first.filter(|_| !newer && (sure || signs >= SLIPS))?;
    let translated = Arc::new(Source { name: source.name.clone(), text });
    let scan = prescan::scan(&translated);
    if !scan.faults.is_empty() || !shape::check(&translated, &scan.tokens).faults.is_empty() {
        return None;
    }
    let mut faults = Faults::new(Arc::clone(source));
    faults.add(first.start, first.end, || {
        let help = "`kiln fmt --upgrade` with the name of the file writes it as KDL 2; comments and values stay";
        Fault::new("syntax::kdl1", "this file is written in KDL 1; kiln reads KDL 2", "KDL 2 writes this in another way", help)
    });
    Some(faults)
}

/// What the translation found.
struct Translation {
    /// The text in KDL 2.
    text: String,
    /// The first place that only KDL 1 has.
    first: Option<Range<usize>>,
    /// How many there are.
    signs: usize,
    /// Whether one of them is no slip in KDL 2: a raw string, or a mark of the version.
    sure: bool,
    /// Whether something was found that only KDL 2 has.
    newer: bool,
}

/// Translates word by word. Linear in the text.
fn translate(text: &str) -> Translation {
    let found = Translation { text: String::with_capacity(text.len() + text.len() / 8), first: None, signs: 0, sure: false, newer: false };
    let mut walk = Walk { text, at: 0, begins: true, joined: false, typed: false, dashed: false, versioned: false, found };
    while walk.at < text.len() {
        walk.step();
    }
    walk.found
}

struct Walk<'a> {
    text: &'a str,
    at: usize,
    /// Whether the next word names a node.
    begins: bool,
    /// Whether a `\` takes the next line end away.
    joined: bool,
    /// Whether the next word is a type.
    typed: bool,
    /// Whether the node is commented out.
    dashed: bool,
    /// Whether the next word is the number of a version.
    versioned: bool,
    found: Translation,
}

impl Walk<'_> {
    fn step(&mut self) {
        let rest = &self.text[self.at..];
        let Some(c) = rest.chars().next() else { return };
        match c {
            _ if chars::is_newline(c) => {
                self.begins |= !std::mem::take(&mut self.joined);
                self.dashed &= !self.begins;
                self.copy(c.len_utf8());
            }
            // KDL 1 takes this mark for white space anywhere.
            '\u{feff}' => self.replace(c.len_utf8(), " "),
            _ if chars::is_space(c) => self.copy(c.len_utf8()),
            '/' if rest.starts_with("//") => self.copy(chars::line_end(self.text, self.at) - self.at),
            '/' if rest.starts_with("/*") => {
                let end = comments::end_of_block(self.text, self.at).unwrap_or(self.text.len());
                self.copy(end - self.at);
            }
            '/' if rest.starts_with("/-") => {
                self.dashed |= self.begins;
                self.copy(2);
            }
            '{' | '}' | ';' => {
                (self.begins, self.dashed) = (true, false);
                self.copy(1);
            }
            '(' | ')' => {
                self.typed = c == '(';
                self.copy(1);
            }
            '=' => self.copy(1),
            '\\' => {
                self.joined = true;
                self.copy(1);
            }
            '"' => self.quoted(),
            '#' => self.of_version_2(),
            'r' if rest[1..].trim_start_matches('#').starts_with('"') => self.raw(),
            _ => self.word(),
        }
    }

    fn copy(&mut self, len: usize) {
        self.found.text.push_str(&self.text[self.at..self.at + len]);
        self.at += len;
    }

    fn replace(&mut self, len: usize, new: &str) {
        self.found.text.push_str(new);
        self.at += len;
    }

    /// Notes that the next `len` bytes are KDL 1 and nothing else.
    fn sign(&mut self, len: usize) {
        self.found.signs += 1;
        self.found.first.get_or_insert(self.at..self.at + len);
    }

    /// Whether the word that ends at `end` is the name of a property, of a node or of a type; afterwards values follow.
    fn is_name(&mut self, end: usize) -> bool {
        let key = self.text[end..].starts_with('=');
        let typed = std::mem::take(&mut self.typed);
        let name = !typed && !key && std::mem::take(&mut self.begins);
        key || typed || name
    }

    fn quoted(&mut self) {
        let rest = &self.text[self.at..];
        if let Some(body) = rest.strip_prefix("\"\"\"") {
            self.found.newer = true;
            self.is_name(self.at);
            return self.copy(body.find("\"\"\"").map_or(rest.len(), |n| n + 6));
        }
        let end = strings::end(self.text, self.at + 1);
        let body = self.text[self.at + 1..end].strip_suffix('"').unwrap_or(&self.text[self.at + 1..end]);
        self.is_name(end);
        let new = strings::plain(body);
        let written = &self.text[self.at..end];
        if new != written {
            let shown = chars::line_end(written, 0);
            self.sign(shown);
        }
        self.replace(end - self.at, &new);
    }

    /// `r"…"`, `r#"…"#`.
    fn raw(&mut self) {
        let rest = &self.text[self.at + 1..];
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        let close = format!("\"{}", "#".repeat(hashes));
        let from = self.at + 1 + hashes + 1;
        let to = self.text[from..].find(&close).map_or(self.text.len(), |n| from + n);
        let end = (to + close.len()).min(self.text.len());
        self.is_name(end);
        self.sign(chars::line_end(&self.text[self.at..end], 0));
        self.found.sure = true;
        let new = strings::raw(&self.text[from..to]);
        self.replace(end - self.at, &new);
    }

    /// `#true`, `#"…"#`.
    fn of_version_2(&mut self) {
        self.found.newer = true;
        let rest = &self.text[self.at..];
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        let len = match rest[hashes..].strip_prefix('"') {
            Some(body) => {
                let close = format!("\"{}", "#".repeat(hashes));
                let body_len = body.find(&close).map_or(body.len(), |n| n + close.len());
                hashes + 1 + body_len
            }
            None => self.word_end() - self.at,
        };
        self.is_name(self.at + len);
        self.copy(len);
    }

    /// The end of the bare word here; at least one character on.
    fn word_end(&self) -> usize {
        let first = self.text[self.at..].chars().next().map_or(0, char::len_utf8);
        let from = self.at + first;
        let rest = &self.text[from..];
        let stop = |(at, c): (usize, char)| {
            chars::is_blank(c)
                || matches!(c, '{' | '}' | '(' | ')' | ';' | '=' | '"' | '\\')
                || c == '/' && rest[at + 1..].starts_with(['/', '*'])
        };
        rest.char_indices().find(|found| stop(*found)).map_or(self.text.len(), |(n, _)| from + n)
    }

    fn word(&mut self) {
        let end = self.word_end();
        let word = &self.text[self.at..end];
        let begins = self.begins && !self.typed;
        if self.is_name(end) {
            let marks_version = begins && self.dashed && word == "kdl-version";
            let begins_like_a_number = word.strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
            if word.contains('#') || begins_like_a_number || matches!(word, "inf" | "-inf" | "nan") {
                self.replace(word.len(), &strings::plain(word));
            } else {
                self.copy(word.len());
            }
            self.versioned = marks_version;
            return;
        }
        match word {
            "1" if std::mem::take(&mut self.versioned) => {
                self.sign(1);
                self.found.sure = true;
                self.replace(1, "2");
            }
            "true" | "false" | "null" => {
                self.sign(word.len());
                self.replace(word.len(), &format!("#{word}"));
            }
            _ => {
                let number = word.trim_start_matches(['+', '-']).starts_with(|c: char| c.is_ascii_digit());
                self.found.newer |= !number;
                self.copy(word.len());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::syntax::document::Scalar;

    fn source(text: &str) -> Arc<Source> {
        Arc::new(Source { name: "old.kdl".to_owned(), text: text.to_owned() })
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(upgrade(&source(text)).unwrap_or_else(|faults| panic!("{text:?}: {faults:?}")), expected, "{text:?}");
    }

    #[test]
    fn what_only_version_1_has_is_written_as_version_2() {
        check("a true k=null // true\n", "a #true k=#null // true\n");
        check("a r\"C:\\x\" r#\"say \"hi\"\"# r\"\" k=r\"\\d\"", "a #\"C:\\x\"# #\"say \"hi\"\"# #\"\"# k=#\"\\d\"#\n");
        check("a \"x\\/y\" null", "a \"x/y\" #null\n");
        check("/- kdl-version 1\nnode true", "/- kdl-version 2\nnode #true\n");
        check("a (u)null; inf true; b#c 1", "a (u)#null; \"inf\" #true; \"b#c\" 1\n");
    }

    #[test]
    fn texts_of_several_lines_keep_their_value() {
        for (old, value) in [
            ("a \"x\n  y\n\" true", "x\n  y\n"),
            ("a r\"x\n\\y\" true", "x\n\\y"),
            ("a r#\"x\n   \n\"y\"#  true", "x\n   \n\"y"),
            ("a \"x\n \t\ny\" true", "x\n \t\ny"),
            ("a r\"\"\"x\"\"\" true", ""),
            ("a \"\u{202e}\\n\" true", "\u{202e}\n"),
            ("a r\"\u{7f}\\n\" true", "\u{7f}\\n"),
        ] {
            let Ok(new) = upgrade(&source(old)) else {
                assert_eq!(value, "", "{old:?}");
                continue;
            };
            let document = parse(source(&new)).unwrap();
            assert_eq!(document.nodes[0].args[0].scalar, Scalar::String(value.to_owned()), "{old:?} {new:?}");
        }
    }

    #[test]
    fn a_file_that_is_version_2_is_only_formatted() {
        check("a  #true \"true\" b", "a #true \"true\" b\n");
    }

    #[test]
    fn a_whole_file_of_version_1_is_one_fault_and_a_slip_is_its_own() {
        let codes = |text: &str| -> Vec<&str> { parse(source(text)).unwrap_err().into_iter().map(|fault| fault.code).collect() };
        assert_eq!(codes("a r\"x\"\nb true\nc false\nd null"), ["syntax::kdl1"]);
        assert_eq!(codes("a true\nb true\nc true"), ["syntax::kdl1"]);
        assert_eq!(codes("a true\nb true"), ["syntax::bare-boolean"; 2]);
        assert_eq!(codes("platforms amd64\na true\nb true\nc true"), ["syntax::bare-boolean"; 3]);
        assert_eq!(
            codes("a true\nb true\nc true\nd 1.2.3"),
            ["syntax::bare-boolean", "syntax::bare-boolean", "syntax::bare-boolean", "syntax::unquoted-version"]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_can_be_translated_and_what_is_read_is_done(text in "[ar\"#\\\\/\n\r\u{feff}{}()=;,. 1true\u{2028}é-]{0,40}") {
            let once = translate(&text);
            prop_assert!(once.first.is_none_or(|place| text.get(place).is_some()));
            if let Ok(new) = upgrade(&source(&text)) {
                prop_assert_eq!(upgrade(&source(&new)).unwrap(), new.as_str(), "of {:?}", text);
            }
        }
    }
}
