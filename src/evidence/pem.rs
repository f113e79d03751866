//! PEM: a label and bytes between two lines. Source: RFC 7468, read leniently as Go's `encoding/pem` does.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The longest text that is read; an RSA key of 16,384 bits has 13 KB, and a file of 100 roots 200 KB.
const LIMIT: usize = 1 << 20;

/// The first block of a text: its label and what it holds. `None` when there is no whole one.
pub(super) fn first(text: &str) -> Option<(&str, Vec<u8>)> {
    block(bounded(text)).map(|(label, bytes, _)| (label, bytes))
}

fn bounded(text: &str) -> &str {
    text.get(..text.len().min(LIMIT)).unwrap_or(text)
}

/// The first block, and what follows it.
fn block(text: &str) -> Option<(&str, Vec<u8>, &str)> {
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (body, rest) = rest.split_once(&format!("-----END {label}-----"))?;
    let body: String = body.chars().filter(|c| !c.is_whitespace()).collect();
    Some((label, STANDARD.decode(body).ok()?, rest))
}

/// The certificates of a text, in their order; `None` when it holds anything else, or a block that is not whole.
pub(super) fn certificates(text: &str) -> Option<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    let mut rest = bounded(text);
    while rest.contains("-----BEGIN ") {
        let (label, bytes, after) = block(rest)?;
        if label != "CERTIFICATE" {
            return None;
        }
        found.push(bytes);
        rest = after;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_whole_or_it_is_none() {
        for (text, expected) in [
            ("-----BEGIN A B-----\nAQI=\n-----END A B-----\n", Some(("A B", vec![1, 2]))),
            ("a word before\n-----BEGIN A-----\r\nAQ\r\nI=\r\n-----END A-----", Some(("A", vec![1, 2]))),
            ("-----BEGIN A-----\nAQI=\n-----END B-----\n", None),
            ("-----BEGIN A-----\nAQI=\n", None),
            ("-----BEGIN A-----\n***\n-----END A-----\n", None),
            ("", None),
        ] {
            assert_eq!(first(text), expected, "{text}");
        }
    }

    #[test]
    fn certificates_are_all_of_a_text_and_nothing_else_is_in_it() {
        let block = |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
        let (one, two) = (block("CERTIFICATE", "AQI="), block("CERTIFICATE", "AwQ="));
        assert_eq!(certificates(&format!("# a word\n{one}\n{two}")), Some(vec![vec![1, 2], vec![3, 4]]));
        assert_eq!(certificates("no block"), Some(Vec::new()));
        for text in
            [format!("{one}{}", block("PRIVATE KEY", "AQI=")), format!("{one}-----BEGIN CERTIFICATE-----\nAQI="), block("CERTIFICATE", "*")]
        {
            assert_eq!(certificates(&text), None, "{text}");
        }
    }
}
