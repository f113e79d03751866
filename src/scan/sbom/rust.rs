//! Rust crates: Cargo.lock, and the list that `cargo auditable` puts into a program.
//! In: the text of a lock file, or the compressed section. Out: crates. Never: a list that is inflated without a limit.

use std::io::Read as _;

use serde::Deserialize;

use super::purl::Purl;
use super::{Corrupt, MOST_PACKAGES, Package, is_plain, lockfile, without_login};

/// The name of the section that `cargo auditable` writes.
pub const SECTION: &[u8] = b".dep-v0";
/// The largest list in a program, after decompression, in bytes; the format's own limit is 8 MiB.
const LONGEST_LIST: u64 = 8 << 20;

/// Reads a Cargo.lock of any version. Crates from git carry `vcs_url`.
///
/// # Errors
/// [`Corrupt`] names the line that cannot be read, or the crate without a version.
pub fn parse_lock(bytes: &[u8]) -> Result<Vec<Package>, Corrupt> {
    let mut found = Vec::new();
    for table in lockfile::packages(bytes)? {
        let name = &table["name"];
        let version = table.get("version").filter(|version| is_plain(version));
        let version = version.ok_or_else(|| Corrupt(format!("holds `{name}` without a version")))?;
        let origin = table.get("source").and_then(|source| git_origin(source)).unwrap_or_default();
        found.push(Package::named(Purl::cargo(name, version).with("vcs_url", &origin)));
    }
    Ok(found)
}

/// `git+https://host/x?branch=y#commit` → `git+https://host/x@commit`; `None` for registries.
fn git_origin(source: &str) -> Option<String> {
    let (address, commit) = source.strip_prefix("git+").and_then(|rest| rest.split_once('#'))?;
    let address = address.split('?').next().unwrap_or(address);
    is_plain(source).then(|| format!("git+{}@{commit}", without_login(address)))
}

#[derive(Deserialize)]
struct Audited {
    packages: Vec<AuditedCrate>,
}

#[derive(Deserialize)]
struct AuditedCrate {
    name: String,
    version: String,
    #[serde(default)]
    kind: Option<String>,
}

/// Reads a `.dep-v0` section: zlib over JSON. Crates that only ran during the build are left out.
/// Source: rust-secure-code/cargo-auditable, PARSING.md.
///
/// # Errors
/// [`Corrupt`] when it is not such a list.
pub fn parse_section(bytes: &[u8]) -> Result<Vec<Package>, Corrupt> {
    let mut text = Vec::new();
    let inflated = flate2::read::ZlibDecoder::new(bytes).take(LONGEST_LIST + 1).read_to_end(&mut text);
    if inflated.is_err() || text.len() as u64 > LONGEST_LIST {
        return Err(Corrupt("has a list of crates that cannot be decompressed".to_owned()));
    }
    let list: Audited =
        serde_json::from_slice(&text).map_err(|error| Corrupt(format!("has a list of crates that is not sound: {error}")))?;
    if list.packages.len() > MOST_PACKAGES {
        return Err(Corrupt("has a list of crates that is too long".to_owned()));
    }
    let linked = list.packages.into_iter().filter(|one| one.kind.as_deref() != Some("build"));
    Ok(linked
        .filter(|one| is_plain(&one.name) && is_plain(&one.version))
        .map(|one| Package::named(Purl::cargo(&one.name, &one.version)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purls(packages: &[Package]) -> Vec<String> {
        packages.iter().map(|package| package.purl.to_string()).collect()
    }

    #[test]
    fn crates_of_a_lock_file_are_listed_with_their_origin() {
        let found = parse_lock(include_bytes!("../../../fixtures/scan/Cargo.lock")).unwrap();
        assert_eq!(
            purls(&found),
            [
                "pkg:cargo/api@0.1.0",
                "pkg:cargo/itoa@1.0.11",
                "pkg:cargo/left@0.2.0?vcs_url=git%2Bhttps:%2F%2Fexample.org%2Fleft%400123456789abcdef0123456789abcdef01234567"
            ]
        );
        assert!(parse_lock(b"[[package]]\nname = \"a\"\n").is_err());
    }

    #[test]
    fn crates_linked_into_a_program_are_listed_and_build_tools_are_not() {
        let list = br#"{"packages":[{"name":"api","version":"0.1.0","source":"local","root":true,"dependencies":[1]},
            {"name":"cc","version":"1.0.0","source":"registry","kind":"build"},
            {"name":"itoa","version":"1.0.11","source":"registry"}]}"#;
        let mut section = Vec::new();
        flate2::read::ZlibEncoder::new(&list[..], flate2::Compression::fast()).read_to_end(&mut section).unwrap();
        assert_eq!(purls(&parse_section(&section).unwrap()), ["pkg:cargo/api@0.1.0", "pkg:cargo/itoa@1.0.11"]);
        assert!(parse_section(&section[..section.len() / 2]).is_err());
    }

    #[test]
    fn a_list_that_inflates_beyond_the_limit_is_refused() {
        let mut bomb = Vec::new();
        let zeroes = std::io::repeat(b' ').take(LONGEST_LIST + 2);
        flate2::read::ZlibEncoder::new(zeroes, flate2::Compression::best()).read_to_end(&mut bomb).unwrap();
        assert_eq!(parse_section(&bomb), Err(Corrupt("has a list of crates that cannot be decompressed".to_owned())));
    }
}
