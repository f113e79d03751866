//! `tool` nodes: programs whose version the plan cares about.
//! In: what a program prints about itself. Out: the version in it, and whether the plan takes it. Never: runs it.

use serde::{Deserialize, Serialize};

use crate::base::diagnostic::Span;

/// A program that tasks name in `tools`, with what the plan says about its version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ToolDef {
    /// The program, as `tools` names it.
    pub name: String,
    /// Which versions are taken, with the place; any when there is none.
    pub version: Option<(semver::VersionReq, Span)>,
    /// The script for `sh -c` whose output holds the version.
    pub check: String,
    /// The version that the lock pins.
    pub pinned: Option<String>,
    /// The name in the source.
    pub span: Span,
}

impl ToolDef {
    /// Whether the plan takes this version, as [`version_in`] gives it.
    #[must_use]
    pub fn takes(&self, version: &str) -> bool {
        let Some((wanted, _)) = &self.version else { return true };
        let parts = version.split('.').chain(std::iter::repeat("0")).take(3).map(|part| part.parse::<u64>().ok());
        match parts.collect::<Option<Vec<u64>>>().as_deref() {
            Some([major, minor, patch]) => wanted.matches(&semver::Version::new(*major, *minor, *patch)),
            _ => false,
        }
    }
}

/// The first version in what a program prints: numbers with points between them, else the first number that stands alone.
/// `go version go1.24.2 linux/amd64` has 1.24.2, `openjdk 21 2023-09-19` has 21. What follows the numbers (`-nightly`, `+build`) is
/// left out, because distributions put their own package versions there.
#[must_use]
pub fn version_in(output: &str) -> Option<String> {
    let mut single = None;
    let mut rest = output;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let alone = start == 0 || rest[..start].ends_with(|c: char| c.is_whitespace() || c == 'v');
        let tail = &rest[start..];
        let end = tail.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(tail.len());
        let found = tail[..end].trim_end_matches('.');
        if found.contains('.') && !found.contains("..") {
            return Some(found.to_owned());
        }
        if alone && single.is_none() && !tail[end..].starts_with(|c: char| c.is_alphanumeric() || c == '_') {
            single = Some(found.to_owned());
        }
        rest = &tail[end..];
    }
    single
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_print_their_versions_in_many_ways() {
        for (output, expected) in [
            ("go version go1.24.2 linux/amd64", Some("1.24.2")),
            ("v20.11.1\n", Some("20.11.1")),
            ("gcc (Debian 12.2.0-14) 12.2.0\nCopyright (C) 2022", Some("12.2.0")),
            ("openjdk 21 2023-09-19", Some("21")),
            ("Docker version 27.1.1, build 6312585", Some("27.1.1")),
            ("rustc 1.80.0-nightly (867900499 2024-05-23)", Some("1.80.0")),
            ("git version 2.39.5", Some("2.39.5")),
            ("built for x86_64, version 3.1.", Some("3.1")),
            ("no version at all", None),
            ("", None),
            ("...", None),
        ] {
            assert_eq!(version_in(output).as_deref(), expected, "{output}");
        }
    }

    #[test]
    fn a_short_version_is_one_with_zeros() {
        let source = std::sync::Arc::new(crate::base::diagnostic::Source { name: String::new(), text: String::new() });
        let span = Span::new(&source, 0, 0);
        for (wanted, version, expected) in [
            (">=1.24, <2", "1.24", true),
            (">=1.24, <2", "1.23.9", false),
            ("1.24", "1.30.1", true),
            ("~1.24", "1.25.0", false),
            ("=1.24.2", "1.24.3", false),
            (">=21", "21", true),
            (">=8.0.1", "8.0.1.2", true),
        ] {
            let version_req = Some((wanted.parse().unwrap(), span.clone()));
            let tool = ToolDef { name: "x".into(), version: version_req, check: String::new(), pinned: None, span: span.clone() };
            assert_eq!(tool.takes(version), expected, "{wanted} {version}");
        }
    }
}
