//! Python packages: lock files, pinned requirements, and the metadata of what is installed.
//! In: their text. Out: packages. Never: a range taken for a version.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::purl::Purl;
use super::{Corrupt, LONGEST_FIELD, MOST_PACKAGES, Package, field, is_plain, lockfile};

fn named(name: &str, version: &str) -> Package {
    Package::named(Purl::pypi(name, version))
}

/// Reads the pins of a requirements file: `name==1.2.3`. Ranges, addresses and options name no version and are passed over.
/// Source: pip documentation, requirements file format.
///
/// # Errors
/// [`Corrupt`] when it is not text.
pub fn parse_requirements(bytes: &[u8]) -> Result<Vec<Package>, Corrupt> {
    let text = std::str::from_utf8(bytes).map_err(|_| Corrupt("is not UTF-8".to_owned()))?;
    if text.contains('\0') {
        return Err(Corrupt("holds a NUL byte".to_owned()));
    }
    Ok(text.lines().filter_map(pin).take(MOST_PACKAGES).collect())
}

fn pin(line: &str) -> Option<Package> {
    let line = line.split(" #").next()?.split(';').next()?.trim();
    let (name, rest) = line.split_once("==")?;
    let version = rest.trim_start_matches('=').trim_start().split([' ', '\t', '\\', ',']).next()?;
    let name = name.split('[').next()?.trim();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (name.bytes().next()?.is_ascii_alphanumeric() && name.bytes().all(is_name) && is_plain(version) && !version.contains('*'))
        .then(|| named(name, version))
}

/// Reads a poetry.lock or a uv.lock. The project itself, which uv lists too, is left out.
///
/// # Errors
/// [`Corrupt`] names the line that cannot be read.
pub fn parse_toml_lock(bytes: &[u8]) -> Result<Vec<Package>, Corrupt> {
    let mut found = Vec::new();
    for table in lockfile::packages(bytes)? {
        if table.contains_key("source.virtual") || table.contains_key("source.editable") {
            continue;
        }
        let name = &table["name"];
        let version = table.get("version").filter(|version| is_plain(version));
        match version {
            Some(version) => found.push(named(name, version)),
            // uv leaves the version of a folder or an archive open when it is dynamic.
            None if table.keys().any(|key| key.starts_with("source.")) => found.push(named(name, "")),
            None => return Err(Corrupt(format!("holds `{name}` without a version"))),
        }
    }
    Ok(found)
}

#[derive(Deserialize)]
struct Pipfile {
    #[serde(rename = "_meta")]
    _meta: serde::de::IgnoredAny,
    #[serde(default)]
    default: BTreeMap<String, Locked>,
}

#[derive(Deserialize)]
struct Locked {
    #[serde(default)]
    version: Option<String>,
}

/// Reads a Pipfile.lock, without its development packages.
///
/// # Errors
/// [`Corrupt`] when it is not JSON of this shape.
pub fn parse_pipfile_lock(bytes: &[u8]) -> Result<Vec<Package>, Corrupt> {
    let lock: Pipfile = serde_json::from_slice(bytes).map_err(|error| Corrupt(format!("is not a lock file: {error}")))?;
    let mut found = Vec::new();
    for (name, locked) in lock.default {
        let version = locked.version.as_deref().unwrap_or_default().trim_start_matches('=');
        if !is_plain(&name) || !(version.is_empty() || is_plain(version)) {
            return Err(Corrupt("is not a lock file: it has a package without a plain name".to_owned()));
        }
        found.push(named(&name, version));
    }
    Ok(found)
}

/// Reads METADATA or PKG-INFO: the header fields before the first empty line. Source: Python core metadata specification.
///
/// # Errors
/// [`Corrupt`] when it names no package and version.
pub fn parse_metadata(bytes: &[u8]) -> Result<Package, Corrupt> {
    let (mut name, mut version, mut expression, mut licence) = (None, None, None, None);
    let mut classified = Vec::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            break;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        // A licence field may hold the whole text of the licence; it says nothing short, so it is passed over.
        let value = if line.len() > LONGEST_FIELD { Ok("") } else { field(&line[colon + 1..], index + 1) };
        match line[..colon].to_ascii_lowercase().as_slice() {
            b"name" => name = Some(value?),
            b"version" => version = Some(value?),
            b"license-expression" => expression = value.ok(),
            b"license" => licence = value.ok().filter(|text| text.len() <= 80 && *text != "UNKNOWN"),
            b"classifier" => {
                let end = value.ok().and_then(|text| text.strip_prefix("License :: ")).and_then(|text| text.rsplit(" :: ").next());
                classified.extend(end.filter(|text| *text != "OSI Approved").map(str::to_owned));
            }
            _ => {}
        }
    }
    let given = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(|text| vec![text.to_owned()]);
    match (name.filter(|name| !name.is_empty()), version.filter(|version| !version.is_empty())) {
        (Some(name), Some(version)) => {
            Ok(Package { licences: given(expression).or_else(|| given(licence)).unwrap_or(classified), ..named(name, version) })
        }
        _ => Err(Corrupt("names no package and version".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purls(found: Result<Vec<Package>, Corrupt>) -> Vec<String> {
        found.unwrap().iter().map(|package| package.purl.to_string()).collect()
    }

    #[test]
    fn only_pins_of_a_requirements_file_are_versions() {
        let text = "# pins\nDjango_x==4.2.1\nrequests[socks] == 2.31.0 ; python_version > '3.8' # why\nflask>=2.0\nnumpy==1.*\n-r more.txt\n\
            git+https://example.org/x@y==z\nurllib3===2.0.7 \\\n    --hash=sha256:abc==\n";
        assert_eq!(
            purls(parse_requirements(text.as_bytes())),
            ["pkg:pypi/django-x@4.2.1", "pkg:pypi/requests@2.31.0", "pkg:pypi/urllib3@2.0.7"]
        );
        assert!(parse_requirements(b"a==1\0").is_err());
    }

    #[test]
    fn lock_files_are_read() {
        let poetry = b"[[package]]\nname = \"Attrs\"\nversion = \"23.1.0\"\ndescription = \"a \\\"b\\\"\"\nfiles = [\n  {file = \"a.whl\", hash = \"x\"},\n]\n\n[metadata]\nlock-version = \"2.0\"\n";
        assert_eq!(purls(parse_toml_lock(poetry)), ["pkg:pypi/attrs@23.1.0"]);
        let uv = b"version = 1\n[[package]]\nname = \"shop\"\nversion = \"0.1.0\"\nsource = { virtual = \".\" }\n[[package]]\nname = \"idna\"\nversion = \"3.6\"\nsource = { registry = \"https://example.org/simple\" }\n";
        assert_eq!(purls(parse_toml_lock(uv)), ["pkg:pypi/idna@3.6"]);
        let pipfile = br#"{"_meta":{"hash":{}},"default":{"six":{"version":"==1.16.0"},"local":{"path":"."}},"develop":{"pytest":{"version":"==8.0"}}}"#;
        assert_eq!(purls(parse_pipfile_lock(pipfile)), ["pkg:pypi/local", "pkg:pypi/six@1.16.0"]);
        assert!(parse_pipfile_lock(b"{}").is_err());
        assert!(parse_toml_lock(b"[[package]]\nname = \"a\"\n").is_err());
    }

    #[test]
    fn installed_packages_say_name_version_and_licence() {
        for (text, expected) in [
            (
                "Metadata-Version: 2.4\nName: Zope.Interface\nVersion: 6.0\nLicense-Expression: MIT\n\nName: other\n",
                r#"pkg:pypi/zope.interface@6.0 ["MIT"]"#,
            ),
            (
                "Name: a\nVersion: 1\nLicense: UNKNOWN\nClassifier: License :: OSI Approved :: BSD License\n",
                r#"pkg:pypi/a@1 ["BSD License"]"#,
            ),
            ("Name: a\nVersion: 1\nLicense: Copyright\n        (c) é\n", r#"pkg:pypi/a@1 ["Copyright"]"#),
        ] {
            let package = parse_metadata(text.as_bytes()).unwrap();
            assert_eq!(format!("{} {:?}", package.purl, package.licences), expected);
        }
        assert!(parse_metadata(b"Name: a\n").is_err());
        assert!(parse_metadata(b"\0\0\0").is_err());
    }
}
