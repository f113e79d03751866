//! Secrets: what looks like one, in texts, in files by their name, and in what an image's config says.
//! In: bytes and names. Out: hits in words that hold no secret. Never: a secret beyond its first four characters.

pub mod config;
pub mod file;
pub mod name;
pub mod text;

/// Something that looks like a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// What was found, in words, the secret itself cut short.
    pub message: String,
}

impl Hit {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

/// The first four characters of a secret that is long enough to bear it, else none.
#[must_use]
pub fn redacted(secret: &str) -> String {
    let shown: String = if secret.chars().count() >= 16 { secret.chars().take(4).collect() } else { String::new() };
    format!("`{}…`", crate::base::words::visible(&shown))
}
