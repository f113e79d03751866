//! Strings of KDL 1 in KDL 2.
//! In: what stood between the quotes. Out: a string of the same value, quotes included. Never: another value, but that `\r\n` is a
//! line feed, as everywhere in KDL 2.

use crate::syntax::chars;

/// The offset after the closing quote of a string whose text begins at `from`; the end of the text when there is none.
pub(super) fn end(text: &str, from: usize) -> usize {
    let mut escaped = false;
    for (n, byte) in text.bytes().enumerate().skip(from) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return n + 1,
            _ => {}
        }
    }
    text.len()
}

/// `"…"`: `\/` is gone, a text of several lines stands between `"""`.
pub(super) fn plain(body: &str) -> String {
    let body = body.replace("\r\n", "\n");
    let lines: Vec<&str> = body.split('\n').collect();
    let several = lines.len() > 1;
    let mut out = String::new();
    for (n, line) in lines.iter().enumerate() {
        if n > 0 {
            out.push('\n');
        }
        // KDL 2 empties a line of white space.
        let blank = several && line.chars().all(chars::is_space);
        let mut chars_of_line = line.chars();
        while let Some(c) = chars_of_line.next() {
            match c {
                '\\' => match chars_of_line.next() {
                    Some('/') => out.push('/'),
                    next => {
                        out.push('\\');
                        out.extend(next);
                    }
                },
                ' ' if blank => out.push_str("\\s"),
                _ if blank || chars::is_forbidden(c) || chars::is_newline(c) => out.extend(c.escape_unicode()),
                _ => out.push(c),
            }
        }
    }
    if several { format!("\"\"\"\n{out}\n\"\"\"") } else { format!("\"{out}\"") }
}

/// `r"…"`: `#"…"#` where that can hold the text, else a string with escapes.
pub(super) fn raw(body: &str) -> String {
    let body = body.replace("\r\n", "\n");
    let odd = |line: &str| line.contains(|c| c != '\n' && (chars::is_forbidden(c) || chars::is_newline(c)));
    let several = body.contains('\n');
    let blank_line = several && body.split('\n').any(|line| !line.is_empty() && line.chars().all(chars::is_space));
    if odd(&body) || blank_line || body.starts_with("\"\"") {
        return plain(&body.replace('\\', "\\\\").replace('"', "\\\""));
    }
    let mut marks = "#".to_owned();
    while body.contains(&format!("\"{marks}")) {
        marks.push('#');
    }
    if several { format!("{marks}\"\"\"\n{body}\n\"\"\"{marks}") } else { format!("{marks}\"{body}\"{marks}") }
}
