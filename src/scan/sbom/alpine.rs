//! Alpine's package database: `/lib/apk/db/installed`.
//! In: paragraphs of `X:value` lines. Out: the packages with licence and origin. Never: a line passed over in silence.

use super::purl::Purl;
use super::{Corrupt, MOST_PACKAGES, Package, field};

#[derive(Default)]
struct Paragraph<'a> {
    started: Option<usize>,
    name: &'a str,
    version: &'a str,
    architecture: &'a str,
    licence: &'a str,
    origin: &'a str,
}

/// Reads a database. Source: apk-tools, `src/package.c`; fields P, V, A, L and o.
///
/// # Errors
/// [`Corrupt`] names the first line that is not as apk writes it.
pub fn parse(bytes: &[u8]) -> Result<Vec<Package>, Corrupt> {
    if !bytes.is_empty() && !bytes.ends_with(b"\n") {
        return Err(Corrupt("ends in the middle of a line".to_owned()));
    }
    let mut packages = Vec::new();
    let mut paragraph = Paragraph::default();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let number = index + 1;
        let (letter, value) = match line {
            [] => {
                packages.extend(std::mem::take(&mut paragraph).finish()?);
                if packages.len() > MOST_PACKAGES {
                    return Err(Corrupt::line(number, "is beyond the largest database that can be"));
                }
                continue;
            }
            [letter, b':', value @ ..] if letter.is_ascii_alphabetic() => (*letter, value),
            _ => return Err(Corrupt::line(number, "is not `X:value`")),
        };
        paragraph.started.get_or_insert(number);
        match letter {
            b'P' => paragraph.name = field(value, number)?,
            b'V' => paragraph.version = field(value, number)?,
            b'A' => paragraph.architecture = field(value, number)?,
            b'L' => paragraph.licence = field(value, number)?,
            b'o' => paragraph.origin = field(value, number)?,
            _ => {}
        }
    }
    packages.extend(paragraph.finish()?);
    Ok(packages)
}

impl Paragraph<'_> {
    fn finish(self) -> Result<Option<Package>, Corrupt> {
        let Some(line) = self.started else { return Ok(None) };
        if self.name.is_empty() || self.version.is_empty() {
            return Err(Corrupt::line(line, "begins a package without a name or a version"));
        }
        Ok(Some(Package {
            purl: Purl::apk(self.name, self.version).with("arch", self.architecture),
            licences: if self.licence.is_empty() { Vec::new() } else { vec![self.licence.to_owned()] },
            upstream: (!self.origin.is_empty()).then(|| format!("{}@{}", self.origin, self.version)),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSTALLED: &str = include_str!("../../../fixtures/scan/apk-installed");

    #[test]
    fn packages_are_listed_with_licence_and_origin() {
        let packages = parse(INSTALLED.as_bytes()).unwrap();
        let shown: Vec<String> = packages.iter().map(|package| format!("{} {:?}", package.purl, package.licences)).collect();
        assert_eq!(
            shown,
            [r#"pkg:apk/musl@1.2.5-r0?arch=x86_64 ["MIT"]"#, r#"pkg:apk/ssl_client@1.36.1-r29?arch=x86_64 ["GPL-2.0-only"]"#]
        );
        assert_eq!(packages[1].upstream.as_deref(), Some("busybox@1.36.1-r29"));
    }

    #[test]
    fn damaged_databases_are_refused_not_shortened() {
        for (text, why) in [
            (&b"P:a\nV:1"[..], "ends in the middle of a line"),
            (b"P:a\n\n", "line 1 begins a package without a name or a version"),
            (b"P:a\nV:1\n\0\0\0\n", "line 3 is not `X:value`"),
            (b"P:a\nV:\xff\n", "line 2 is not UTF-8"),
        ] {
            assert_eq!(parse(text), Err(Corrupt(why.to_owned())));
        }
    }
}
