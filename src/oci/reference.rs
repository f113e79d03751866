//! Image references: `registry/repository:tag@digest`. Grammar: distribution/reference.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::base::digest::BlobDigest;

/// The host and the name of a repository, normalised as Docker does: `alpine` is `docker.io/library/alpine`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Repository {
    host: String,
    name: String,
}

/// A tag: at most 128 of letters, digits, `_`, `.`, `-`, not beginning with `.` or `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tag(String);

/// A repository with a tag, a digest, or both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reference {
    /// Where.
    pub repository: Repository,
    /// The tag, if one was written.
    pub tag: Option<Tag>,
    /// The digest, if one was written.
    pub digest: Option<BlobDigest>,
}

/// Why a text is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadReference {
    /// The host part.
    #[error("`{0}` is not a registry host")]
    Host(String),
    /// The repository part.
    #[error("`{0}` is not a repository name: it has lower-case letters and digits, separated by `/`, `.`, `_`, `__` or `-`")]
    Name(String),
    /// The tag part.
    #[error("`{0}` is not a tag: at most 128 letters, digits, `_`, `.` and `-`, not beginning with `.` or `-`")]
    Tag(String),
    /// The digest part.
    #[error("{0}")]
    Digest(#[from] crate::base::digest::BadDigest),
}

fn shown(text: &str) -> String {
    crate::base::words::shorten(&crate::base::words::visible(text), 100)
}

impl Tag {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tag for what is about a document: `sha256-<hex>` is the list of its referrers where a registry keeps none, and with an
    /// `end` such as `.sig` what cosign keeps there. Source: distribution-spec 1.1, "Referrers Tag Schema"; cosign, "SIGNATURE_SPEC.md".
    #[must_use]
    pub fn about(document: BlobDigest, end: &str) -> Self {
        Self(format!("sha256-{}{end}", document.0.hex()))
    }

    /// The document that the tag is about; `None` for a name.
    #[must_use]
    pub fn subject(&self) -> Option<BlobDigest> {
        let (hex, end) = self.0.strip_prefix("sha256-")?.split_at_checked(64)?;
        let known = end.is_empty() || end.starts_with('.') && end.len() > 1;
        if known { format!("sha256:{hex}").parse().ok() } else { None }
    }
}

impl FromStr for Tag {
    type Err = BadReference;
    fn from_str(text: &str) -> Result<Self, BadReference> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let good = text.len() <= 128
            && text.bytes().next().is_some_and(word)
            && text.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-');
        if good { Ok(Self(text.to_owned())) } else { Err(BadReference::Tag(shown(text))) }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Repository {
    /// `host[:port]`, as in credentials and addresses; `docker.io` for Docker Hub.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }
    /// The name below the host.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
    /// A host, what stands before a name, and the name; empty ones are left out.
    ///
    /// # Errors
    /// [`BadReference`] when they make no name together.
    pub fn of(parts: [&str; 3]) -> Result<Self, BadReference> {
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/").parse()
    }
    /// One more part of the name.
    ///
    /// # Errors
    /// [`BadReference::Name`] when the part is not a name.
    pub fn join(&self, part: &str) -> Result<Self, BadReference> {
        format!("{self}/{part}").parse()
    }
}

impl FromStr for Repository {
    type Err = BadReference;
    fn from_str(text: &str) -> Result<Self, BadReference> {
        let (host, name) = match text.split_once('/') {
            Some((first, rest))
                if first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|byte| byte.is_ascii_uppercase()) =>
            {
                (first, rest)
            }
            _ => ("docker.io", text),
        };
        check_host(host)?;
        let host = if host == "index.docker.io" { "docker.io" } else { host };
        let name = if host == "docker.io" && !name.contains('/') { format!("library/{name}") } else { name.to_owned() };
        if name.len() > 255 || !name.split('/').all(is_name) {
            return Err(BadReference::Name(shown(&name)));
        }
        Ok(Self { host: host.to_ascii_lowercase(), name })
    }
}

fn check_host(host: &str) -> Result<(), BadReference> {
    let bad = || BadReference::Host(shown(host));
    let (name, port) = if let Some(rest) = host.strip_prefix('[') {
        let (address, rest) = rest.split_once(']').ok_or_else(bad)?;
        if address.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(bad());
        }
        (None, rest.strip_prefix(':').or(if rest.is_empty() { None } else { Some("x") }))
    } else {
        host.split_once(':').map_or((Some(host), None), |(name, port)| (Some(name), Some(port)))
    };
    let label = |part: &str| {
        !part.is_empty()
            && part.len() <= 63
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    if name.is_some_and(|name| !name.split('.').all(label))
        || port.is_some_and(|port| port.parse::<u16>().is_err() || !port.bytes().all(|b| b.is_ascii_digit()))
    {
        return Err(bad());
    }
    Ok(())
}

/// One part of a repository name: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn is_name(part: &str) -> bool {
    let bytes = part.as_bytes();
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut at = 0;
    loop {
        let start = at;
        while at < bytes.len() && word(bytes[at]) {
            at += 1;
        }
        if at == start {
            return false;
        }
        if at == bytes.len() {
            return true;
        }
        let separator = at;
        while at < bytes.len() && !word(bytes[at]) {
            at += 1;
        }
        let text = &part[separator..at];
        if !(text == "." || text == "_" || text == "__" || text.bytes().all(|byte| byte == b'-')) {
            return false;
        }
    }
}

impl Reference {
    /// What names the version for a registry: the digest, else the tag, else `latest`.
    #[must_use]
    pub fn version(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.to_string(),
            (None, None) => "latest".to_owned(),
        }
    }

    /// As a person writes it: `alpine:3.20` for `docker.io/library/alpine:3.20`.
    #[must_use]
    pub fn familiar(&self) -> String {
        let text = self.to_string();
        text.strip_prefix("docker.io/").map_or(text.as_str(), |rest| rest.strip_prefix("library/").unwrap_or(rest)).to_owned()
    }
}

impl FromStr for Reference {
    type Err = BadReference;
    fn from_str(text: &str) -> Result<Self, BadReference> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (text, None),
        };
        let name_starts = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (repository, tag) = match rest[name_starts..].find(':') {
            Some(colon) => (&rest[..name_starts + colon], Some(rest[name_starts + colon + 1..].parse()?)),
            None => (rest, None),
        };
        Ok(Self { repository: repository.parse()?, tag, digest })
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.name)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_normalised_as_docker_does() {
        for (text, expected) in [
            ("alpine", "docker.io/library/alpine"),
            ("alpine:3.20", "docker.io/library/alpine:3.20"),
            ("acme/web", "docker.io/acme/web"),
            ("localhost/web", "localhost/web"),
            ("localhost:5000/web:v1", "localhost:5000/web:v1"),
            ("ghcr.io/acme/web", "ghcr.io/acme/web"),
            ("index.docker.io/acme/web", "docker.io/acme/web"),
            ("[::1]:5000/a", "[::1]:5000/a"),
            ("127.0.0.1:5000/a/b/c", "127.0.0.1:5000/a/b/c"),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), expected);
            assert_eq!(reference.familiar(), text.trim_start_matches("index.docker.io/"), "what a person would write");
        }
    }

    #[test]
    fn what_is_not_a_reference_is_refused() {
        for text in [
            "",
            "Alpine",
            "a:b:c/d",
            "a/../b",
            "-a",
            "a//b",
            "host:port/x",
            "ghcr.io/",
            "a@sha256:0",
            "a:.tag",
            "a___b",
            "a_-b",
            "a b",
            "ghcr.io:99999/x",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_tag_about_a_document_is_told_from_a_name() {
        let document = BlobDigest(crate::base::digest::Digest::from_bytes([7; 32]));
        let hex = document.0.hex();
        for (text, expected) in [
            (format!("sha256-{hex}"), true),
            (format!("sha256-{hex}.sig"), true),
            (format!("sha256-{hex}.att"), true),
            (format!("sha256-{hex}."), false),
            (format!("sha256-{hex}0"), false),
            ("sha256-abc.sig".to_owned(), false),
            (format!("sha256-{}", hex.replace('7', "g")), false),
            ("latest".to_owned(), false),
        ] {
            assert_eq!(text.parse::<Tag>().unwrap().subject() == Some(document), expected, "{text}");
        }
        assert_eq!((Tag::about(document, ".sig").subject(), Tag::about(document, "").subject()), (Some(document), Some(document)));
    }
}
