//! The bytes of a plan file, checked before they are called text.
//! In: a name and what the file holds. Out: a source without byte order mark. Never: guesses an encoding.

use std::sync::Arc;

use crate::base::diagnostic::{Class, Diagnostic, Source, Span};
use crate::base::words;

/// The largest plan file, in bytes: 100,000 tasks that a program wrote out take half of it.
pub const LIMIT: usize = 32 * 1024 * 1024;

/// The byte order mark of UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Makes a source of the bytes of a file. Line ends stay as they are, so that spans count the bytes of the file; only a byte order
/// mark at the beginning is left out of the text.
///
/// # Errors
/// `syntax::too-large` above [`LIMIT`] bytes, `syntax::not-utf8` with the offset of the first bad byte, `syntax::not-text` when a NUL stands in it.
pub fn check_file_bytes(name: &str, bytes: &[u8]) -> Result<Arc<Source>, Diagnostic> {
    let shown = words::visible(name);
    if bytes.len() > LIMIT {
        let message = format!("`{shown}` has {} bytes; a plan file has at most {LIMIT}", bytes.len());
        return Err(Diagnostic::new(Class::Plan, "syntax::too-large", message).help("split it with `include`"));
    }
    let start = if bytes.starts_with(MARK) { MARK.len() } else { 0 };
    let body = &bytes[start..];
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(error) => return Err(not_utf8(name, body, start, error.valid_up_to())),
    };
    let source = Arc::new(Source { name: name.to_owned(), text: text.to_owned() });
    if let Some(at) = text.find('\0') {
        let message = format!("`{shown}` is not a text file: it holds a NUL at byte {}", start + at);
        let diagnostic = Diagnostic::plan("syntax::not-text", message, &Span::new(&source, at, 1), "a NUL");
        return Err(diagnostic.help("check that this is the plan, and that it is saved as UTF-8"));
    }
    Ok(source)
}

fn not_utf8(name: &str, body: &[u8], start: usize, at: usize) -> Diagnostic {
    // The text up to the bad byte is kept as it is, so the place is right; the bad byte becomes U+FFFD.
    let source = Arc::new(Source { name: name.to_owned(), text: String::from_utf8_lossy(body).into_owned() });
    let place = Span::new(&source, at, char::REPLACEMENT_CHARACTER.len_utf8());
    let byte = body.get(at).copied().unwrap_or_default();
    let message = format!("`{}` is not UTF-8: byte 0x{byte:02x} at offset {}", words::visible(name), start + at);
    let help = match body {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "it is UTF-16; save it as UTF-8",
        _ => "save it as UTF-8; `iconv -f latin1 -t utf-8` turns a Latin-1 file into one",
    };
    Diagnostic::plan("syntax::not-utf8", message, &place, "not a character").help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_refused_with_their_offset() {
        for (bytes, code, message) in [
            (&b"kiln 1\ntask \"caf\xe9\"\n"[..], "syntax::not-utf8", "byte 0xe9 at offset 16"),
            (b"\xef\xbb\xbfkiln \xff", "syntax::not-utf8", "byte 0xff at offset 8"),
            (b"\xff\xfek\0", "syntax::not-utf8", "byte 0xff at offset 0"),
            (b"kiln\0 1", "syntax::not-text", "NUL at byte 4"),
            (b"\xed\xa0\x80", "syntax::not-utf8", "byte 0xed at offset 0"),
        ] {
            let fault = check_file_bytes("build.kdl", bytes).unwrap_err();
            assert_eq!(fault.code, code, "{bytes:?}");
            assert!(fault.message.contains(message), "{}", fault.message);
            let marked = &fault.labels[0].span;
            assert!(["\u{fffd}", "\0"].contains(&marked.text()), "{marked:?}");
        }
    }

    #[test]
    fn a_file_above_the_cap_is_refused_by_its_size() {
        assert!(check_file_bytes("build.kdl", &vec![b'\n'; LIMIT]).is_ok());
        assert_eq!(check_file_bytes("build.kdl", &vec![b'\n'; LIMIT + 1]).unwrap_err().code, "syntax::too-large");
    }

    #[test]
    fn a_byte_order_mark_is_dropped_only_at_the_beginning() {
        assert_eq!(check_file_bytes("a", b"\xef\xbb\xbfkiln 1").unwrap().text, "kiln 1");
        assert_eq!(check_file_bytes("a", "a\u{feff}".as_bytes()).unwrap().text, "a\u{feff}");
    }

    #[test]
    fn a_hostile_file_name_sends_no_escape_sequence() {
        assert!(!check_file_bytes("\u{1b}[31m", b"\0").unwrap_err().message.contains('\u{1b}'));
    }
}
