//! Why a key is another one: two manifests, compared line by line.

use std::collections::BTreeMap;

use super::KeyManifest;

/// One difference between two keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The name of the line: `inputs › src/main.rs`, `env › CFLAGS`.
    pub name: String,
    /// Its value before; `None` when it was not there.
    pub old: Option<String>,
    /// Its value now; `None` when it is gone.
    pub new: Option<String>,
}

/// Every line that is not the same, in the order of the newer manifest, lines that are gone last.
#[must_use]
pub fn changes(old: &KeyManifest, new: &KeyManifest) -> Vec<Change> {
    let (old, new) = (numbered(old), numbered(new));
    let mut found: Vec<(usize, Change)> = Vec::new();
    for (name, (place, value)) in &new {
        let before = old.get(name).map(|(_, value)| value);
        if before != Some(value) {
            found.push((*place, Change { name: plain(name), old: before.cloned(), new: Some(value.clone()) }));
        }
    }
    for (name, (place, value)) in &old {
        if !new.contains_key(name) {
            found.push((usize::MAX / 2 + place, Change { name: plain(name), old: Some(value.clone()), new: None }));
        }
    }
    found.sort_by_key(|(place, _)| *place);
    found.into_iter().map(|(_, change)| change).collect()
}

/// Gives lines of the same name (list items) a number, so that each can be compared with its twin.
fn numbered(manifest: &KeyManifest) -> BTreeMap<(String, usize), (usize, String)> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut lines = BTreeMap::new();
    for (place, (name, value)) in manifest.0.iter().enumerate() {
        let number = seen.entry(name).or_default();
        lines.insert((name.clone(), *number), (place, value.clone()));
        *number += 1;
    }
    lines
}

fn plain(name: &(String, usize)) -> String {
    name.0.clone()
}

/// One clause for a screen: `src/main.rs changed`, `env CFLAGS is new`, `src/a.c and 3 more changed`.
#[must_use]
pub fn reason(changes: &[Change]) -> String {
    let mut subjects: Vec<(String, &Change)> = Vec::new();
    for change in changes {
        let subject = subject(&change.name);
        if !subjects.iter().any(|(known, _)| *known == subject) {
            subjects.push((subject, change));
        }
    }
    let Some((subject, first)) = subjects.first() else { return "nothing changed".to_owned() };
    let what = crate::base::words::shorten(&crate::base::words::visible(subject), 60);
    if subjects.len() > 1 {
        return format!("{what} and {} more changed", subjects.len() - 1);
    }
    match (&first.old, &first.new) {
        (None, _) => format!("{what} is new"),
        (_, None) => format!("{what} is gone"),
        _ => format!("{what} changed"),
    }
}

/// The thing that a line is about, as a person calls it: a file by its path, an image or a need by its step.
fn subject(name: &str) -> String {
    let parts: Vec<&str> = name.split(" › ").collect();
    match parts.as_slice() {
        [.., "inputs" | "files", path, _] => (*path).to_owned(),
        ["images", step] => (*step).to_owned(),
        ["needs", step] => format!("what {step} made"),
        ["commands", ..] => "the command".to_owned(),
        [.., group, name] => format!("{group} {name}"),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(lines: &[(&str, &str)]) -> KeyManifest {
        KeyManifest(lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn exactly_the_changed_line_is_named() {
        let old = manifest(&[
            ("kind", "run"),
            ("inputs › a.c › content", "x"),
            ("inputs › b.c › content", "y"),
            ("shell", "sh"),
            ("shell", "-c"),
        ]);
        for (new, expected) in [
            (
                vec![("kind", "run"), ("inputs › a.c › content", "w"), ("inputs › b.c › content", "y"), ("shell", "sh"), ("shell", "-c")],
                "a.c changed",
            ),
            (vec![("kind", "run"), ("inputs › a.c › content", "x"), ("shell", "sh"), ("shell", "-c")], "b.c is gone"),
            (
                vec![
                    ("kind", "run"),
                    ("inputs › a.c › content", "x"),
                    ("inputs › b.c › content", "y"),
                    ("inputs › c.c › content", "z"),
                    ("shell", "sh"),
                    ("shell", "-c"),
                ],
                "c.c is new",
            ),
            (
                vec![
                    ("kind", "run"),
                    ("inputs › a.c › content", "x"),
                    ("inputs › b.c › content", "y"),
                    ("env › CC", "gcc"),
                    ("shell", "sh"),
                    ("shell", "-c"),
                ],
                "env CC is new",
            ),
            (
                vec![("kind", "run"), ("inputs › a.c › content", "x"), ("inputs › b.c › content", "y"), ("shell", "sh"), ("shell", "-ec")],
                "shell changed",
            ),
        ] {
            let found = changes(&old, &manifest(&new));
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(reason(&found), expected);
        }
        assert_eq!(changes(&old, &old), vec![]);
    }
}
