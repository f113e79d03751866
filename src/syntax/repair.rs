//! Why a bare word is not what its writer meant, and what to write in its place.
//! In: one word and where it stands. Out: the cause in the writer's terms, or nothing when the word is good KDL and no trap.
//! Never: a fault that quoting the word does not cure.

use crate::syntax::faults::{Fault, quoted, shown};

/// Where a word stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// First on its line: the name of a node.
    Name,
    /// After the name, or after `=`.
    Value,
    /// Before `=`.
    Key,
}

/// What is wrong with a word, and which of its bytes show it.
pub(super) struct Cause {
    pub(super) fault: Fault,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The words that KDL 2 writes with `#`.
pub(super) const KEYWORDS: &[&str] = &["true", "false", "null", "inf", "-inf", "nan"];

/// The longest number that fits: 38 digits fit in 128 bits, whatever they are.
const MAX_DIGITS: usize = 38;

/// The reason why `word` cannot stand where it does; `next` is the text after it on its line, for the help.
pub(super) fn cause(word: &str, place: Place, next: &str) -> Option<Cause> {
    let whole = |fault| Some(Cause { fault, start: 0, end: word.len() });
    if let Some((at, sign)) = word.char_indices().find(|(_, c)| matches!(c, '\u{ad}' | '\u{200b}' | '\u{2060}')) {
        let message = format!("an invisible character, `{}`, stands in this word", sign.escape_unicode());
        let help = format!("remove it; inside a string write `{}`", sign.escape_unicode());
        let fault = Fault::new("syntax::forbidden-character", message, "not what it seems", help);
        return Some(Cause { fault, start: at, end: at + sign.len_utf8() });
    }
    if let Some(comma) = word.find(',') {
        return Some(Cause { fault: comma_fault(word), start: comma, end: comma + 1 });
    }
    if let Some(keyword) = word.strip_prefix('#') {
        return keyword_fault(word, keyword, place).and_then(whole);
    }
    if word.contains(['/', '\\']) {
        return whole(path_fault(word));
    }
    if let Some(table) = word.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).filter(|_| place == Place::Name) {
        return whole(table_fault(word, table.trim_matches(['[', ']'])));
    }
    if let Some(found) = word.find(['[', ']']) {
        return whole(character_fault("syntax::unquoted-bracket", word, &word[found..=found]));
    }
    if word.contains('#') {
        return whole(character_fault("syntax::unquoted-hash", word, "#"));
    }
    if KEYWORDS.contains(&word) {
        return whole(bare_keyword(word, place));
    }
    if let Some(name) = word.strip_suffix(':')
        && !name.is_empty()
        && place != Place::Key
    {
        return Some(Cause { fault: colon_fault(name, place, next), start: 0, end: word.len() });
    }
    if place == Place::Key && word.ends_with(['<', '>', '!', '+', '*', '?', ':', '|', '^', '&', '%', '~']) {
        return Some(Cause { fault: operator_fault(word, next), start: 0, end: word.len() + 1 });
    }
    if begins_like_a_number(word) {
        return number_fault(word, place).and_then(whole);
    }
    None
}

/// KDL reads a word as a number when a digit stands first, after a sign, or after a point.
fn begins_like_a_number(word: &str) -> bool {
    let word = word.strip_prefix(['+', '-']).unwrap_or(word);
    let word = word.strip_prefix('.').unwrap_or(word);
    word.starts_with(|c: char| c.is_ascii_digit())
}

/// `[task.build]`, as TOML begins a table.
fn table_fault(word: &str, table: &str) -> Fault {
    let node = match table.split_once('.') {
        Some((kind, name)) => format!("{} {}", shown(kind), quoted(name)),
        None => shown(table),
    };
    let message = format!("`{}` is a table of TOML; in KDL a node has a name and a block", shown(word));
    Fault::new("syntax::unquoted-bracket", message, "not a bare word", format!("write `{node} {{ … }}`"))
}

fn comma_fault(word: &str) -> Fault {
    let parts: Vec<&str> = word.split(',').filter(|part| !part.is_empty()).collect();
    let help = match parts.as_slice() {
        [] => "remove it".to_owned(),
        [one] => format!("write `{}`", shown(one)),
        many => format!("write `{}`; when the comma belongs to the text, quote it: `{}`", shown(&many.join(" ")), quoted(word)),
    };
    Fault::new("syntax::comma", "values are separated by spaces, not commas", "part of the word, as KDL reads it", help)
}

fn keyword_fault(word: &str, keyword: &str, place: Place) -> Option<Fault> {
    if !KEYWORDS.contains(&keyword) {
        let lower = keyword.to_lowercase();
        let help = match lower.as_str() {
            "true" | "false" | "null" | "inf" | "-inf" | "nan" => format!("write `#{lower}`"),
            "yes" | "on" => "write `#true`".to_owned(),
            "no" | "off" => "write `#false`".to_owned(),
            _ => format!("for a text, quote it: `{}`; a comment begins with `//`", quoted(word)),
        };
        let message = format!("`{}` is no keyword", shown(word));
        return Some(Fault::new("syntax::unknown-keyword", message, "keywords are #true, #false, #null, #inf, #-inf, #nan", help));
    }
    (place != Place::Value).then(|| not_a_name(word, place))
}

fn not_a_name(word: &str, place: Place) -> Fault {
    let what = if place == Place::Name { "a node" } else { "a property" };
    let message = format!("`{}` cannot name {what}", shown(word));
    Fault::new(
        "syntax::bad-name",
        message,
        "not a name",
        format!("begin with a name; a text that looks like this is quoted: `{}`", quoted(word)),
    )
}

fn path_fault(word: &str) -> Fault {
    if word == "\\" {
        let help = "remove it, or put what follows on the next line; inside quotes write `\\\\`";
        return Fault::new(
            "syntax::unquoted-path",
            "`\\` continues a line only at its end",
            "something follows it on this line",
            help.to_owned(),
        );
    }
    let sign = if word.contains('/') { "/" } else { "\\" };
    let message = format!("`{}` holds a `{sign}` and must be quoted", shown(word));
    let mut help = format!("write `{}`", quoted(word));
    if let Some(short) = platform(word) {
        help = format!("{help}, or `{short}`");
    }
    Fault::new("syntax::unquoted-path", message, "not a bare word", help)
}

/// The short name of a platform: `linux/arm/v7` is `arm-v7`.
fn platform(word: &str) -> Option<String> {
    let rest = word.strip_prefix("linux/")?;
    let known = matches!(rest.split('/').next()?, "amd64" | "arm64" | "arm" | "386" | "ppc64le" | "riscv64" | "s390x");
    (known && !rest.starts_with(|c: char| c.is_ascii_digit())).then(|| rest.replace('/', "-"))
}

fn character_fault(code: &'static str, word: &str, sign: &str) -> Fault {
    let message = format!("`{}` holds a `{sign}` and must be quoted", shown(word));
    Fault::new(code, message, "not a bare word", format!("write `{}`", quoted(word)))
}

fn bare_keyword(word: &str, place: Place) -> Fault {
    if place != Place::Value {
        return not_a_name(word, place);
    }
    let help = match word {
        "true" => "write `#true`, or name the flag alone: what is named is on".to_owned(),
        "false" => "write `#false`, or leave the flag out".to_owned(),
        _ => format!("write `#{word}`; for the text, `\"{word}\"`"),
    };
    Fault::new("syntax::bare-boolean", format!("`{word}` alone is KDL 1; KDL 2 writes `#{word}`"), "needs a `#`", help)
}

fn colon_fault(name: &str, place: Place, next: &str) -> Fault {
    let Some(value) = next.split_whitespace().next() else {
        let message = format!("`{}:` opens no block", shown(name));
        let help = format!("a block stands between braces: `{} {{ … }}`; to keep the colon, quote it", shown(name));
        return Fault::new("syntax::colon-name", message, "the colon is part of the word", help);
    };
    let (message, help) = if place == Place::Name {
        (format!("`{}:` would be a node named with its colon", shown(name)), format!("write `{} {}`", shown(name), shown(value)))
    } else {
        (format!("`{}:` would be a text, not the name of what follows", shown(name)), format!("write `{}={}`", shown(name), shown(value)))
    };
    Fault::new("syntax::colon-name", message, "the colon is part of the word", format!("{help}; to keep the colon, quote it"))
}

fn operator_fault(key: &str, next: &str) -> Fault {
    let value = next.trim_start_matches('=').split_whitespace().next().unwrap_or("…");
    let name = key.trim_end_matches(|c: char| !c.is_alphanumeric());
    if name.is_empty() && matches!(key, ":" | "?" | "+" | "::") {
        let message = format!("`{}=` is no assignment in KDL", shown(key));
        let help = format!("a node takes its value without a sign: write `NAME {}`", shown(value));
        return Fault::new("syntax::operator-property", message, "not an operator", help);
    }
    let message = format!("`{}=` is no comparison: it sets a property named `{}`", shown(key), shown(key));
    let help = if name.is_empty() {
        format!("quote it: `{}`, or name the property: `name={}`", quoted(&format!("{key}={value}")), shown(value))
    } else {
        format!("write `{}={}`, or quote the whole: `{}`", shown(name), shown(value), quoted(&format!("{key}={value}")))
    };
    Fault::new("syntax::operator-property", message, "not an operator", help)
}

/// What a word is that begins like a number; `None` when it is one, of a size that fits.
fn number_fault(word: &str, place: Place) -> Option<Fault> {
    let quote = format!("write `{}`", quoted(word));
    let must = |what: &str| format!("`{}` is a {what} and must be quoted", shown(word));
    let label = "begins like a number";
    match number(word) {
        Number::Good if place == Place::Value => None,
        Number::Good => Some(not_a_name(word, place)),
        Number::TooLarge => {
            let floating = word.contains(['e', 'E']) && !word.contains('x');
            let range = if floating { "an exponent reaches 308".to_owned() } else { format!("numbers have at most {MAX_DIGITS} digits") };
            let help = format!("{range}; for a text, {quote}");
            Some(Fault::new("syntax::number-range", format!("the number `{}` is out of range", shown(word)), "too large", help))
        }
        Number::Not if is_duration(word) => Some(Fault::new("syntax::unquoted-duration", must("duration"), label, quote)),
        Number::Not if is_size(word) => Some(Fault::new("syntax::unquoted-size", must("size"), label, quote)),
        Number::Not if is_port(word) => Some(Fault::new("syntax::unquoted-port", must("port mapping"), label, quote)),
        Number::Not if is_version(word) => Some(Fault::new("syntax::unquoted-version", must("version"), label, quote)),
        Number::Not => {
            let message = format!("`{}` begins like a number and is none", shown(word));
            let help = if word.contains('.') { format!("{quote}; a number has digits on both sides of its point") } else { quote };
            Some(Fault::new("syntax::bad-number", message, "not a number, not a bare word", help))
        }
    }
}

enum Number {
    Good,
    TooLarge,
    Not,
}

/// Reads a number as KDL 2 writes it; digits may be parted by `_`.
fn number(word: &str) -> Number {
    let body = word.strip_prefix(['+', '-']).unwrap_or(word);
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = body.strip_prefix(prefix) {
            return group(digits, radix);
        }
    }
    let (mantissa, exponent) = match body.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (body, None),
    };
    let (integer, fraction) = match mantissa.split_once('.') {
        Some((integer, fraction)) => (integer, Some(fraction)),
        None => (mantissa, None),
    };
    let mut worst = Number::Good;
    for part in [Some(integer), fraction, exponent].into_iter().flatten() {
        match group(part, 10) {
            Number::Good => {}
            Number::TooLarge => worst = Number::TooLarge,
            Number::Not => return Number::Not,
        }
    }
    let finite = (fraction.is_none() && exponent.is_none()) || body.replace('_', "").parse().is_ok_and(f64::is_finite);
    if finite { worst } else { Number::TooLarge }
}

/// One run of digits.
fn group(digits: &str, radix: u32) -> Number {
    let begins = digits.starts_with(|c: char| c.is_digit(radix));
    if !begins || !digits.chars().all(|c| c.is_digit(radix) || c == '_') {
        return Number::Not;
    }
    match i128::from_str_radix(&digits.replace('_', ""), radix) {
        Ok(_) => Number::Good,
        Err(_) => Number::TooLarge,
    }
}

/// Splits a text into leading digits, with at most one point among them, and the rest.
fn split_number(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text.split_at(end)
}

fn is_duration(word: &str) -> bool {
    let mut rest = word;
    while !rest.is_empty() {
        let (digits, after) = split_number(rest);
        let unit = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        if digits.is_empty() || digits.matches('.').count() > 1 || !is_time_unit(&after[..unit]) {
            return false;
        }
        rest = &after[unit..];
    }
    true
}

fn is_time_unit(unit: &str) -> bool {
    matches!(
        unit,
        "ns" | "us"
            | "µs"
            | "ms"
            | "s"
            | "sec"
            | "secs"
            | "m"
            | "min"
            | "mins"
            | "h"
            | "hr"
            | "hrs"
            | "hour"
            | "hours"
            | "d"
            | "day"
            | "days"
            | "w"
    )
}

fn is_size(word: &str) -> bool {
    let (digits, unit) = split_number(word);
    let unit = unit.to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let unit = unit.strip_suffix('i').unwrap_or(unit);
    !digits.is_empty() && digits.matches('.').count() <= 1 && word.len() > digits.len() && matches!(unit, "" | "k" | "m" | "g" | "t" | "p")
}

fn is_port(word: &str) -> bool {
    word.split(':').count() >= 2 && word.split(':').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_version(word: &str) -> bool {
    word.split_once('.').is_some_and(|(major, rest)| {
        !major.is_empty() && major.bytes().all(|byte| byte.is_ascii_digit()) && rest.contains(['.', '-', '+']) || rest == "x" || rest == "*"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_named_for_what_its_writer_meant() {
        for (word, code, help) in [
            ("linux/amd64", "syntax::unquoted-path", "write `\"linux/amd64\"`, or `amd64`"),
            ("linux/arm/v7", "syntax::unquoted-path", "or `arm-v7`"),
            ("./cmd", "syntax::unquoted-path", "write `\"./cmd\"`"),
            ("~/a", "syntax::unquoted-path", "write `\"~/a\"`"),
            ("C:\\x", "syntax::unquoted-path", "write `#\"C:\\x\"#`"),
            ("1.2.3", "syntax::unquoted-version", "write `\"1.2.3\"`"),
            ("3.20-alpine", "syntax::unquoted-version", "\"3.20-alpine\""),
            ("1.x", "syntax::unquoted-version", "\"1.x\""),
            ("1h", "syntax::unquoted-duration", "\"1h\""),
            ("1h30m", "syntax::unquoted-duration", "\"1h30m\""),
            ("1.5h", "syntax::unquoted-duration", "\"1.5h\""),
            ("512MiB", "syntax::unquoted-size", "\"512MiB\""),
            ("10G", "syntax::unquoted-size", "\"10G\""),
            ("8080:80", "syntax::unquoted-port", "\"8080:80\""),
            ("2026-01-01", "syntax::bad-number", "\"2026-01-01\""),
            (".5", "syntax::bad-number", "digits on both sides"),
            ("1e400", "syntax::number-range", "reaches 308"),
            ("170141183460469231731687303715884105728", "syntax::number-range", "38 digits"),
            ("true", "syntax::bare-boolean", "write `#true`"),
            ("null", "syntax::bare-boolean", "`\"null\"`"),
            ("#True", "syntax::unknown-keyword", "write `#true`"),
            ("#yes", "syntax::unknown-keyword", "write `#true`"),
            ("name[0]", "syntax::unquoted-bracket", "\"name[0]\""),
            ("a#b", "syntax::unquoted-hash", "\"a#b\""),
            ("amd64,arm64", "syntax::comma", "write `amd64 arm64`"),
            ("amd64,", "syntax::comma", "write `amd64`"),
        ] {
            let found = cause(word, Place::Value, "").unwrap_or_else(|| panic!("`{word}` passes")).fault;
            assert_eq!(found.code, code, "{word}");
            assert!(found.help.contains(help), "{word}: {}", found.help);
        }
    }

    #[test]
    fn good_words_and_numbers_pass() {
        for word in [
            "a",
            "--flag",
            "-",
            "+",
            "..",
            ".a",
            "v1.2.3",
            "go1.22",
            "alpine:3.20",
            "a.b-c_d",
            "*.go",
            "日本",
            "$HOME",
            "a@b",
            "1",
            "-1",
            "+1",
            "1_000",
            "1.5",
            "1e3",
            "1.5E-3",
            "0x1F",
            "0o17",
            "-0b1_0",
            "#true",
            "#-inf",
            "don't",
            "170141183460469231731687303715884105727",
        ] {
            assert!(cause(word, Place::Value, "").is_none(), "{word}");
        }
    }

    #[test]
    fn a_number_or_keyword_names_nothing() {
        for word in ["1", "1.5", "#true", "true", "0x1"] {
            assert_eq!(cause(word, Place::Name, "").unwrap().fault.code, "syntax::bad-name", "{word}");
            assert_eq!(cause(word, Place::Key, "=2").unwrap().fault.code, "syntax::bad-name", "{word}");
        }
    }
}
