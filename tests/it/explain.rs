//! Every code that a fault can carry is explained.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Codes stand in the source as texts of the form `area::what`.
fn codes(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            codes(&path, found);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let product = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for quoted in product.split('"').skip(1).step_by(2) {
            let is_word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            if quoted.split_once("::").is_some_and(|(area, what)| is_word(area) && is_word(what)) {
                found.insert(quoted.to_owned());
            }
        }
    }
}

#[test]
fn every_code_in_the_source_is_explained() {
    let mut found = BTreeSet::new();
    codes(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 100, "{}", found.len());
    let silent: Vec<&String> = found
        .iter()
        .filter(|code| !Command::new(env!("CARGO_BIN_EXE_kiln")).args(["explain", code]).output().unwrap().status.success())
        .collect();
    assert_eq!(silent, Vec::<&String>::new());
}
