//! Walks: which files of a project a list of patterns selects.
//! In: a folder, patterns to include and to exclude. Out: what is selected, sorted by the bytes of its path, or every
//! fault that stood in the way. Never: follows a link that a pattern does not name, enters `.git` or `.kiln` unasked,
//! or leaves something out because it could not be read.

use std::collections::HashSet;

use crate::base::path::{BadPath, RelPath};
use crate::base::pattern::Pattern;

use super::file::{self, FileError};
use super::listing::{self, Verdict};
use super::stat::{Kind, Stat};
use super::tree::{TEMPORARY, Tree};

/// Something that a walk selected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where, below the root.
    pub path: RelPath,
    /// What.
    pub kind: Kind,
    /// What the kernel says of it.
    pub stat: Stat,
}

/// What a list of patterns selects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Sorted by the bytes of the path, each path once.
    pub entries: Vec<Entry>,
    /// Which of the included patterns name a file or folder that is not there: their places in the list.
    pub missing: Vec<usize>,
}

/// Which folders are entries themselves. Folders that hold an entry never are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folders {
    /// Only those that a pattern without wildcards names.
    Named,
    /// All that a pattern selects.
    Empty,
}

/// Why a walk could not tell what is selected.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// A folder that cannot be listed, a file that vanished meanwhile, a link that leads out.
    #[error("{0}")]
    File(#[from] FileError),
    /// A FIFO, a socket or a device is selected.
    #[error("`{path}` is a {what}: only files, folders and links can be inputs or outputs")]
    Special {
        /// Where.
        path: RelPath,
        /// The word for it.
        what: &'static str,
    },
    /// A name that no project path can hold.
    #[error("`{path}` {why}")]
    Path {
        /// The path, made visible.
        path: String,
        /// Why.
        why: BadPath,
    },
    /// `dist/` is written, but a file or a link stands there.
    #[error("`{0}` is written with a slash at its end, but it is not a folder")]
    NotFolder(RelPath),
}

/// Finds what `include` selects and `exclude` does not cover.
///
/// # Errors
/// All faults found; a FIFO, a socket or a device among the selected is one, and a file where `dist/` is written.
pub fn select(tree: &Tree, include: &[&Pattern], exclude: &[&Pattern], folders: Folders) -> Result<Selection, Vec<WalkError>> {
    let selection = survey(tree, include, exclude, folders)?;
    let special = |entry: &Entry| match entry.kind {
        Kind::Special(what) => Some(WalkError::Special { path: entry.path.clone(), what }),
        _ => None,
    };
    let mut faults: Vec<WalkError> = selection.entries.iter().filter_map(special).collect();
    for path in include.iter().filter(|pattern| pattern.is_folder()).filter_map(|pattern| pattern.literal()) {
        let at = selection.entries.binary_search_by(|entry| entry.path.cmp(path));
        if at.is_ok_and(|at| selection.entries[at].kind != Kind::Folder) {
            faults.push(WalkError::NotFolder(path.clone()));
        }
    }
    if faults.is_empty() { Ok(selection) } else { Err(faults) }
}

/// As [`select`], but FIFOs, sockets and devices are entries like others, and so is what stands in place of a folder.
///
/// # Errors
/// All faults found, ordered by message.
pub fn survey(tree: &Tree, include: &[&Pattern], exclude: &[&Pattern], folders: Folders) -> Result<Selection, Vec<WalkError>> {
    let mut walk = Walk { tree, include, exclude, folders, selection: Selection::default(), faults: Vec::new() };
    let bases = walk.look_up();
    for base in walk.without_nested(bases) {
        walk.walk(&base);
    }
    walk.finish()
}

struct Walk<'a> {
    tree: &'a Tree,
    include: &'a [&'a Pattern],
    exclude: &'a [&'a Pattern],
    folders: Folders,
    selection: Selection,
    faults: Vec<WalkError>,
}

/// A folder to walk from.
struct Base {
    path: RelPath,
    /// Whether no link stands on the way to it.
    plain: bool,
}

impl Walk<'_> {
    /// Takes what patterns without wildcards name, and gives the folders where the walks for the others begin.
    fn look_up(&mut self) -> Vec<Base> {
        let mut bases = Vec::new();
        for (index, pattern) in self.include.iter().enumerate() {
            let found = match pattern.literal() {
                Some(path) => self.look_up_literal(index, path),
                None => self.base(&pattern.base()),
            };
            match found {
                Ok(base) => bases.extend(base),
                Err(fault) => self.faults.push(fault),
            }
        }
        bases
    }

    fn look_up_literal(&mut self, index: usize, path: &RelPath) -> Result<Option<Base>, WalkError> {
        match file::optional(self.tree.status(path))? {
            None => {
                self.selection.missing.push(index);
                Ok(None)
            }
            Some((Kind::Folder, stat)) => {
                self.take(path, Kind::Folder, stat);
                self.base(path)
            }
            Some((kind, stat)) => {
                self.take(path, kind, stat);
                Ok(None)
            }
        }
    }

    fn take(&mut self, path: &RelPath, kind: Kind, stat: Stat) {
        if !self.exclude.iter().any(|pattern| pattern.covers(path)) {
            self.selection.entries.push(Entry { path: path.clone(), kind, stat });
        }
    }

    fn base(&self, path: &RelPath) -> Result<Option<Base>, WalkError> {
        let leads = self.tree.leads_to_folder(path)?;
        let plain = matches!(self.tree.plain_status(path), Ok((Kind::Folder, _)));
        if let Some(account) = self.tree.account() {
            // Where a link stands, what is seen is not told by the names on the way alone.
            match self.tree.status(path) {
                Ok((Kind::Folder, _)) if !plain => account.give_up(),
                Ok((Kind::Link, _)) => account.give_up(),
                _ => {}
            }
        }
        if !leads {
            return Ok(None);
        }
        Ok(Some(Base { path: path.clone(), plain }))
    }

    /// Drops the folders that the walk from another one visits anyway.
    fn without_nested(&self, mut bases: Vec<Base>) -> Vec<Base> {
        bases.sort_by(|a, b| a.path.cmp(&b.path));
        bases.dedup_by(|a, b| a.path == b.path);
        let visits = |outer: &Base, inner: &Base| {
            let rest = inner.path.below(&outer.path);
            outer.plain
                && inner.plain
                && rest.is_some_and(|rest| !rest.is_root() && !rest.as_bytes().split(|byte| *byte == b'/').any(reserved))
        };
        let kept: Vec<bool> = bases.iter().map(|inner| !bases.iter().any(|outer| visits(outer, inner))).collect();
        bases.into_iter().zip(kept).filter_map(|(base, kept)| kept.then_some(base)).collect()
    }

    fn walk(&mut self, base: &Base) {
        let found = listing::below(self.tree, &base.path, &|path, folder| self.judge(path, folder));
        for entry in found {
            match entry {
                Ok(entry) => self.selection.entries.push(entry),
                Err(fault) => self.faults.push(fault),
            }
        }
    }

    fn finish(self) -> Result<Selection, Vec<WalkError>> {
        let Self { mut selection, mut faults, .. } = self;
        if !faults.is_empty() {
            faults.sort_by_cached_key(ToString::to_string);
            faults.dedup_by_key(|fault| fault.to_string());
            return Err(faults);
        }
        selection.entries.sort_by(|a, b| a.path.cmp(&b.path));
        selection.entries.dedup_by(|a, b| a.path == b.path);
        if !selection.entries.iter().any(|entry| entry.kind == Kind::Folder) {
            return Ok(selection);
        }
        let mut full = HashSet::new();
        for entry in &selection.entries {
            let mut above = entry.path.parent();
            while let Some(folder) = above {
                above = folder.parent();
                if !full.insert(folder) {
                    break;
                }
            }
        }
        selection.entries.retain(|entry| entry.kind != Kind::Folder || !full.contains(&entry.path));
        Ok(selection)
    }
}

impl Walk<'_> {
    fn judge(&self, path: &RelPath, folder: bool) -> Verdict {
        let selected =
            || self.include.iter().any(|pattern| pattern.selects(path)) && !self.exclude.iter().any(|pattern| pattern.covers(path));
        if folder {
            Verdict {
                take: self.folders == Folders::Empty && selected(),
                enter: self.include.iter().any(|pattern| pattern.may_select_below(path))
                    && !self.exclude.iter().any(|pattern| pattern.covers_all_below(path)),
            }
        } else {
            Verdict { take: selected(), enter: false }
        }
    }
}

/// Whether a walk for `pattern` could give `path`: the pattern selects it, and no folder that walks pass over lies between.
#[must_use]
pub fn reaches(pattern: &Pattern, path: &RelPath) -> bool {
    let found;
    let base = match pattern.literal() {
        Some(literal) => literal,
        None => {
            found = pattern.base();
            &found
        }
    };
    // Thousands of outputs are asked about one by one.
    let below = || path.as_bytes()[base.as_bytes().len()..].split(|byte| *byte == b'/');
    path.is_within(base) && !below().any(reserved) && pattern.selects(path)
}

/// Names that a walk passes over: what git and kiln keep for themselves.
pub(super) fn reserved(name: &[u8]) -> bool {
    name == b".git" || name == b".kiln" || name.starts_with(TEMPORARY.as_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests set up the machine themselves")]

    use super::*;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;

    struct Project {
        folder: tempfile::TempDir,
    }

    impl Project {
        fn new(files: &[&str]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            for file in files {
                let path = folder.path().join(file);
                if file.ends_with('/') {
                    std::fs::create_dir_all(path).unwrap();
                } else {
                    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                    std::fs::write(path, file).unwrap();
                }
            }
            Self { folder }
        }
        fn tree(&self) -> Tree {
            Tree::open(&crate::base::path::AbsPath::new(self.folder.path()).unwrap()).unwrap()
        }
        fn path(&self, name: &str) -> std::path::PathBuf {
            self.folder.path().join(name)
        }
        fn select(&self, include: &[&str], exclude: &[&str], folders: Folders) -> Result<Selection, Vec<WalkError>> {
            let parse = |texts: &[&str]| texts.iter().map(|text| Pattern::new(text).unwrap()).collect::<Vec<_>>();
            let (include, exclude) = (parse(include), parse(exclude));
            select(&self.tree(), &include.iter().collect::<Vec<_>>(), &exclude.iter().collect::<Vec<_>>(), folders)
        }
        fn names(&self, include: &[&str], exclude: &[&str]) -> Vec<String> {
            self.select(include, exclude, Folders::Named).unwrap().entries.iter().map(|entry| entry.path.to_string()).collect()
        }
    }

    #[test]
    fn patterns_select_files_in_the_order_of_their_bytes() {
        let project =
            Project::new(&["a-b", "a/x.rs", "a/y.txt", "a/deep/z.rs", "b.rs", "empty/", "a/.git/z.rs", ".git/z.rs", ".kiln/z.rs"]);
        for (include, exclude, expected) in [
            (&["**"][..], &[][..], &["a-b", "a/deep/z.rs", "a/x.rs", "a/y.txt", "b.rs"][..]),
            (&["**/*.rs"], &["a/deep"], &["a/x.rs", "b.rs"]),
            (&["a"], &["**/*.txt"], &["a/deep/z.rs", "a/x.rs"]),
            (&["a/x.rs", "a/*.rs", "a/deep/**", "a"], &[], &["a/deep/z.rs", "a/x.rs", "a/y.txt"]),
            (&["empty"], &[], &["empty"]),
            (&["empty/"], &["empty"], &[]),
            (&["none/**/*.rs", "b.rs/**"], &[], &[]),
            (&["a/.git/*", "**/*.txt"], &[], &["a/.git/z.rs", "a/y.txt"]),
            (&[".git/z.rs"], &[], &[".git/z.rs"]),
        ] {
            assert_eq!(project.names(include, exclude), expected, "{include:?} without {exclude:?}");
        }
    }

    #[test]
    fn a_name_without_wildcards_that_is_not_there_is_told_by_its_place() {
        let project = Project::new(&["a/x", "file"]);
        let selection = project.select(&["a/x", "a/none", "*.none", "file/below", "no/folder"], &[], Folders::Named).unwrap();
        assert_eq!(selection.missing, [1, 3, 4]);
        let faults = project.select(&["file/"], &[], Folders::Named).unwrap_err();
        assert_eq!(faults[0].to_string(), "`file` is written with a slash at its end, but it is not a folder");
    }

    #[test]
    fn empty_folders_are_entries_only_when_asked_for() {
        let project = Project::new(&["out/a/", "out/b/c/", "out/d/x", "out/e/.git/"]);
        let kinds = |folders| {
            let selection = project.select(&["out"], &[], folders).unwrap();
            selection.entries.iter().map(|entry| (entry.path.to_string(), entry.kind == Kind::Folder)).collect::<Vec<_>>()
        };
        let entry = |path: &str, folder| (path.to_owned(), folder);
        assert_eq!(kinds(Folders::Named), [entry("out/d/x", false)]);
        assert_eq!(kinds(Folders::Empty), [entry("out/a", true), entry("out/b/c", true), entry("out/d/x", false), entry("out/e", true)]);
    }

    #[test]
    fn links_are_entries_and_are_not_followed() {
        let project = Project::new(&["real/x"]);
        symlink("real", project.path("folder")).unwrap();
        symlink("loop", project.path("loop")).unwrap();
        symlink("/etc", project.path("etc")).unwrap();
        symlink("none", project.path("dangling")).unwrap();
        assert_eq!(project.names(&["**"], &[]), ["dangling", "etc", "folder", "loop", "real/x"]);
        assert_eq!(project.names(&["folder"], &[]), ["folder"]);
        assert_eq!(project.names(&["folder/*", "folder/x"], &[]), ["folder/x"]);
        for text in ["etc/passwd", "etc/*.conf", "loop/x"] {
            let faults = project.select(&[text], &[], Folders::Named).unwrap_err();
            assert!(faults[0].to_string().contains("on the way"), "{faults:?}");
        }
    }

    #[test]
    fn what_is_no_file_is_a_fault_only_where_it_is_selected() {
        let project = Project::new(&["a/x", "b/x"]);
        let fifo = project.path("a/pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(project.path("a/socket")).unwrap();
        let faults = project.select(&["**"], &[], Folders::Named).unwrap_err();
        let messages: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(messages.len(), 2);
        assert!(messages[0].starts_with("`a/pipe` is a FIFO") && messages[1].starts_with("`a/socket` is a socket"), "{messages:?}");
        assert_eq!(project.names(&["**/x"], &[]), ["a/x", "b/x"]);
        assert_eq!(project.names(&["**"], &["a/pipe", "a/socket"]), ["a/x", "b/x"]);
    }

    #[test]
    fn hostile_names_come_back_byte_for_byte() {
        let project = Project::new(&["d/"]);
        let names: [&[u8]; 5] = [b"-rf", b"a\nb", b"\xff\xfe", b" ", &[b'n'; 255]];
        for name in names {
            std::fs::write(project.path("d").join(std::ffi::OsStr::from_bytes(name)), "").unwrap();
        }
        let found = project.select(&["d/**"], &[], Folders::Named).unwrap();
        let mut expected: Vec<RelPath> = names.iter().map(|name| RelPath::new("d").unwrap().join(name).unwrap()).collect();
        expected.sort();
        assert_eq!(found.entries.iter().map(|entry| entry.path.clone()).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_folder_too_deep_to_be_listed_is_named_and_not_left_out() {
        let project = Project::new(&["d/x"]);
        let mut folder = rustix::fs::open(project.folder.path(), rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
        let name = [b'n'; 250];
        for _ in 0..20 {
            rustix::fs::mkdirat(&folder, &name[..], rustix::fs::Mode::RWXU).unwrap();
            folder = rustix::fs::openat(&folder, &name[..], rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
        }
        let faults = project.select(&["**"], &[], Folders::Named).unwrap_err();
        assert!(faults[0].to_string().contains("nnnn"), "{faults:?}");
        assert_eq!(project.names(&["d/**"], &[]), ["d/x"]);
    }

    /// So many folders and names that threads share them.
    #[test]
    fn what_many_threads_list_is_whole_and_in_order() {
        let mut files: Vec<String> = (0..40).flat_map(|a| (0..5).map(move |b| format!("d{a}/e{b}/x.rs"))).collect();
        files.extend((0..3_000).map(|n| format!("full/{n}.rs")));
        let project = Project::new(&files.iter().map(String::as_str).collect::<Vec<_>>());
        files.sort();
        assert_eq!(project.names(&["**"], &[]), files);
        assert_eq!(project.names(&["**/*.rs"], &["full", "d*/e4"]).len(), 160);
    }
}
