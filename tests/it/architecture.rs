//! The floors of the house: who may import whom, how large a file may grow, where foreign packages live.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Each floor's modules, lowest first. A module names only modules of lower floors, or its own.
const FLOORS: &[&[&str]] = &[
    &["base"],
    &["event", "oci", "syntax", "sys"],
    &["evidence", "plan", "record", "registry", "store"],
    &["graph", "image", "scan"],
    &["engine", "key"],
    &["exec", "report"],
    &["cli"],
];

/// Where each foreign package lives.
const HOMES: &[(&str, &[&str])] = &[
    ("kdl", &["syntax"]),
    ("petgraph", &["graph"]),
    ("bollard", &["engine"]),
    ("clap", &["cli"]),
    ("walkdir", &["sys"]),
    ("ignore", &["sys"]),
    ("blake3", &["base"]),
    ("miette", &["base", "syntax", "report"]),
    ("minijinja", &["plan"]),
    ("reqwest", &["registry"]),
    ("p256", &["evidence"]),
    ("ring", &["evidence"]),
    ("webpki", &["evidence"]),
    ("x509_cert", &["evidence"]),
    ("tokio", &["sys", "store", "registry", "record", "image", "scan", "engine", "exec", "cli"]),
];

fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap().to_owned(), text));
            }
        }
    }
    found.sort();
    found
}

fn module(path: &Path) -> String {
    path.components().next().unwrap().as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// The part of a file before its unit tests.
fn product(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests").next().unwrap()
}

fn words_after<'a>(text: &'a str, mark: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(move |line| line.split(mark).skip(1)).map(|rest| {
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        &rest[..end]
    })
}

#[test]
fn imports_point_down() {
    let floor: BTreeMap<&str, usize> = FLOORS.iter().enumerate().flat_map(|(n, names)| names.iter().map(move |name| (*name, n))).collect();
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let own = module(&path);
        if own == "main" || own == "lib" {
            continue;
        }
        let Some(here) = floor.get(own.as_str()) else {
            wrong.push(format!("{}: module `{own}` has no floor", path.display()));
            continue;
        };
        for name in words_after(product(&text), "crate::") {
            if name != own && floor.get(name).is_none_or(|there| there >= here) {
                wrong.push(format!("{}: `{own}` on floor {here} names `{name}`", path.display()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn each_foreign_package_has_one_home() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let own = module(&path);
        for (package, homes) in HOMES {
            let named = product(&text).lines().any(|line| {
                let line = line.trim_start();
                !line.starts_with("//")
                    && (line.contains(&format!(" {package}::"))
                        || line.contains(&format!("({package}::"))
                        || line.contains(&format!("<{package}::"))
                        || line.contains(&format!("#[{package}::")))
            });
            if named && own != "main" && !homes.contains(&own.as_str()) {
                wrong.push(format!("{}: `{package}` lives in {homes:?}", path.display()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn files_hold_one_thing() {
    let long: Vec<String> = sources()
        .iter()
        .filter(|(_, text)| product(text).lines().count() > 500)
        .map(|(path, text)| format!("{}: {} lines without tests", path.display(), product(text).lines().count()))
        .collect();
    assert_eq!(long, Vec::<String>::new());
}

#[test]
fn every_file_begins_by_saying_what_it_is() {
    let silent: Vec<_> = sources().into_iter().filter(|(_, text)| !text.starts_with("//! ")).map(|(path, _)| path).collect();
    assert_eq!(silent, Vec::<PathBuf>::new());
}

#[test]
fn nothing_is_left_half_done() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        for word in ["todo!", "unimplemented!", "dbg!", "FIXME", "XXX", "#[ignore"] {
            if text.contains(word) {
                wrong.push(format!("{}: {word}", path.display()));
            }
        }
        if product(&text).contains("use super::*") {
            wrong.push(format!("{}: use super::*", path.display()));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}
