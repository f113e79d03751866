//! What an image could do without, with the bytes to win.
//! In: the contents of an image. Out: advice, the greatest gain first. Never: looks at a plan, guesses what a file is for.

use std::collections::BTreeMap;

use crate::base::digest::ContentDigest;
use crate::store::layer_reader::EntryKind;

use super::contents::Contents;

/// Gains below this are not worth a line.
const LEAST: u64 = 4 << 10;
/// Files from this size on are named.
const LARGE: u64 = 10 << 20;
/// Paths that one piece of advice names.
pub(super) const MOST_PATHS: usize = 5;

/// Of what kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A file that looks like a secret.
    Secret,
    /// Files that an upper layer removes.
    Removed,
    /// Files that an upper layer replaces.
    Overwritten,
    /// The same content under several paths.
    Duplicate,
    /// What a package manager left behind.
    Cache,
    /// A large file.
    Large,
    /// Files that stay the same in a layer that changes.
    Mixed,
    /// A layer that changes more often than one above it.
    Order,
}

/// One piece of advice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// Of what kind.
    pub kind: Kind,
    /// The layer that holds it, from 0.
    pub layer: usize,
    /// The layer that makes it needless, where one does.
    pub by: Option<usize>,
    /// Some of the paths, the largest first.
    pub paths: Vec<Vec<u8>>,
    /// How many there are.
    pub count: usize,
    /// Bytes before compression that the image would be smaller.
    pub bytes: u64,
    /// What it is, in a few words.
    pub what: String,
}

/// Folders in which package managers keep what no container needs. A part stands anywhere in a path when it begins with `/`.
const CACHES: &[(&str, &str)] = &[
    ("var/cache/apt/", "apt's cache"),
    ("var/lib/apt/lists/", "apt's lists of packages"),
    ("var/cache/apk/", "apk's cache"),
    ("var/cache/dnf/", "dnf's cache"),
    ("var/cache/yum/", "yum's cache"),
    ("var/cache/zypp/", "zypper's cache"),
    ("var/cache/pacman/", "pacman's cache"),
    ("/.cache/pip/", "pip's cache"),
    ("/.cache/uv/", "uv's cache"),
    ("/.cache/go-build/", "Go's build cache"),
    ("/go/pkg/mod/cache/", "Go's cache of modules"),
    ("/.npm/_cacache/", "npm's cache"),
    ("/.cache/yarn/", "yarn's cache"),
    ("/.cargo/registry/", "cargo's registry"),
    ("/.m2/repository/", "Maven's repository"),
    ("/.gradle/caches/", "Gradle's cache"),
    ("/__pycache__/", "Python's compiled files"),
    ("/.git/", "git's history"),
];

/// Names of files that hold secrets.
const SECRETS: &[&str] = &[
    ".env",
    ".netrc",
    ".npmrc",
    ".pypirc",
    ".git-credentials",
    ".pgpass",
    ".vault-token",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "credentials.json",
    "service-account.json",
];
/// Ends of paths that hold secrets.
const SECRET_PATHS: &[&str] = &["/.aws/credentials", "/.docker/config.json", "/.kube/config", ".p12", ".pfx", ".jks", ".keystore"];

/// Whether a path is named as secrets are. Public examples are not meant.
fn is_secret(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let slashed = format!("/{path}");
    SECRETS.contains(&name) || SECRET_PATHS.iter().any(|end| slashed.ends_with(end))
}

fn cache_of(path: &str) -> Option<&'static str> {
    let slashed = format!("/{path}");
    let fits = |part: &str| if part.starts_with('/') { slashed.contains(part) } else { path.starts_with(part) };
    CACHES.iter().find(|(part, _)| fits(part)).map(|(_, what)| *what)
}

/// What is told together: of one kind, in one layer, hidden by one other, in the same words.
type Pile = (Kind, usize, Option<usize>, &'static str);

/// All that is worth saying, secrets first, then by bytes.
#[must_use]
pub fn advice(contents: &Contents) -> Vec<Advice> {
    let mut piles: BTreeMap<Pile, Vec<(u64, Vec<u8>)>> = BTreeMap::new();
    let mut same: BTreeMap<ContentDigest, Vec<(u64, usize, Vec<u8>)>> = BTreeMap::new();
    for hidden in &contents.hidden {
        let (kind, what) = if hidden.removed {
            (Kind::Removed, "removed by a later layer, which makes nothing smaller")
        } else {
            (Kind::Overwritten, "replaced by a later layer, and carried all the same")
        };
        piles.entry((kind, hidden.layer, Some(hidden.by), what)).or_default().push((hidden.size, hidden.path.clone()));
    }
    for (path, (layer, item)) in &contents.files {
        if item.header.kind != EntryKind::File {
            continue;
        }
        let text = String::from_utf8_lossy(path);
        let size = item.header.size;
        if item.is_key || (size > 0 && is_secret(&text)) {
            let what = if item.is_key { "begins like a private key" } else { "is named as secrets are" };
            piles.entry((Kind::Secret, *layer, None, what)).or_default().push((size, path.clone()));
        } else if let Some(what) = cache_of(&text) {
            piles.entry((Kind::Cache, *layer, None, what)).or_default().push((size, path.clone()));
        } else {
            if size >= LARGE {
                piles.entry((Kind::Large, *layer, None, "large")).or_default().push((size, path.clone()));
            }
            if let Some(content) = item.content.filter(|_| size >= LEAST) {
                same.entry(content).or_default().push((size, *layer, path.clone()));
            }
        }
    }
    let mut all: Vec<Advice> = piles.into_iter().map(|(own, files)| pile(own, files)).collect();
    for copies in same.into_values().filter(|copies| copies.len() > 1) {
        let layer = copies.iter().map(|(_, layer, _)| *layer).max().unwrap_or(0);
        let saved = copies.iter().skip(1).map(|(size, ..)| size).sum();
        let files = copies.into_iter().map(|(size, _, path)| (size, path)).collect();
        all.push(Advice { bytes: saved, ..pile((Kind::Duplicate, layer, None, "the same content under several paths"), files) });
    }
    all.retain(|advice| advice.kind == Kind::Secret || advice.bytes >= LEAST);
    all.sort_by(|a, b| (a.kind != Kind::Secret, b.bytes, &a.paths).cmp(&(b.kind != Kind::Secret, a.bytes, &b.paths)));
    all
}

fn pile((kind, layer, by, what): Pile, mut files: Vec<(u64, Vec<u8>)>) -> Advice {
    files.sort_by(|a, b| (b.0, &a.1).cmp(&(a.0, &b.1)));
    let (count, bytes) = (files.len(), files.iter().map(|(size, _)| size).sum());
    let paths = files.into_iter().take(MOST_PATHS).map(|(_, path)| path).collect();
    Advice { kind, layer, by, paths, count, bytes, what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Digest;
    use crate::image::contents::{Hidden, Item};
    use crate::store::layer_reader::EntryHeader;

    fn contents(files: &[(&str, u64, &[u8])], hidden: &[(&str, u64, bool)]) -> Contents {
        let item = |path: &str, size, content: &[u8]| Item {
            header: EntryHeader { path: path.into(), kind: EntryKind::File, mode: 0o644, uid: 0, gid: 0, size },
            content: Some(ContentDigest(Digest::of(content))),
            is_key: content.starts_with(b"-----BEGIN"),
        };
        Contents {
            layers: Vec::new(),
            files: files.iter().map(|(path, size, content)| (path.as_bytes().to_vec(), (0, item(path, *size, content)))).collect(),
            hidden: hidden
                .iter()
                .map(|(path, size, removed)| Hidden { path: path.as_bytes().to_vec(), size: *size, layer: 0, by: 1, removed: *removed })
                .collect(),
        }
    }

    #[test]
    fn every_kind_of_waste_is_named_with_what_it_costs() {
        let found = advice(&contents(
            &[
                ("app/one", 5_000, b"same"),
                ("app/two", 5_000, b"same"),
                ("app/three", 5_000, b"other"),
                ("var/lib/apt/lists/x", 30_000, b"l"),
                ("root/.cache/pip/y", 20_000, b"p"),
                ("srv/.env", 10, b"A=1"),
                ("srv/key", 10, b"-----BEGIN"),
                ("srv/.env.example", 10, b"A="),
                ("srv/empty/.env", 0, b""),
                ("bin/app", 11 << 20, b"big"),
            ],
            &[("tmp/a", 9_000, true), ("tmp/b", 9_000, true), ("etc/x", 6_000, false), ("etc/small", 10, false)],
        ));
        let told: Vec<(Kind, usize, u64)> = found.iter().map(|advice| (advice.kind, advice.count, advice.bytes)).collect();
        assert_eq!(
            told,
            [
                (Kind::Secret, 1, 10),
                (Kind::Secret, 1, 10),
                (Kind::Large, 1, 11 << 20),
                (Kind::Cache, 1, 30_000),
                (Kind::Cache, 1, 20_000),
                (Kind::Removed, 2, 18_000),
                (Kind::Overwritten, 2, 6_010),
                (Kind::Duplicate, 2, 5_000),
            ]
        );
    }

    #[test]
    fn an_image_without_waste_is_told_nothing() {
        assert_eq!(advice(&contents(&[("app/one", 5_000, b"1"), ("app/two", 5_000, b"2"), ("etc/passwd", 10, b"p")], &[])), []);
    }
}
