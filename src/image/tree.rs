//! What one `copy` puts where: selected files become the sorted entries of a layer.
//! In: a copy, the files that its patterns selected, and what lies below. Out: entries, parents before children, each
//! path once. Never: reads a file, asks who the user is or what the umask says.
//!
//! The rules, which are Docker's unless said otherwise:
//! - `to` is a folder when it ends with `/`, when there is more than one pattern or file, or when a pattern names a
//!   folder. Otherwise the one file gets that very path; when a folder lies there, that is a fault, not a guess.
//! - A pattern that names a file gives it under its own name. One that names a folder gives the folder's content. One
//!   with wildcards keeps the path below its literal beginning: `src/**/*.rs` puts `src/a/b.rs` at `a/b.rs`.
//! - Of two files for one place the later pattern's wins, then the later path's.
//! - A symbolic link is copied as a link. Links that lie in the base are followed on the way to the place, so that
//!   `/bin/app` reaches `/usr/bin/app` where `/bin` is a link; otherwise the link would be replaced by a folder.
//! - Folders that the base has keep their mode and owner. New ones get 755: above `to` owned by 0:0, from `to` on by the
//!   copy's owner. All of them are written, because engines make missing ones with modes of their own.

use std::collections::BTreeMap;

use crate::base::digest::ContentDigest;
use crate::base::path::RelPath;
use crate::base::pattern::Pattern;
use crate::base::words;
use crate::plan::image::Copy;

use super::ground::{Ground, Lost};

/// One selected file, link or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Where it lies in the project.
    pub path: RelPath,
    /// What it is.
    pub kind: SourceKind,
    /// What it brings along from another image, whose files lie in the store; none for files of the project.
    pub own: Option<Own>,
}

/// What a file of another image brings along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
}

/// What a selected path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceKind {
    /// A regular file.
    File {
        /// Its content; checked while the layer is written.
        digest: ContentDigest,
        /// Its size in bytes.
        size: u64,
        /// Whether it may be executed.
        executable: bool,
    },
    /// A symbolic link.
    Link {
        /// Its target, as it is.
        target: Vec<u8>,
    },
    /// A folder.
    Folder,
}

/// One entry of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Normal, without a leading slash; never empty.
    pub path: Vec<u8>,
    /// What it holds. Folders that no source stands for have the project's root as their path.
    pub source: SourceFile,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
}

impl Entry {
    /// The path for messages.
    #[must_use]
    pub fn shown(&self) -> String {
        shown(&self.path)
    }
    fn folder(path: &[u8], mode: u32, owner: (u32, u32)) -> Self {
        Self { path: path.to_vec(), source: SourceFile { path: RelPath::root(), kind: SourceKind::Folder, own: None }, mode, owner }
    }
    pub(super) fn is_folder(&self) -> bool {
        self.source.kind == SourceKind::Folder
    }
}

/// Why a copy cannot be laid out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The place is not a path of an image.
    #[error("`{to}` is not a place in an image: it {reason}")]
    Place {
        /// As written.
        to: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The patterns select nothing.
    #[error("no file matches {patterns}")]
    Nothing {
        /// All of them.
        patterns: String,
    },
    /// A single file would replace a folder of the base.
    #[error("`{path}` is a folder in the image below; write `{path}/` to copy into it")]
    FolderThere {
        /// The place.
        path: String,
    },
    /// A file of the project has a name that means something else in a layer.
    #[error("`{path}` begins with `.wh.`, which in a layer hides another file; leave it out with `!` or rename it")]
    Whiteout {
        /// In the project.
        path: String,
    },
    /// The path in the image would be longer than a kernel accepts.
    #[error("`{path}` would be longer than 4096 bytes in the image")]
    TooLong {
        /// In the project.
        path: String,
    },
    /// Links of the base lead in a circle.
    #[error("the links on the way to `{path}` in the image below lead in a circle")]
    Circle {
        /// In the image.
        path: String,
    },
}

fn shown(path: &[u8]) -> String {
    words::visible(&format!("/{}", String::from_utf8_lossy(path)))
}

/// Lays out one copy. `files` is what its patterns selected, in any order, without what is excluded.
///
/// # Errors
/// [`TreeError`].
pub fn entries(copy: &Copy, files: &[SourceFile], ground: &Ground) -> Result<Vec<Entry>, TreeError> {
    let to = place(&copy.to)?;
    let found = named(copy, files);
    if found.is_empty() {
        let patterns: Vec<&str> = copy.from.include.iter().map(|(pattern, _)| pattern.as_str()).collect();
        return Err(TreeError::Nothing { patterns: words::list(&patterns, "or") });
    }
    let mut tree = Tree { copy, ground, top: to.clone(), entries: BTreeMap::new() };
    match found.as_slice() {
        [Named { file, below: false, .. }] if copy.from.include.len() == 1 && !is_folder(&copy.to) => {
            let path = tree.resolve(&to, false)?;
            if ground.has_folder(&path) {
                return Err(TreeError::FolderThere { path: shown(&to) });
            }
            tree.put(path, file)?;
        }
        _ => {
            tree.top = tree.resolve(&to, true)?;
            for Named { name, file, .. } in &found {
                let path = join(&tree.top, name.as_bytes());
                let path = tree.resolve(&path, file.kind == SourceKind::Folder)?;
                tree.put(path, file)?;
            }
        }
    }
    tree.put_parents();
    Ok(tree.entries.into_values().collect())
}

/// A file under the name that its pattern gives it.
struct Named<'a> {
    /// Below `to`, when that is a folder.
    name: RelPath,
    file: &'a SourceFile,
    /// Whether the pattern or the file makes a folder of `to`.
    below: bool,
}

fn named<'a>(copy: &Copy, files: &'a [SourceFile]) -> Vec<Named<'a>> {
    let mut sorted: Vec<&SourceFile> = files.iter().collect();
    sorted.sort_by(|a, b| a.path.cmp(&b.path));
    let mut found = Vec::new();
    for (pattern, _) in &copy.from.include {
        found.extend(sorted.iter().filter_map(|file| name(pattern, file)));
    }
    found
}

fn name<'a>(pattern: &Pattern, file: &'a SourceFile) -> Option<Named<'a>> {
    if !pattern.selects(&file.path) {
        return None;
    }
    let is_itself = pattern.literal() == Some(&file.path) && file.kind != SourceKind::Folder;
    let base = if is_itself { file.path.parent()? } else { pattern.base() };
    let around = pattern.is_folder() || (pattern.literal().is_some() && !is_itself) || file.kind == SourceKind::Folder;
    Some(Named { name: file.path.below(&base)?, file, below: around })
}

fn is_folder(to: &str) -> bool {
    to.ends_with('/') || to.ends_with("/.")
}

/// The path in the image, without slashes around it.
fn place(to: &str) -> Result<Vec<u8>, TreeError> {
    let bad = |reason| TreeError::Place { to: words::visible(to), reason };
    if !to.starts_with('/') {
        return Err(bad("does not begin with `/`"));
    }
    if to.split('/').any(|part| part == "..") {
        return Err(bad("contains `..`"));
    }
    match RelPath::new(to.trim_start_matches('/')) {
        Ok(path) if path.as_bytes().split(|byte| *byte == b'/').any(|part| part.starts_with(b".wh.")) => {
            Err(bad("has a part that begins with `.wh.`, which in a layer hides another file"))
        }
        Ok(path) => Ok(path.as_bytes().to_vec()),
        Err(_) => Err(bad("holds a NUL byte, or is too long for a kernel")),
    }
}

fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    let both = !folder.is_empty() && !name.is_empty();
    [folder, if both { b"/" } else { b"" }, name].concat()
}

struct Tree<'a> {
    copy: &'a Copy,
    ground: &'a Ground,
    /// Where the copy's own owner begins.
    top: Vec<u8>,
    entries: BTreeMap<Vec<u8>, Entry>,
}

impl Tree<'_> {
    fn resolve(&self, path: &[u8], whole: bool) -> Result<Vec<u8>, TreeError> {
        self.ground.resolve(path, whole).map_err(|Lost| TreeError::Circle { path: shown(path) })
    }

    fn put(&mut self, path: Vec<u8>, file: &SourceFile) -> Result<(), TreeError> {
        if path.split(|byte| *byte == b'/').any(|part| part.starts_with(b".wh.")) {
            return Err(TreeError::Whiteout { path: file.path.to_string() });
        }
        if path.len() > 4096 {
            return Err(TreeError::TooLong { path: file.path.to_string() });
        }
        if path.is_empty() {
            return Ok(());
        }
        for end in slashes(&path) {
            if self.entries.get(&path[..end]).is_some_and(|above| !above.is_folder()) {
                self.entries.remove(&path[..end]);
            }
        }
        let mode = match file.kind {
            SourceKind::File { executable, .. } => {
                let usual = file.own.map_or(if executable { 0o755 } else { 0o644 }, |own| own.mode);
                self.copy.mode.unwrap_or(usual) & 0o7777
            }
            SourceKind::Link { .. } => 0o777,
            SourceKind::Folder => {
                self.put_folder(path, file.own);
                return Ok(());
            }
        };
        let owner = self.copy.owner.or(file.own.map(|own| own.owner)).unwrap_or_default();
        self.drop_below(&path);
        self.entries.insert(path.clone(), Entry { path, source: file.clone(), mode, owner });
        Ok(())
    }

    /// A folder in the tree: the base's, when it has one there, else a new one.
    fn put_folder(&mut self, path: Vec<u8>, brought: Option<Own>) {
        let own = path == self.top || (path.starts_with(&self.top) && (self.top.is_empty() || path[self.top.len()..].starts_with(b"/")));
        let owner = self.copy.owner.or(brought.map(|own| own.owner)).unwrap_or_default();
        let fresh = (brought.map_or(0o755, |own| own.mode), if own { owner } else { (0, 0) });
        let (mode, owner) = self.ground.folder(&path).unwrap_or(fresh);
        self.entries.insert(path.clone(), Entry::folder(&path, mode, owner));
    }

    fn put_parents(&mut self) {
        let paths: Vec<Vec<u8>> = self.entries.keys().cloned().collect();
        for path in paths {
            for end in slashes(&path) {
                if !self.entries.contains_key(&path[..end]) {
                    self.put_folder(path[..end].to_vec(), None);
                }
            }
        }
    }

    fn drop_below(&mut self, path: &[u8]) {
        for below in super::ground::below(&self.entries, path) {
            self.entries.remove(&below);
        }
    }
}

/// The places of the slashes in a path: where the names of its parents end.
fn slashes(path: &[u8]) -> Vec<usize> {
    path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::base::diagnostic::{Source, Span};
    use crate::base::digest::Digest;
    use crate::plan::target::FileSet;

    fn span() -> Span {
        Span::new(&Arc::new(Source { name: String::new(), text: String::new() }), 0, 0)
    }

    fn copy(from: &[&str], to: &str) -> Copy {
        let include = from.iter().map(|text| (Pattern::new(text).unwrap(), span())).collect();
        Copy {
            from: FileSet { include, exclude: Vec::new() },
            image: None,
            to: to.to_owned(),
            owner: Some((7, 8)),
            mode: None,
            span: span(),
        }
    }

    /// `a` is a file, `a*` an executable one, `a/` a folder, `a->b` a link.
    fn source(text: &str) -> SourceFile {
        let (path, kind) = if let Some((path, target)) = text.split_once("->") {
            (path, SourceKind::Link { target: target.as_bytes().to_vec() })
        } else if let Some(path) = text.strip_suffix('/') {
            (path, SourceKind::Folder)
        } else {
            let path = text.trim_end_matches('*');
            let digest = ContentDigest(Digest::of(path.as_bytes()));
            (path, SourceKind::File { digest, size: path.len() as u64, executable: text.ends_with('*') })
        };
        SourceFile { path: RelPath::new(path).unwrap(), kind, own: None }
    }

    /// `path mode uid <source`, where the source is a file.
    fn listing(from: &[&str], files: &[&str], to: &str, ground: &Ground) -> Result<String, TreeError> {
        let files: Vec<SourceFile> = files.iter().map(|text| source(text)).collect();
        let lines = entries(&copy(from, to), &files, ground)?.into_iter().map(|entry| {
            let from = match &entry.source.kind {
                SourceKind::File { .. } => format!(" <{}", entry.source.path),
                SourceKind::Link { target } => format!(" ->{}", String::from_utf8_lossy(target)),
                SourceKind::Folder => "/".to_owned(),
            };
            format!("{}{from} {:o} {}", String::from_utf8_lossy(&entry.path), entry.mode, entry.owner.0)
        });
        Ok(lines.collect::<Vec<_>>().join(", "))
    }

    #[test]
    fn copies_are_laid_out_as_docker_does() {
        let nothing = Ground::default();
        for (from, files, to, expected) in [
            (&["dist/app"][..], &["dist/app*"][..], "/app", "app <dist/app 755 7"),
            (&["dist/app"], &["dist/app*"], "/bin/", "bin/ 755 7, bin/app <dist/app 755 7"),
            (&["dist/app"], &["dist/app"], "/usr/bin/x", "usr/ 755 0, usr/bin/ 755 0, usr/bin/x <dist/app 644 7"),
            (&["dist/app"], &["dist/app"], "/", "app <dist/app 644 7"),
            (&["a", "b"], &["a", "b"], "/x", "x/ 755 7, x/a <a 644 7, x/b <b 644 7"),
            (&["dist"], &["dist/", "dist/a", "dist/d/b"], "/x", "x/ 755 7, x/a <dist/a 644 7, x/d/ 755 7, x/d/b <dist/d/b 644 7"),
            (&["dist"], &["dist/a"], "/x", "x/ 755 7, x/a <dist/a 644 7"),
            (&["dist"], &["dist/"], "/x", "x/ 755 7"),
            (&["."], &["a", "d/b"], "/x/.", "x/ 755 7, x/a <a 644 7, x/d/ 755 7, x/d/b <d/b 644 7"),
            (
                &["src/**/*.rs"],
                &["src/a/b.rs", "src/c.rs"],
                "/x",
                "x/ 755 7, x/a/ 755 7, x/a/b.rs <src/a/b.rs 644 7, x/c.rs <src/c.rs 644 7",
            ),
            (&["dist/*.whl"], &["dist/a.whl"], "/x", "x <dist/a.whl 644 7"),
            (&["dist/*.whl"], &["dist/a.whl"], "/x/", "x/ 755 7, x/a.whl <dist/a.whl 644 7"),
            (&["l"], &["l->t"], "/x", "x ->t 777 7"),
            (&["a/x", "b/x"], &["a/x", "b/x*"], "/", "x <b/x 755 7"),
            (&["a", "b"], &["a/x", "b/x/y"], "/", "x/ 755 7, x/y <b/x/y 644 7"),
            (&["b", "a"], &["a/x", "b/x/y"], "/", "x <a/x 644 7"),
            (&["a"], &["a", "unrelated"], "//x/./y", "x/ 755 0, x/y <a 644 7"),
        ] {
            assert_eq!(listing(from, files, to, &nothing).as_deref(), Ok(expected), "{from:?} {to}");
            let backwards: Vec<&str> = files.iter().rev().copied().collect();
            assert_eq!(listing(from, &backwards, to, &nothing).as_deref(), Ok(expected), "in another order: {from:?} {to}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let nothing = Ground::default();
        for (from, file, to, expected) in [
            ("a", "a", "x", "`x` is not a place in an image: it does not begin with `/`"),
            ("a", "a", "/x/../y", "`/x/../y` is not a place in an image: it contains `..`"),
            ("a", "b", "/x", "no file matches `a`"),
            (
                "d",
                "d/.wh.passwd",
                "/etc",
                "`d/.wh.passwd` begins with `.wh.`, which in a layer hides another file; leave it out with `!` or rename it",
            ),
        ] {
            assert_eq!(listing(&[from], &[file], to, &nothing).unwrap_err().to_string(), expected);
        }
    }

    fn debian() -> Ground {
        let mut ground = Ground::default();
        let link = |path: &str, target: &str| Entry { path: path.into(), ..link_entry(target) };
        let folder = |path: &str, mode, uid| Entry::folder(path.as_bytes(), mode, (uid, uid));
        ground.absorb(&[
            folder("home", 0o755, 0),
            folder("home/app", 0o700, 1000),
            folder("tmp", 0o1777, 0),
            folder("usr", 0o755, 0),
            folder("usr/bin", 0o755, 0),
            link("bin", "usr/bin"),
            link("round", "round"),
        ]);
        ground
    }

    fn link_entry(target: &str) -> Entry {
        let source = SourceFile { path: RelPath::root(), kind: SourceKind::Link { target: target.into() }, own: None };
        Entry { path: Vec::new(), source, mode: 0o777, owner: (0, 0) }
    }

    #[test]
    fn folders_and_links_of_the_base_stay_as_they_are() {
        for (from, file, to, expected) in [
            ("a", "a", "/tmp/a", Ok("tmp/ 1777 0, tmp/a <a 644 7")),
            ("a", "a", "/bin/a", Ok("usr/ 755 0, usr/bin/ 755 0, usr/bin/a <a 644 7")),
            ("a", "a", "/bin/", Ok("usr/ 755 0, usr/bin/ 755 0, usr/bin/a <a 644 7")),
            ("d", "d/bin/a", "/", Ok("usr/ 755 0, usr/bin/ 755 0, usr/bin/a <d/bin/a 644 7")),
            ("d", "d/x", "/home/app/sub", Ok("home/ 755 0, home/app/ 700 1000, home/app/sub/ 755 7, home/app/sub/x <d/x 644 7")),
            ("a", "a", "/usr/bin", Err("`/usr/bin` is a folder in the image below; write `/usr/bin/` to copy into it")),
            ("a", "a", "/bin", Err("`/bin` is a folder in the image below; write `/bin/` to copy into it")),
            ("a", "a", "/round/a", Err("the links on the way to `/round/a` in the image below lead in a circle")),
        ] {
            let found = listing(&[from], &[file], to, &debian()).map_err(|error| error.to_string());
            assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned), "{to}");
        }
    }

    proptest! {
        #[test]
        fn every_tree_is_sorted_whole_and_free_of_doubles(
            names in proptest::collection::vec("[ab]{1,2}(/[ab]{1,2}){0,3}/?", 1..12),
            from in proptest::collection::vec("[ab](/[ab*])?|\\*\\*|\\.", 1..4),
            to in "(/[ab]{1,2}){0,3}/?",
            links in proptest::collection::vec(("[ab](/[ab])?", "/?[ab.]{1,2}(/[ab])?"), 0..3),
        ) {
            let mut ground = Ground::default();
            for (path, target) in links {
                ground.absorb(&[Entry { path: path.into_bytes(), ..link_entry(&target) }]);
            }
            let files: Vec<SourceFile> = names.iter().map(|text| source(text)).collect();
            let from: Vec<&str> = from.iter().map(String::as_str).collect();
            if let Ok(entries) = entries(&copy(&from, &format!("/{to}")), &files, &ground) {
                for pair in entries.windows(2) {
                    prop_assert!(pair[0].path < pair[1].path);
                }
                for entry in &entries {
                    prop_assert!(!entry.path.is_empty() && !entry.path.split(|b| *b == b'/').any(|part| matches!(part, b"" | b"." | b"..")));
                    for end in slashes(&entry.path) {
                        let parent = entries.iter().find(|other| other.path == entry.path[..end]);
                        prop_assert!(parent.is_some_and(Entry::is_folder), "{} has no folder", entry.shown());
                    }
                    if let SourceKind::File { .. } = entry.source.kind {
                        prop_assert!(files.contains(&entry.source));
                    }
                }
            }
        }
    }
}
