//! npm packages: package-lock.json of versions 1 to 3, and the package.json of what is installed.
//! In: JSON. Out: packages. Never: a lock file's development packages, its links, or the project itself.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::purl::Purl;
use super::{Corrupt, MOST_PACKAGES, Package, is_plain, without_login};

#[derive(Deserialize)]
struct Lock {
    #[serde(default, rename = "lockfileVersion")]
    version: u32,
    #[serde(default)]
    packages: Option<BTreeMap<String, Entry>>,
    #[serde(default)]
    dependencies: Option<BTreeMap<String, Entry>>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    dev: bool,
    #[serde(default)]
    link: bool,
    #[serde(default)]
    license: Option<Value>,
    /// Version 1 nests what a package has for itself.
    #[serde(default)]
    dependencies: Option<BTreeMap<String, Value>>,
}

/// Reads a package-lock.json or npm-shrinkwrap.json. Source: npm documentation, package-lock.json.
///
/// # Errors
/// [`Corrupt`] when it is not JSON of this shape.
pub fn parse_lock(bytes: &[u8]) -> Result<Vec<Package>, Corrupt> {
    let lock: Lock = serde_json::from_slice(bare(bytes)).map_err(|error| Corrupt(format!("is not a lock file: {error}")))?;
    let mut found = Vec::new();
    match (lock.packages, lock.dependencies) {
        (Some(packages), _) => {
            for (path, entry) in packages {
                // The project is "", its own workspaces lie outside `node_modules`.
                if let Some((_, installed)) = path.rsplit_once("node_modules/") {
                    push(&mut found, installed, &entry)?;
                }
            }
        }
        (None, Some(dependencies)) => nested(dependencies, &mut found)?,
        (None, None) if lock.version == 0 => return Err(Corrupt("is not a lock file: it has no version".to_owned())),
        (None, None) => {}
    }
    Ok(found)
}

/// Version 1: each entry may hold more of them. The depth is bounded by the JSON reader.
fn nested(dependencies: BTreeMap<String, Entry>, found: &mut Vec<Package>) -> Result<(), Corrupt> {
    for (name, entry) in dependencies {
        push(found, &name, &entry)?;
        // Within an entry of versions 2 and 3 the same word maps names to ranges, which are texts.
        let mut inner = BTreeMap::new();
        for (name, value) in entry.dependencies.unwrap_or_default() {
            if value.is_object() {
                let entry = serde_json::from_value(value).map_err(|error| Corrupt(format!("is not a lock file: {error}")))?;
                inner.insert(name, entry);
            }
        }
        nested(inner, found)?;
    }
    Ok(())
}

fn push(found: &mut Vec<Package>, installed: &str, entry: &Entry) -> Result<(), Corrupt> {
    if entry.dev || entry.link {
        return Ok(());
    }
    // An alias is installed under another name than the package has.
    let name = entry.name.as_deref().unwrap_or(installed);
    let Some(version) = &entry.version else { return Ok(()) };
    if !is_plain(name) || !is_plain(version) || found.len() >= MOST_PACKAGES {
        return Err(Corrupt("is not a lock file: it has a package without a plain name and version".to_owned()));
    }
    let licences = entry.license.as_ref().map(licence).unwrap_or_default();
    found.push(Package { purl: purl(name, version), licences, upstream: None });
    Ok(())
}

/// A version that is an address says where the package came from, not which one it is.
fn purl(name: &str, version: &str) -> Purl {
    let address = without_login(version);
    if version.contains("://") || version.starts_with("file:") {
        Purl::npm(name, "").with("vcs_url", if version.starts_with("file:") { "" } else { &address })
    } else {
        Purl::npm(name, version)
    }
}

/// Reads the package.json of an installed package; `None` for one that names no package, such as `{"type":"module"}`.
///
/// # Errors
/// [`Corrupt`] when it is not JSON.
pub fn parse_installed(bytes: &[u8]) -> Result<Option<Package>, Corrupt> {
    let document: Value = serde_json::from_slice(bare(bytes)).map_err(|error| Corrupt(format!("is not JSON: {error}")))?;
    let text = |key: &str| document.get(key).and_then(Value::as_str).filter(|text| is_plain(text));
    let (Some(name), Some(version)) = (text("name"), text("version")) else { return Ok(None) };
    let licences = document.get("license").or_else(|| document.get("licenses")).map(licence).unwrap_or_default();
    Ok(Some(Package { purl: purl(name, version), licences, upstream: None }))
}

/// `"MIT"`, `{"type":"MIT"}`, or a list of either: npm has known all of them.
fn licence(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) if is_plain(text) => vec![text.clone()],
        Value::Object(fields) => {
            fields.get("type").and_then(Value::as_str).filter(|text| is_plain(text)).map(str::to_owned).into_iter().collect()
        }
        Value::Array(items) => items.iter().filter(|item| !item.is_array()).flat_map(licence).take(16).collect(),
        _ => Vec::new(),
    }
}

/// Without the byte order mark that some editors leave.
fn bare(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let found = parse_lock(text.as_bytes()).unwrap();
        assert_eq!(found.iter().map(|package| package.purl.to_string()).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn lock_files_of_every_version_are_read() {
        check(
            include_str!("../../../fixtures/scan/package-lock.v3.json"),
            &["pkg:npm/%40scope/tool@2.1.0", "pkg:npm/left-pad@1.1.0", "pkg:npm/left-pad@1.3.0", "pkg:npm/real-name@4.0.0"],
        );
        check(
            r#"{"lockfileVersion":1,"dependencies":{"a":{"version":"1.0.0","requires":{"b":"^2"},"dependencies":{"b":{"version":"2.0.0"}}},
                "t":{"version":"3.0.0","dev":true},"g":{"version":"git+ssh://git@example.org/x.git#abc"}}}"#,
            &["pkg:npm/a@1.0.0", "pkg:npm/b@2.0.0", "pkg:npm/g?vcs_url=git%2Bssh:%2F%2Fgit%40example.org%2Fx.git%23abc"],
        );
        check(r#"{"lockfileVersion":3,"packages":{}}"#, &[]);
    }

    #[test]
    fn what_is_not_a_lock_file_is_refused() {
        let deep = format!(r#"{{"lockfileVersion":1,"dependencies":{}1"#, r#"{"a":{"dependencies":"#.repeat(10_000));
        for text in ["", "{", "[]", "{}", r#"{"packages":{"node_modules/a":{"version":"\u001b[2J"}}}"#, &deep] {
            assert!(parse_lock(text.as_bytes()).is_err(), "{}", &text[..text.len().min(60)]);
        }
    }

    #[test]
    fn an_installed_package_says_name_version_and_licence() {
        let read = |text: &str| parse_installed(text.as_bytes());
        for (text, expected) in [
            (r#"{"name":"@a/b","version":"1.0.0","license":"MIT"}"#, r#"pkg:npm/%40a/b@1.0.0 ["MIT"]"#),
            (
                "\u{feff}{\"name\":\"b\",\"version\":\"1.0.0\",\"licenses\":[{\"type\":\"MIT\"},\"ISC\"]}",
                r#"pkg:npm/b@1.0.0 ["MIT", "ISC"]"#,
            ),
        ] {
            let package = read(text).unwrap().unwrap();
            assert_eq!(format!("{} {:?}", package.purl, package.licences), expected);
        }
        assert_eq!(read(r#"{"type":"module"}"#), Ok(None));
        assert!(read("{").is_err());
    }
}
