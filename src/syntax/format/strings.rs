//! Texts of several lines, moved to a new indentation.
//! In: a token or a comment as written. Out: the same with other white space before its lines. Never: another value of a string.

use std::borrow::Cow;

use crate::syntax::chars;

const TRIPLE: &str = "\"\"\"";

/// A token as it is printed when its lines stand `indent` spaces deep.
pub(super) fn token(written: &str, indent: usize) -> Cow<'_, str> {
    if !written.contains(chars::is_newline) {
        return Cow::Borrowed(written);
    }
    let written = line_feeds(written);
    match moved(&written, indent) {
        Some(text) => Cow::Owned(text),
        None => Cow::Owned(written),
    }
}

/// The line ends of a text as line feeds; KDL reads both as one.
fn line_feeds(text: &str) -> String {
    text.replace("\r\n", "\n")
}

/// A string of several lines, at its new indentation; `None` when its lines depend on more than that.
fn moved(written: &str, indent: usize) -> Option<String> {
    let hashes = &written[..written.len() - written.trim_start_matches('#').len()];
    let body = written[hashes.len()..].strip_prefix(TRIPLE)?.strip_suffix(hashes)?.strip_suffix(TRIPLE)?;
    let odd_line_end = body.contains(|c| c != '\n' && chars::is_newline(c));
    // `\` before white space takes the line end away: then the white space after it is part of nothing.
    let joined = hashes.is_empty() && body.match_indices('\\').any(|(at, _)| body[at + 1..].starts_with(chars::is_blank));
    if odd_line_end || joined {
        return None;
    }
    let mut lines = body.split('\n');
    let prefix = lines.next_back()?;
    if lines.next() != Some("") || prefix.contains(|c| !chars::is_space(c)) {
        return None;
    }
    let space = " ".repeat(indent);
    let mut text = format!("{hashes}{TRIPLE}\n");
    for line in lines {
        if line.contains(|c| !chars::is_space(c)) {
            text.push_str(&space);
            text.push_str(line.strip_prefix(prefix)?);
        }
        text.push('\n');
    }
    text.push_str(&space);
    text.push_str(TRIPLE);
    text.push_str(hashes);
    Some(text)
}

/// A comment that begins a line, its further lines moved as far as the first one is: from `before` characters to `indent`.
pub(super) fn comment(written: &str, before: usize, indent: usize) -> Cow<'_, str> {
    if !written.contains('\n') {
        return Cow::Borrowed(written);
    }
    let mut text = String::new();
    for (n, line) in written.split('\n').enumerate() {
        let line = line.trim_end();
        if n > 0 {
            text.push('\n');
            let own = line.chars().take(before).take_while(|c| chars::is_space(*c)).map(char::len_utf8).sum();
            if !line.is_empty() {
                text.extend(std::iter::repeat_n(' ', indent));
            }
            text.push_str(&line[own..]);
        } else {
            text.push_str(line);
        }
    }
    Cow::Owned(text)
}

/// A comment in the middle of a line, as written.
pub(super) fn inner_comment(written: &str) -> Cow<'_, str> {
    if written.contains('\r') { Cow::Owned(line_feeds(written)) } else { Cow::Borrowed(written) }
}
