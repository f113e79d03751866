//! Comparisons of versions: `version >= '1.10.0'` goes by precedence, where a `semver` param stands alone on one side.
//! In: an expression and which of its names are versions. Out: the expression with those comparisons as calls of [`COMPARE`].
//! Never: a change to any other comparison.

use std::cmp::Ordering;
use std::ops::Range;

use minijinja::{Error, ErrorKind};

/// The function that compares. No name of a plan begins like this, so an expression cannot call it.
pub(super) const COMPARE: &str = "__compare";
/// Words that part operands.
const WORDS: &[&str] = &["and", "or", "not", "if", "else", "in", "is"];
/// Signs that bind their operands closer than a comparison does.
const CLOSER: &[&str] = &["~", "+", "-", "|", ".", "["];

/// The expression with its comparisons of versions written as calls; `None` when it has none.
///
/// # Errors
/// Why a comparison of a version cannot be made.
pub(super) fn by_precedence(text: &str, is_version: impl Fn(&str) -> bool) -> Result<Option<String>, String> {
    let tokens = tokens(text);
    let word = |at: usize| tokens.get(at).map_or("", |range: &Range<usize>| &text[range.clone()]);
    let mut written = String::new();
    let mut from = 0;
    for at in 0..tokens.len() {
        let operator = word(at);
        if !matches!(operator, "<" | ">" | "<=" | ">=" | "==" | "!=") || at == 0 {
            continue;
        }
        let (left, right) = (word(at - 1), word(at + 1));
        if !is_version(left) && !is_version(right) {
            continue;
        }
        let alone = |word: &str| {
            word.starts_with(['\'', '"']) || (word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && !WORDS.contains(&word))
        };
        let closer = (at > 1 && CLOSER.contains(&word(at - 2))) || CLOSER.contains(&word(at + 2)) || word(at + 2) == "(";
        if closer || !alone(left) || !alone(right) {
            return Err(format!("a version is compared with a name or a text that stands alone beside `{operator}`"));
        }
        written.push_str(&text[from..tokens[at - 1].start]);
        written.push_str(&format!("{COMPARE}({left}, '{operator}', {right})"));
        from = tokens[at + 1].end;
    }
    Ok((from > 0).then(|| written + &text[from..]))
}

/// Names with their dots, quoted texts, and signs.
fn tokens(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let start = at;
        at += match bytes[at] {
            quote @ (b'\'' | b'"') => {
                let mut end = at + 1;
                while end < bytes.len() && bytes[end] != quote {
                    end += if bytes[end] == b'\\' { 2 } else { 1 };
                }
                end + 1 - at
            }
            byte if byte.is_ascii_whitespace() => 1,
            byte if word(byte) => bytes[at..].iter().take_while(|byte| word(**byte)).count(),
            b'<' | b'>' | b'=' | b'!' if bytes.get(at + 1) == Some(&b'=') => 2,
            _ => 1,
        };
        at = at.min(bytes.len());
        if !bytes[start].is_ascii_whitespace() && text.is_char_boundary(start) && text.is_char_boundary(at) {
            found.push(start..at);
        }
    }
    found
}

/// Whether two versions stand to each other as the operator says, by precedence: what follows `+` does not count.
/// Source: Semantic Versioning 2.0.0, 11.
///
/// # Errors
/// When one of them is no version.
pub(super) fn compare(left: &str, operator: &str, right: &str) -> Result<bool, Error> {
    let version = |text: &str| {
        let why = |error| Error::new(ErrorKind::InvalidOperation, format!("`{text}` is not a version like `1.4.2`: {error}"));
        semver::Version::parse(text).map_err(why)
    };
    let order = version(left)?.cmp_precedence(&version(right)?);
    Ok(match operator {
        "<" => order == Ordering::Less,
        ">" => order == Ordering::Greater,
        "<=" => order != Ordering::Greater,
        ">=" => order != Ordering::Less,
        "!=" => order != Ordering::Equal,
        _ => order == Ordering::Equal,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_comparisons_of_versions_are_rewritten() {
        for (text, expected) in [
            ("v >= '1.10.0'", Ok(Some("__compare(v, '>=', '1.10.0')"))),
            ("'a' if not v<w and x == 'y' else v", Ok(Some("'a' if not __compare(v, '<', w) and x == 'y' else v"))),
            ("(v == \"1.0.0\") or v != w", Ok(Some("(__compare(v, '==', \"1.0.0\")) or __compare(v, '!=', w)"))),
            ("x >= '1.10.0'", Ok(None)),
            ("v|major == '1'", Ok(None)),
            ("'v >= w'", Ok(None)),
            ("v ~ 'é' ~ 'ü'", Ok(None)),
            ("v >= w|default('1.0.0')", Err(())),
            ("v > 1", Err(())),
            ("v >", Err(())),
        ] {
            let found = by_precedence(text, |name| matches!(name, "v" | "w"));
            assert_eq!(found.as_ref().map(Option::as_deref).map_err(|_| ()), expected, "{text}");
        }
    }

    #[test]
    fn versions_are_ordered_as_the_standard_says() {
        for (left, operator, right, expected) in [
            ("1.9.0", ">=", "1.10.0", false),
            ("1.10.0", ">", "1.9.0", true),
            ("1.0.0-rc.2", "<", "1.0.0-rc.10", true),
            ("1.0.0-rc.1", "<", "1.0.0", true),
            ("1.0.0+a", "==", "1.0.0+b", true),
            ("1.0.0", "!=", "1.0.1", true),
            ("1.0.0", "<=", "1.0.0", true),
        ] {
            assert_eq!(compare(left, operator, right).unwrap(), expected, "{left} {operator} {right}");
        }
        assert!(compare("1.9", ">", "1.0.0").is_err());
    }
}
