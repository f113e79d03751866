//! Secrets that show by their form: private keys, and tokens that their makers gave a prefix.
//! In: the beginning of a file. Out: hits. Never: a guess by entropy; what has no form of its own is left to the rules by name.

use super::{Hit, redacted};

/// A token: its prefix, and what follows it.
struct Token {
    prefix: &'static str,
    maker: &'static str,
    allowed: fn(u8) -> bool,
    /// The fewest and the most characters after the prefix.
    length: (usize, usize),
}

const fn token(prefix: &'static str, maker: &'static str, allowed: fn(u8) -> bool, fewest: usize, most: usize) -> Token {
    Token { prefix, maker, allowed, length: (fewest, most) }
}

fn alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}
fn word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
fn slug(byte: u8) -> bool {
    word(byte) || byte == b'-'
}
fn dotted(byte: u8) -> bool {
    slug(byte) || byte == b'.'
}
fn base32(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

const ANY: usize = 512;

/// The forms, each as its maker documents it.
const TOKENS: &[Token] = &[
    token("AKIA", "an AWS access key", base32, 16, 16),
    token("ASIA", "an AWS session key", base32, 16, 16),
    token("ghp_", "a GitHub personal token", alphanumeric, 36, ANY),
    token("gho_", "a GitHub OAuth token", alphanumeric, 36, ANY),
    token("ghu_", "a GitHub user token", alphanumeric, 36, ANY),
    token("ghs_", "a GitHub server token", dotted, 36, ANY),
    token("ghr_", "a GitHub refresh token", alphanumeric, 36, ANY),
    token("github_pat_", "a GitHub fine-grained token", word, 82, ANY),
    token("glpat-", "a GitLab token", dotted, 20, ANY),
    token("gldt-", "a GitLab deploy token", dotted, 20, ANY),
    token("glrt-", "a GitLab runner token", dotted, 20, ANY),
    token("xoxb-", "a Slack bot token", slug, 24, ANY),
    token("xoxp-", "a Slack user token", slug, 24, ANY),
    token("xoxa-", "a Slack app token", slug, 24, ANY),
    token("xoxr-", "a Slack refresh token", slug, 24, ANY),
    token("xoxs-", "a Slack session token", slug, 24, ANY),
    token("xapp-", "a Slack app token", slug, 24, ANY),
    token("npm_", "an npm token", alphanumeric, 36, 36),
    token("pypi-AgE", "a PyPI token", slug, 50, ANY),
    token("AIza", "a Google API key", slug, 35, 35),
    token("sk_live_", "a Stripe key", alphanumeric, 24, ANY),
    token("rk_live_", "a Stripe key", alphanumeric, 24, ANY),
];

/// What the mark of a private key begins with.
const KEY: &[u8] = b"-----BEGIN ";

/// The pairs of bytes at which it pays to look closer, one bit each: how tokens begin, and the end of the dashes before
/// `BEGIN`. All else, nearly every byte of an image, costs one look-up.
static PAIRS: [u64; 1024] = {
    let mut pairs = [0; 1024];
    let mut index = 0;
    while index < TOKENS.len() {
        let prefix = TOKENS[index].prefix.as_bytes();
        let pair = (prefix[0] as usize) << 8 | prefix[1] as usize;
        pairs[pair >> 6] |= 1 << (pair & 63);
        index += 1;
    }
    let pair = (b'-' as usize) << 8 | b'B' as usize;
    pairs[pair >> 6] |= 1 << (pair & 63);
    pairs
};

/// The most hits in one file: enough to act on.
pub const MOST: usize = 20;

/// Finds keys and tokens. Binary files, told by a NUL byte near their beginning, hold keys at most, not tokens:
/// programs carry the prefixes themselves.
#[must_use]
pub fn find(bytes: &[u8]) -> Vec<Hit> {
    let binary = bytes[..bytes.len().min(8 << 10)].contains(&0);
    let mut hits = Vec::new();
    let mut pair = 0_usize;
    for (at, byte) in bytes.iter().enumerate() {
        pair = (pair << 8 | usize::from(*byte)) & 0xffff;
        if PAIRS[pair >> 6] >> (pair & 63) & 1 == 0 {
            continue;
        }
        if *byte == b'B' {
            hits.extend(at.checked_sub(5).and_then(|start| private_key(&bytes[start..])));
        } else if let Some(start) = at.checked_sub(1)
            && !binary
            && !start.checked_sub(1).is_some_and(|before| word(bytes[before]))
        {
            hits.extend(TOKENS.iter().find_map(|token| token.at(&bytes[start..])));
        }
        if hits.len() >= MOST {
            break;
        }
    }
    hits
}

impl Token {
    fn at(&self, bytes: &[u8]) -> Option<Hit> {
        let rest = bytes.strip_prefix(self.prefix.as_bytes())?;
        let length = rest.iter().take(self.length.1 + 1).take_while(|byte| (self.allowed)(**byte)).count();
        if length < self.length.0 || length > self.length.1 || self.length.0 == self.length.1 && rest.get(length).copied().is_some_and(word)
        {
            return None;
        }
        let body = &rest[..length];
        if is_placeholder(body) {
            return None;
        }
        let shown = String::from_utf8_lossy(&bytes[..self.prefix.len() + length]);
        Some(Hit::new(format!("holds {} ({})", self.maker, redacted(&shown))))
    }
}

/// Documentation writes tokens too: `xxxxxxxx`, `…EXAMPLE`, `00000000`, `ABCDEFGHIJKL`.
fn is_placeholder(body: &[u8]) -> bool {
    let mut seen = [false; 256];
    body.iter().for_each(|byte| seen[usize::from(*byte)] = true);
    let different = seen.iter().filter(|seen| **seen).count();
    let rising = body.windows(2).filter(|pair| pair[1] == pair[0].wrapping_add(1)).count();
    different < 7 || rising * 2 > body.len() || body.ends_with(b"EXAMPLE")
}

/// A private key in PEM: the mark, perhaps header fields, then at least a line of base64. The mark alone is in every
/// program that reads keys.
fn private_key(bytes: &[u8]) -> Option<Hit> {
    let rest = bytes.strip_prefix(KEY)?;
    let end = rest.iter().take(48).position(|byte| *byte == b'-')?;
    let (label, rest) = rest.split_at(end);
    if !(label.ends_with(b"PRIVATE KEY") || label == b"PGP PRIVATE KEY BLOCK") || !label.iter().all(|byte| word(*byte) || *byte == b' ') {
        return None;
    }
    let mut body = rest.strip_prefix(b"-----")?;
    body = &body[..body.len().min(4 << 10)];
    // Keys also stand in JSON and YAML, where line ends are written `\n`.
    loop {
        body = body.trim_ascii_start();
        if let Some(tail) = body.strip_prefix(b"\\n").or_else(|| body.strip_prefix(b"\\r")) {
            body = tail;
            continue;
        }
        let line = body.iter().position(|byte| *byte == b'\n' || *byte == b'\\').unwrap_or(body.len());
        if body[..line].contains(&b':') {
            body = &body[line..];
            continue;
        }
        break;
    }
    let length = body.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte)).count();
    (length >= 32 && !is_placeholder(&body[..length]))
        .then(|| Hit::new(format!("holds a private key (`{}`)", String::from_utf8_lossy(label))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Thirty-six characters without a meaning. Tokens are put together here, so that no file holds one.
    const BODY: &str = "q7Zr2MxW9bTn4LkV8cYp3HsD6fGj1XaQ5eRu";

    fn check(text: &str, expected: &[&str]) {
        let found: Vec<String> = find(text.as_bytes()).into_iter().map(|hit| hit.message).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn tokens_are_found_by_their_form_and_shown_cut_short() {
        check(&format!("key={}{}\n", "AKIA", "Q7ZR2MXW5BTN4LKV"), &["holds an AWS access key (`AKIA…`)"]);
        check(&format!("token: \"ghp_{BODY}\""), &["holds a GitHub personal token (`ghp_…`)"]);
        check(&format!("https://x:glpat-{}@host", &BODY[..20]), &["holds a GitLab token (`glpa…`)"]);
        check(&format!("//host/:_authToken=npm_{BODY}\n"), &["holds an npm token (`npm_…`)"]);
        check(&format!("xoxb-123456789012-{BODY}"), &["holds a Slack bot token (`xoxb…`)"]);
        check(&format!("github_pat_{}_{BODY}{}", &BODY[..22], &BODY[..23]), &["holds a GitHub fine-grained token (`gith…`)"]);
    }

    #[test]
    fn what_only_resembles_a_token_is_passed_over() {
        for text in [
            format!("AKIA{}", "IOSFODNN7EXAMPLE"),
            format!("xghp_{BODY}"),
            format!("ghp_{}", "x".repeat(36)),
            format!("ghp_{}", &BODY[..35]),
            format!("npm_{BODY}x"),
            "npm_config_registry=https://registry.example.org/path/to/something".into(),
            format!("AKIA{}", "Q7ZR2MXW5BTN4LKVZZ"),
        ] {
            check(&text, &[]);
        }
    }

    #[test]
    fn private_keys_are_found_in_files_json_and_with_headers() {
        let body = format!("{BODY}{BODY}");
        for (label, between) in [
            ("RSA PRIVATE KEY", "\n"),
            ("OPENSSH PRIVATE KEY", "\r\n"),
            ("PRIVATE KEY", "\\n"),
            ("EC PRIVATE KEY", "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n"),
        ] {
            check(&format!("\"-----BEGIN {label}-----{between}{body}"), &[&format!("holds a private key (`{label}`)")]);
        }
    }

    #[test]
    fn certificates_and_bare_marks_are_no_private_keys() {
        for text in [
            format!("-----BEGIN CERTIFICATE-----\n{BODY}{BODY}"),
            format!("-----BEGIN PUBLIC KEY-----\n{BODY}{BODY}"),
            "if line == \"-----BEGIN RSA PRIVATE KEY-----\" {".into(),
            "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----".into(),
            format!("-----BEGIN PRIVATE KEY-----\n{}", "x".repeat(64)),
            "-----BEGIN PRIVATE KEY-----".into(),
        ] {
            check(&text, &[]);
        }
    }

    #[test]
    fn a_program_may_name_prefixes() {
        check(&format!("\0ELF ghp_{BODY}"), &[]);
    }

    #[test]
    fn one_file_gives_a_bounded_number_of_hits() {
        assert_eq!(find(format!("ghp_{BODY}\n").repeat(1000).as_bytes()).len(), MOST);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_search_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = find(&bytes);
            let _ = find(&[b"-----BEGIN PRIVATE KEY-----".as_slice(), &bytes].concat());
        }
    }
}
