//! The text of an env-file → its variables.
//! In: a whole text. Out: names and values in order, or every line that is none, by number. Never: looks a variable up, runs
//! anything, repeats a line in a message: such files often hold passwords.
//!
//! The form is the common part of what Docker Compose and the dotenv libraries read: `NAME=value`, comments, `export`, single
//! quotes (as it is), double quotes (with `\n`, `\r`, `\t`, `\"`, `\\`, `\$`), both over several lines. A `$` stands for itself.

/// A line that is no variable: its number, counted from one, and why.
pub(in crate::plan) type BadLine = (usize, &'static str);

/// A name and its value.
type Variable = (String, String);

/// All variables. Of two with one name the later one counts, as everywhere such files are read.
///
/// # Errors
/// Every line that cannot be read.
pub(in crate::plan) fn parse(text: &str) -> Result<Vec<(String, String)>, Vec<BadLine>> {
    let (mut found, mut bad): (Vec<(String, String)>, Vec<BadLine>) = (Vec::new(), Vec::new());
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut number = 0;
    while !rest.is_empty() {
        let (used, result) = variable(rest);
        match result {
            Ok(Some((name, value))) => {
                found.retain(|(known, _)| *known != name);
                found.push((name, value));
            }
            Ok(None) => {}
            Err(why) => bad.push((number + 1, why)),
        }
        number += rest[..used].matches('\n').count();
        rest = &rest[used..];
    }
    if bad.is_empty() { Ok(found) } else { Err(bad) }
}

/// Reads what begins the text: how many bytes it takes, the newline at its end included, and what it says.
fn variable(text: &str) -> (usize, Result<Option<Variable>, &'static str>) {
    let line_end = text.find('\n').map_or(text.len(), |at| at + 1);
    let line = text[..line_end].trim();
    if line.is_empty() || line.starts_with('#') {
        return (line_end, Ok(None));
    }
    let Some(equals) = text[..line_end].find('=') else { return (line_end, Err("has no `=`")) };
    let name = text[..equals].trim();
    let name = name.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])).map_or(name, str::trim_start);
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if name.is_empty() || !plain || name.starts_with(|c: char| c.is_ascii_digit()) {
        return (line_end, Err("does not begin with the name of a variable"));
    }
    let begin = equals + 1 + text[equals + 1..line_end].bytes().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let (end, value) = match text.as_bytes().get(begin) {
        Some(quote @ (b'"' | b'\'')) => match quoted(text, begin, *quote) {
            Some(quoted) => quoted,
            None => return (line_end, Err("has a quote that is not closed")),
        },
        _ => {
            let raw = text[begin..line_end].trim_end();
            let comment = raw.match_indices('#').find(|(at, _)| *at == 0 || raw[..*at].ends_with([' ', '\t'])).map(|(at, _)| at);
            (line_end, raw[..comment.unwrap_or(raw.len())].trim_end().to_owned())
        }
    };
    if value.contains('\0') {
        return (end.max(line_end), Err("holds a NUL byte"));
    }
    if end == line_end {
        return (line_end, Ok(Some((name.to_owned(), value))));
    }
    let line_end = text[end..].find('\n').map_or(text.len(), |at| end + at + 1);
    let after = text[end..line_end].trim();
    if !after.is_empty() && !after.starts_with('#') {
        return (line_end, Err("has something behind the closing quote"));
    }
    (line_end, Ok(Some((name.to_owned(), value))))
}

/// The value in quotes that begins at `open`, and where it ends; `None` when it does not.
fn quoted(text: &str, open: usize, quote: u8) -> Option<(usize, String)> {
    let mut value = String::new();
    let mut chars = text[open + 1..].char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            _ if c == char::from(quote) => return Some((open + 1 + at + 1, value)),
            '\\' if quote == b'"' => match chars.next()?.1 {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                c @ ('"' | '\\' | '$') => value.push(c),
                c => value.extend(['\\', c]),
            },
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, Vec<BadLine>> {
        parse(text).map(|found| found.iter().map(|(name, value)| format!("{name}={value:?}")).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn every_common_form_is_read_and_nothing_is_looked_up() {
        for (text, expected) in [
            ("A=1\nB = two words \n", r#"A="1" B="two words""#),
            ("\u{feff}export A=1\r\n\r\n  # no\n\texport\tB=2", r#"A="1" B="2""#),
            ("exported=1", r#"exported="1""#),
            ("A=x # why\nB=x#y\nC=#\nD=", r#"A="x" B="x#y" C="" D="""#),
            (r#"A="x # \"y\" \$z \q" # why"#, r#"A="x # \"y\" $z \\q""#),
            ("A='x \\n ${B}'\nB=\"one\ntwo\"\nC=3", r#"A="x \\n ${B}" B="one\ntwo" C="3""#),
            ("A=${HOME} $(id) `id`", r#"A="${HOME} $(id) `id`""#),
            ("A=1\nA=2", r#"A="2""#),
            ("A=b=c", r#"A="b=c""#),
            ("", ""),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn every_bad_line_is_told_by_its_number() {
        for (text, expected) in [
            ("A=1\njust text\nB=2\n=x", vec![(2, "has no `=`"), (4, "does not begin with the name of a variable")]),
            ("1A=x\nA-B=x\nA B=x", vec![1, 2, 3].into_iter().map(|line| (line, "does not begin with the name of a variable")).collect()),
            ("A='one\ntwo\n", vec![(1, "has a quote that is not closed"), (2, "has no `=`")]),
            (
                "A='x' y\nB=\"1\n2\" 3\nC",
                vec![(1, "has something behind the closing quote"), (2, "has something behind the closing quote"), (4, "has no `=`")],
            ),
        ] {
            assert_eq!(shown(text), Err(expected), "{text:?}");
        }
    }
}
