//! Folders of a project, for those who watch them.
//! In: a folder. Out: what lies in it. Never: an error for what cannot be listed: nobody can read there either.

use std::os::unix::ffi::OsStrExt as _;

use crate::base::path::{AbsPath, RelPath};

use super::stat::{Kind, Stat};
use super::walk::{Entry, reserved};

/// The folders right below a folder of the project; links are none.
#[must_use]
pub fn below(root: &AbsPath, folder: &RelPath) -> Vec<RelPath> {
    let entries = walkdir::WalkDir::new(root.at(folder)).min_depth(1).max_depth(1).into_iter().filter_map(Result::ok);
    let folders = entries.filter(|entry| entry.file_type().is_dir() && !reserved(entry.file_name().as_bytes()));
    folders.filter_map(|entry| folder.join(entry.file_name().as_bytes()).ok()).collect()
}

/// Every file and link of the project that git is not told to ignore, whether it is a repository or not.
#[must_use]
pub fn unignored(root: &AbsPath) -> Vec<Entry> {
    let mut builder = ignore::WalkBuilder::new(root);
    builder.hidden(false).require_git(false).filter_entry(|entry| !reserved(entry.file_name().as_bytes()));
    let entry = |found: ignore::DirEntry| {
        let path = root.below(found.path())?;
        let metadata = found.metadata().ok().filter(|metadata| !metadata.is_dir())?;
        Some(Entry { path, kind: Kind::of(&metadata), stat: Stat::of(&metadata) })
    };
    builder.build().filter_map(Result::ok).filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests may touch the disk")]

    use super::*;

    #[test]
    fn what_git_ignores_and_what_is_nobodys_source_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [(".gitignore", "/target/\n"), (".git/HEAD", ""), ("target/x", ""), ("src/a", ""), (".hidden", "")] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let root = AbsPath::new(folder.path()).unwrap();
        let mut found: Vec<String> = unignored(&root).iter().map(|entry| entry.path.to_string()).collect();
        found.sort();
        assert_eq!(found, [".gitignore", ".hidden", "src/a"]);
        let mut folders: Vec<String> = below(&root, &RelPath::root()).iter().map(ToString::to_string).collect();
        folders.sort();
        assert_eq!(folders, ["src", "target"]);
    }
}
