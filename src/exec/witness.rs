//! Witnesses: whether the files that a step takes in stayed as they were while it ran.
//! In: what the step takes in. Out: the files that somebody wrote to meanwhile, also when their content is the old one again:
//! nobody knows which content the step saw. Never: reads a file.
//!
//! A change of mode or of the number of links (`chmod +x gradlew`, `cp -al`) moves only the time of change. It is no reason to
//! doubt: such a file is read again for the key, and its content is what it was.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::base::id::StepId;
use crate::base::path::RelPath;
use crate::base::pattern::Pattern;
use crate::graph::action::ActionKind;
use crate::graph::ingredients::Ingredients;
use crate::store::result::{OutputEntry, OutputFile};
use crate::sys::stat::Stat;

use super::gather::Ground;

/// Files that are named in one sentence.
const NAMED: usize = 3;
/// Files that one thread looks at before another one is worth it.
const MANY: usize = 500;

/// What the kernel said of a step's files before it ran.
#[derive(Debug, Default)]
pub struct Witness(Vec<(RelPath, Stat)>);

impl Witness {
    /// Takes down what the kernel said of each source when its content was asked for, and looks at what other steps made, right before
    /// the step begins.
    #[must_use]
    pub fn call(ground: Ground<'_>, taken: &Ingredients) -> Self {
        let files: Vec<&OutputFile> = taken.files.iter().flatten().filter(|file| matches!(file.entry, OutputEntry::File { .. })).collect();
        let seen = |file: &&OutputFile| Some((file.path.clone(), ground.seen(&file.path).or_else(|| ground.stands(&file.path))?));
        // A few files are looked at before other threads would have heard of them.
        Self(if files.len() < MANY { files.iter().filter_map(seen).collect() } else { files.par_iter().filter_map(seen).collect() })
    }

    /// Compares with what stands there now, as `now` says.
    #[must_use]
    pub fn again(&self, now: impl Fn(&RelPath) -> Option<Stat> + Sync) -> Second {
        let look = |(path, before): &(RelPath, Stat)| match now(path) {
            Some(now) if now == *before => None,
            Some(now) if is_written_as_before(before, &now) => Some((path.clone(), false)),
            _ => Some((path.clone(), true)),
        };
        let moved: Vec<(RelPath, bool)> =
            if self.0.len() < MANY { self.0.iter().filter_map(look).collect() } else { self.0.par_iter().filter_map(look).collect() };
        let still = moved.is_empty();
        Second { changed: moved.into_iter().filter_map(|(path, written)| written.then_some(path)).collect(), still }
    }

    /// Whether what was seen before the step ran can prove, when all of it stands still, that the step would be found with the same
    /// ingredients again. That is so when it names its files one by one, none of them is a link, and the content of each source is known to
    /// belong to what the kernel said of it.
    #[must_use]
    pub fn vouches(&self, ground: Ground<'_>, id: StepId, taken: &Ingredients) -> bool {
        let ActionKind::Run(cell) = &ground.graph.action(id).kind else { return false };
        let (Some(inputs), [files]) = (&cell.inputs, taken.files.as_slice()) else { return false };
        let named = |pattern: &Pattern| pattern.literal().is_some_and(|path| files.binary_search_by(|file| file.path.cmp(path)).is_ok());
        if !cell.tools.is_empty() || self.0.len() != files.len() || !inputs.include.iter().all(|(pattern, _)| named(pattern)) {
            return false;
        }
        let stats = &ground.machine.stats;
        let known = |(file, (path, stat)): (&OutputFile, &(RelPath, Stat))| match file.entry {
            // What a need made is taken as it was recorded, whatever stands there.
            OutputEntry::File { digest, executable, .. } => {
                let proven = || executable == (stat.mode & 0o100 != 0) && stats.proves(ground.tree, path, stat, digest);
                file.path == *path && (ground.graph.is_output(path) || proven())
            }
            OutputEntry::Link { .. } | OutputEntry::Folder => false,
        };
        files.iter().zip(&self.0).all(known)
    }
}

/// What a second look found.
#[derive(Debug)]
pub struct Second {
    /// The files that were written to since the first one.
    pub changed: Vec<RelPath>,
    /// Whether the kernel says of each file exactly what it said then.
    pub still: bool,
}

fn is_written_as_before(before: &Stat, now: &Stat) -> bool {
    (before.device, before.inode, before.size, before.modified) == (now.device, now.inode, now.size, now.modified)
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
