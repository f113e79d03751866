//! Debian's package database: `/var/lib/dpkg/status`, and the pieces in `status.d` that images without dpkg carry.
//! In: paragraphs of `Field: value` lines. Out: the packages whose files are there. Never: a paragraph passed over in silence.

use super::purl::Purl;
use super::{Corrupt, MOST_PACKAGES, Package, field};

/// Which of the two files the bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// All packages; dpkg ends every line, so a last line without an end was cut off.
    Status,
    /// One package, as its control file was; the last line may lack its end.
    Part,
}

#[derive(Default)]
struct Paragraph<'a> {
    started: Option<usize>,
    name: Option<&'a str>,
    version: Option<&'a str>,
    architecture: &'a str,
    status: Option<&'a str>,
    source: Option<&'a str>,
}

/// Reads a database. Source: deb-control(5), dpkg's `lib/dpkg/parse.c`.
///
/// # Errors
/// [`Corrupt`] names the first line that is not as dpkg writes it.
pub fn parse(bytes: &[u8], form: Form) -> Result<Vec<Package>, Corrupt> {
    if form == Form::Status && !bytes.is_empty() && !bytes.ends_with(b"\n") {
        return Err(Corrupt("ends in the middle of a line".to_owned()));
    }
    let mut packages = Vec::new();
    let mut paragraph = Paragraph::default();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let number = index + 1;
        if line.trim_ascii().is_empty() {
            packages.extend(std::mem::take(&mut paragraph).finish()?);
            if packages.len() > MOST_PACKAGES {
                return Err(Corrupt::line(number, "is beyond the largest database that can be"));
            }
            continue;
        }
        paragraph.take_in(line, number)?;
    }
    packages.extend(paragraph.finish()?);
    Ok(packages)
}

impl<'a> Paragraph<'a> {
    fn take_in(&mut self, line: &'a [u8], number: usize) -> Result<(), Corrupt> {
        if line.contains(&0) {
            return Err(Corrupt::line(number, "holds a NUL byte"));
        }
        if line[0] == b' ' || line[0] == b'\t' {
            return if self.started.is_some() { Ok(()) } else { Err(Corrupt::line(number, "continues a field that never began")) };
        }
        let colon = line.iter().position(|byte| *byte == b':').filter(|at| *at > 0);
        let Some((name, value)) = colon.map(|at| (&line[..at], &line[at + 1..])) else {
            return Err(Corrupt::line(number, "is not `Field: value`"));
        };
        self.started.get_or_insert(number);
        let slot = match name.to_ascii_lowercase().as_slice() {
            b"package" => &mut self.name,
            b"version" => &mut self.version,
            b"status" => &mut self.status,
            b"source" => &mut self.source,
            b"architecture" => {
                self.architecture = field(value, number)?;
                return Ok(());
            }
            _ => return Ok(()),
        };
        if slot.replace(field(value, number)?).is_some() {
            return Err(Corrupt::line(number, "repeats a field of the same package"));
        }
        Ok(())
    }

    fn finish(self) -> Result<Option<Package>, Corrupt> {
        let Some(line) = self.started else { return Ok(None) };
        let name = self.name.filter(|name| !name.is_empty()).ok_or_else(|| Corrupt::line(line, "begins a package without a name"))?;
        // The third word says how far the installation came; these two leave no files behind.
        if self.status.is_some_and(|status| matches!(status.split_ascii_whitespace().nth(2), Some("config-files" | "not-installed"))) {
            return Ok(None);
        }
        let version =
            self.version.filter(|version| !version.is_empty()).ok_or_else(|| Corrupt::line(line, "begins a package without a version"))?;
        Ok(Some(Package {
            purl: Purl::deb(name, version).with("arch", self.architecture),
            licences: Vec::new(),
            upstream: self.source.map(|source| source_package(source, version)),
        }))
    }
}

/// `glibc` or `glibc (2.36-9)` → `glibc@2.36-9`.
fn source_package(source: &str, version: &str) -> String {
    match source.split_once(" (") {
        Some((name, own)) => format!("{name}@{}", own.trim_end_matches(')')),
        None => format!("{source}@{version}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = include_str!("../../../fixtures/scan/dpkg-status");

    fn purls(bytes: &[u8], form: Form) -> Result<Vec<String>, String> {
        let packages = parse(bytes, form).map_err(|error| error.to_string())?;
        Ok(packages.iter().map(|package| package.purl.to_string()).collect())
    }

    #[test]
    fn installed_packages_are_listed_and_removed_ones_are_not() {
        assert_eq!(
            purls(STATUS.as_bytes(), Form::Status),
            Ok(vec!["pkg:deb/adduser@3.134?arch=all".into(), "pkg:deb/libc6@2.36-9%2Bdeb12u7?arch=amd64".into()])
        );
        let packages = parse(STATUS.as_bytes(), Form::Status).unwrap();
        assert_eq!(packages[1].upstream.as_deref(), Some("glibc@2.36-9+deb12u7"));
    }

    #[test]
    fn a_part_needs_no_status_and_no_last_line_end() {
        let part = b"Package: tzdata\nVersion: 2024a-0+deb12u1\nArchitecture: all";
        assert_eq!(purls(part, Form::Part), Ok(vec!["pkg:deb/tzdata@2024a-0%2Bdeb12u1?arch=all".into()]));
    }

    #[test]
    fn damaged_databases_are_refused_not_shortened() {
        for (text, why) in [
            (&b"Package: a\nVersion: 1"[..], "ends in the middle of a line"),
            (b"Package: a\nStatus: install ok installed\n", "line 1 begins a package without a version"),
            (b"Version: 1\n", "line 1 begins a package without a name"),
            (b"Package: a\nVersion: 1\n\n garbage\n", "line 4 continues a field that never began"),
            (b"Package: a\n<<<<<<<\n", "line 2 is not `Field: value`"),
            (b"Package: a\nVersion: 1\nPackage: b\n", "line 3 repeats a field of the same package"),
            (b"Package: a\0\nVersion: 1\n", "line 1 holds a NUL byte"),
            (b"Package: \x1b[2J\nVersion: 1\n", "line 1 holds control characters"),
        ] {
            assert_eq!(purls(text, Form::Status), Err(why.to_owned()));
        }
    }

    #[test]
    fn every_cut_inside_a_line_is_noticed() {
        for end in 1..STATUS.len() {
            let cut = &STATUS.as_bytes()[..end];
            if !cut.ends_with(b"\n") {
                assert!(parse(cut, Form::Status).is_err(), "cut at byte {end}");
            }
        }
    }
}
