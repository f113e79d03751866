//! The bill of materials: which packages an image holds, and the CycloneDX and SPDX documents that say so.
//! In: the bytes of package databases, lock files and binaries. Out: packages with their places.
//! Never: runs a package manager, asks a network, or takes an unreadable database for an empty one.

pub mod alpine;
pub mod debian;
pub mod document;
pub mod elf;
pub mod golang;
pub mod lockfile;
pub mod npm;
pub mod purl;
pub mod python;
pub mod rust;
pub mod source;
pub mod spdx;
pub mod whole;

use purl::Purl;

/// One package as one database names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// Type, name and version.
    pub purl: Purl,
    /// Its licences as its author declares them; several mean that all are named.
    pub licences: Vec<String>,
    /// The source package that it was built from, with its version where that differs: what Debian's and Alpine's advisories name.
    pub upstream: Option<String>,
}

impl Package {
    /// A package of which only the name is known.
    #[must_use]
    pub fn named(purl: Purl) -> Self {
        Self { purl, licences: Vec::new(), upstream: None }
    }
}

/// Why a database cannot be read: a few words that go after its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Corrupt(pub String);

impl Corrupt {
    /// A fault at a line, counted from one.
    #[must_use]
    pub fn line(number: usize, why: &str) -> Self {
        Self(format!("line {number} {why}"))
    }
}

/// The most packages that one database may name; no distribution has as many.
pub const MOST_PACKAGES: usize = 200_000;

/// The longest name, version or licence that is taken over, in bytes.
pub const LONGEST_FIELD: usize = 1024;

/// A short field as text.
///
/// # Errors
/// [`Corrupt`] when it is too long, is not UTF-8, or holds control characters: such a name comes from a damaged file.
pub fn field(bytes: &[u8], line: usize) -> Result<&str, Corrupt> {
    if bytes.len() > LONGEST_FIELD {
        return Err(Corrupt::line(line, "has a field that is too long"));
    }
    let text = std::str::from_utf8(bytes.trim_ascii()).map_err(|_| Corrupt::line(line, "is not UTF-8"))?;
    if text.chars().any(|c| c != '\t' && crate::base::words::is_hidden(c)) {
        return Err(Corrupt::line(line, "holds control characters"));
    }
    Ok(text)
}

/// A name or version out of a parsed document, under the same rules as [`field`].
#[must_use]
pub fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST_FIELD && !text.chars().any(crate::base::words::is_hidden)
}

/// An address without the name and password before its host; `git@`, which says only how to connect, stays.
#[must_use]
pub fn without_login(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        Some((login, host)) if login != "git" => format!("{scheme}://{host}{}", &rest[end..]),
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_cut_from_addresses() {
        for (address, expected) in [
            ("git+https://me:pw@host/x@y", "git+https://host/x@y"),
            ("https://token@host", "https://host"),
            ("git+ssh://git@host/x.git", "git+ssh://git@host/x.git"),
            ("https://host/a@b", "https://host/a@b"),
            ("host", "host"),
        ] {
            assert_eq!(without_login(address), expected);
        }
    }
}
