//! Witnesses: whether the files that a step takes in stayed as they were while it ran.
//! In: what the step takes in. Out: the files that somebody wrote to meanwhile, also when their content is the old one again:
//! nobody knows which content the step saw. Never: reads a file.
//!
//! A change of mode or of the number of links (`chmod +x gradlew`, `cp -al`) moves only the time of change. It is no reason to
//! doubt: such a file is read again for the key, and its content is what it was.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::base::path::{AbsPath, RelPath};
use crate::graph::ingredients::Ingredients;
use crate::store::result::{OutputEntry, OutputFile};
use crate::sys::stat::Stat;
use crate::sys::tree::Tree;

/// Files that are named in one sentence.
const NAMED: usize = 3;
/// Files that one thread looks at before another one is worth it.
const MANY: usize = 500;

/// What the kernel said of a step's files before it ran.
#[derive(Debug, Default)]
pub struct Witness(Vec<(RelPath, Stat)>);

impl Witness {
    /// Looks at the files, right before the step begins.
    #[must_use]
    pub fn call(root: &AbsPath, taken: &Ingredients) -> Self {
        let Ok(tree) = Tree::for_a_glance(root) else { return Self::default() };
        let files: Vec<&OutputFile> = taken.files.iter().flatten().filter(|file| matches!(file.entry, OutputEntry::File { .. })).collect();
        let look = |file: &OutputFile| Some((file.path.clone(), tree.status(&file.path).ok()?.1));
        Self(files.into_par_iter().with_min_len(MANY).filter_map(look).collect())
    }

    /// The files that were written to since.
    #[must_use]
    pub fn changed(&self, root: &AbsPath) -> Vec<RelPath> {
        let Ok(tree) = Tree::for_a_glance(root) else { return Vec::new() };
        let same = |before: &Stat, now: &Stat| {
            (before.device, before.inode, before.size, before.modified) == (now.device, now.inode, now.size, now.modified)
        };
        let other = |(path, before): &&(RelPath, Stat)| !tree.status(path).is_ok_and(|(_, now)| same(before, &now));
        self.0.par_iter().with_min_len(MANY).filter(other).map(|(path, _)| path.clone()).collect()
    }
}

/// The files of two looks at the same step that are not the same in both.
#[must_use]
pub fn differences(before: &Ingredients, after: &Ingredients) -> Vec<RelPath> {
    let files = |taken: &Ingredients| taken.files.iter().flatten().map(|file| (file.path.clone(), file.entry.clone())).collect();
    let (before, after): (BTreeMap<RelPath, OutputEntry>, BTreeMap<RelPath, OutputEntry>) = (files(before), files(after));
    let gone = before.iter().filter(|(path, entry)| after.get(*path) != Some(*entry)).map(|(path, _)| path);
    let new = after.keys().filter(|path| !before.contains_key(*path));
    let mut paths: Vec<RelPath> = gone.chain(new).cloned().collect();
    paths.sort();
    paths
}

/// The sentence about a step whose files changed.
#[must_use]
pub fn sentence(changed: &[RelPath]) -> String {
    let mut names: Vec<String> = changed.iter().take(NAMED).map(|path| format!("`{path}`")).collect();
    if changed.len() > NAMED {
        names.push(format!("{} more", changed.len() - NAMED));
    }
    let what = match names.split_last() {
        None => "an input".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    };
    format!("{what} changed while it ran, so its result is not kept and the next run makes it again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_names_a_few_files() {
        let paths: Vec<RelPath> = ["a", "b", "c", "d", "e"].iter().map(|name| RelPath::new(name).unwrap()).collect();
        for (changed, expected) in
            [(&paths[..0], "an input changed"), (&paths[..1], "`a` changed"), (&paths[..], "`a`, `b`, `c` and 2 more changed")]
        {
            assert!(sentence(changed).starts_with(expected), "{}", sentence(changed));
        }
    }
}
