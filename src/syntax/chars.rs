//! The character classes of KDL 2.
//! In: one character. Out: what it is. Source: KDL 2.0.0, sections "Whitespace", "Newline" and "Disallowed Literal Code Points".

/// White space within a line.
pub(super) const fn is_space(c: char) -> bool {
    matches!(c, '\t' | ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

/// One character that ends a line; CR LF counts as one line end.
pub(super) const fn is_newline(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{b}' | '\u{c}' | '\u{2028}' | '\u{2029}')
}

/// White space of either kind.
pub(super) const fn is_blank(c: char) -> bool {
    is_space(c) || is_newline(c)
}

/// Whether KDL forbids the character even inside strings and comments.
pub(super) const fn is_forbidden(c: char) -> bool {
    matches!(
        c,
        '\0'..='\u{8}' | '\u{e}'..='\u{1f}' | '\u{7f}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
    )
}

/// The name under which people know a forbidden character.
pub(super) const fn name(c: char) -> &'static str {
    match c {
        '\0' => "NUL",
        '\u{8}' => "backspace",
        '\u{1b}' => "escape",
        '\u{7f}' => "delete",
        '\u{feff}' => "byte order mark",
        '\u{200e}' => "left-to-right mark",
        '\u{200f}' => "right-to-left mark",
        '\u{202a}' => "left-to-right embedding",
        '\u{202b}' => "right-to-left embedding",
        '\u{202c}' => "pop directional formatting",
        '\u{202d}' => "left-to-right override",
        '\u{202e}' => "right-to-left override",
        '\u{2066}' => "left-to-right isolate",
        '\u{2067}' => "right-to-left isolate",
        '\u{2068}' => "first strong isolate",
        '\u{2069}' => "pop directional isolate",
        _ => "control character",
    }
}

/// The offset of the first character from `from` on that is no white space within a line.
pub(super) fn skip_spaces(text: &str, from: usize) -> usize {
    text[from..].find(|c| !is_space(c)).map_or(text.len(), |n| from + n)
}

/// The offset of the end of the line that holds `from`, its newline not included.
pub(super) fn line_end(text: &str, from: usize) -> usize {
    text[from..].find(is_newline).map_or(text.len(), |n| from + n)
}

/// The offset after the newline that stands at `at`; CR LF is one.
pub(super) fn skip_newline(text: &str, at: usize) -> usize {
    if text[at..].starts_with("\r\n") { at + 2 } else { at + text[at..].chars().next().map_or(0, char::len_utf8) }
}
