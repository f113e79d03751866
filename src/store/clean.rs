//! Cleaning: takes away outputs that steps made, and nothing else.
//! In: lists of recorded outputs, and the patterns that declare them now. Out: what went, and what was kept and why.
//! Never: a file that no step recorded, a file whose content is not what was recorded (unless forced), a change through a link.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::path::{AbsPath, RelPath};
use crate::base::pattern::Pattern;
use crate::sys::file::{self, FileError};
use crate::sys::stat::{Kind, Stat};
use crate::sys::tree::Tree;
use crate::sys::walk;

use super::result::{OutputEntry, OutputFile};
use super::stat_cache::StatCache;

/// What a cleaning did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Files and links that went, sorted.
    pub removed: Vec<RelPath>,
    /// Their bytes.
    pub bytes: u64,
    /// Folders that this left empty, and that went, too; sorted.
    pub folders: Vec<RelPath>,
    /// What was recorded but is another now, sorted: it stays.
    pub kept: Vec<RelPath>,
}

/// What may be removed.
#[derive(Debug, Default)]
pub struct Outputs {
    recorded: BTreeMap<RelPath, Vec<OutputEntry>>,
}

impl Outputs {
    /// Adds what a result recorded, as far as its step still declares it.
    pub fn add(&mut self, recorded: &[OutputFile], declared: &[Pattern]) {
        for output in recorded {
            // A path that was an output once may be a source by now.
            if !output.path.is_root() && declared.iter().any(|pattern| walk::reaches(pattern, &output.path)) {
                self.recorded.entry(output.path.clone()).or_default().push(output.entry.clone());
            }
        }
    }
}

/// What a cleaning may do beside removing what is as it was recorded.
#[derive(Debug, Clone, Copy)]
pub struct Leave<'a> {
    /// Whether also what was changed since goes.
    pub force: bool,
    /// Whether it is only told what would go.
    pub dry: bool,
    /// Whether only folders that these patterns select go when they are left empty. Another step that writes beside is in the middle of its
    /// work when one cleans up for the next: its folder must not go under it.
    pub within: Option<&'a [Pattern]>,
}

/// Removes what stands below `root` as one of the recorded results left it.
///
/// # Errors
/// [`FileError`]: a file that cannot be looked at, read or removed. What is gone by then was allowed to go.
pub fn clean(cache: &StatCache, root: &AbsPath, outputs: &Outputs, leave: Leave<'_>) -> Result<Cleaned, FileError> {
    let Leave { force, dry, within } = leave;
    let tree = Tree::open(root)?;
    let may_go = |folder: &RelPath| within.is_none_or(|patterns| patterns.iter().any(|pattern| pattern.selects(folder)));
    let mut cleaned = Cleaned::default();
    let mut emptied: BTreeSet<RelPath> = BTreeSet::new();
    for (path, entries) in &outputs.recorded {
        let mut above = path.parent();
        match look(&tree, cache, path, entries)? {
            Look::Nothing => continue,
            Look::Folder => above = Some(path.clone()),
            Look::Changed(_) if !force => {
                cleaned.kept.push(path.clone());
                continue;
            }
            Look::Same(stat) | Look::Changed(stat) => {
                if !dry {
                    tree.remove(path)?;
                }
                cleaned.bytes += stat.size;
                cleaned.removed.push(path.clone());
            }
        }
        while let Some(folder) = above.filter(|folder| !folder.is_root() && !emptied.contains(folder)) {
            above = folder.parent();
            if may_go(&folder) {
                emptied.insert(folder);
            }
        }
    }
    // The innermost first: a name sorts behind the folder that it lies in.
    for folder in emptied.iter().rev() {
        if !dry && tree.remove_empty_folder(folder)? {
            cleaned.folders.push(folder.clone());
        }
    }
    cleaned.folders.sort();
    Ok(cleaned)
}

enum Look {
    /// Nothing is there, or only behind a link: not ours.
    Nothing,
    /// What was recorded.
    Same(Stat),
    /// Something else, which can be removed when that is wished.
    Changed(Stat),
    /// A folder, which goes when it is empty.
    Folder,
}

fn look(tree: &Tree, cache: &StatCache, path: &RelPath, entries: &[OutputEntry]) -> Result<Look, FileError> {
    if let Some(parent) = path.parent()
        && !leads_there(tree, &parent)?
    {
        return Ok(Look::Nothing);
    }
    let Some((kind, stat)) = file::optional(tree.plain_status(path))? else { return Ok(Look::Nothing) };
    let same = match kind {
        Kind::Folder => return Ok(Look::Folder),
        Kind::Link => {
            let now = tree.read_link(path)?;
            entries.iter().any(|entry| matches!(entry, OutputEntry::Link { target } if *target == now))
        }
        Kind::File { .. } => {
            let sizes = || entries.iter().any(|entry| matches!(entry, OutputEntry::File { size, .. } if *size == stat.size));
            // A file that is written to right now is not what was recorded.
            let now = if sizes() { cache.digests(tree, &[(path, &stat)]).ok().and_then(|digests| digests.first().copied()) } else { None };
            now.is_some_and(|now| entries.iter().any(|entry| matches!(entry, OutputEntry::File { digest, .. } if *digest == now)))
        }
        Kind::Special(_) => false,
    };
    Ok(if same { Look::Same(stat) } else { Look::Changed(stat) })
}

/// Whether `folder` and all above it are folders, and none of them a link.
fn leads_there(tree: &Tree, folder: &RelPath) -> Result<bool, FileError> {
    if folder.is_root() {
        return Ok(true);
    }
    if let Some(above) = folder.parent()
        && !leads_there(tree, &above)?
    {
        return Ok(false);
    }
    Ok(matches!(file::optional(tree.plain_status(folder))?, Some((Kind::Folder, _))))
}
