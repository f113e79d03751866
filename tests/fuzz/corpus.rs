//! What the fuzzer begins with: every plan, fixture and block of the documentation, and what it once found.

use std::path::{Path, PathBuf};

/// Names and bytes, in order of name; what was once found comes with them.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut open: Vec<PathBuf> =
        ["fixtures", "plans", "docs", "tests/fuzz/found", "README.md", "build.kdl"].iter().map(|name| root.join(name)).collect();
    let mut found = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let Ok(bytes) = std::fs::read(&path) else { continue };
        if name.ends_with(".kdl") {
            found.push((name, bytes));
        } else if name.ends_with(".md") {
            let text = String::from_utf8(bytes).unwrap();
            let blocks = text.split("```kdl\n").skip(1).filter_map(|rest| rest.split("```").next());
            found.extend(blocks.enumerate().map(|(n, block)| (format!("{name} block {n}"), block.as_bytes().to_vec())));
        }
    }
    found.sort();
    assert!(found.len() > 100, "{} seeds", found.len());
    found
}
