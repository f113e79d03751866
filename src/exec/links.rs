//! What links among the inputs of a task lead to: whoever reads a link reads that.
//! In: the files that were found. Out: the files behind their links, as far as they lie in the project.
//! Never: a file outside the project, a folder that holds the link itself.

use std::collections::HashSet;

use crate::base::path::{AbsPath, RelPath};
use crate::base::pattern::Pattern;
use crate::store::result::{OutputEntry, OutputFile};
use crate::sys::stat::Kind;
use crate::sys::{file, walk};

use super::gather::{self, GatherError, Ground};
use super::past::Past;

/// Adds the files that links lead to, and whatever the links among those lead to. `own` says what the step itself makes.
///
/// # Errors
/// [`GatherError`] for a folder that cannot be listed and a file that cannot be read. A link that leads nowhere, in a circle or
/// out of the project is its own text alone.
pub fn follow(
    ground: Ground<'_>,
    found: &mut Vec<OutputFile>,
    exclude: &[&Pattern],
    own: &dyn Fn(&RelPath) -> bool,
) -> Result<(), GatherError> {
    let mut open = targets(ground, found);
    tell(ground, found);
    if open.is_empty() {
        return Ok(());
    }
    let mut known: HashSet<RelPath> = found.iter().map(|file| file.path.clone()).collect();
    let mut followed: HashSet<RelPath> = HashSet::new();
    while !open.is_empty() {
        open.retain(|path| followed.insert(path.clone()));
        let patterns: Vec<Pattern> = open.iter().map(Pattern::of).collect();
        let patterns: Vec<&Pattern> = patterns.iter().collect();
        let walked = walk::survey(ground.tree, &patterns, exclude, walk::Folders::Named)
            .map_err(|faults| GatherError::new(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))?;
        // Of a folder, what other tasks make is read by its own name; a link to one such file names it.
        let is_read = |path: &RelPath| !own(path) && (open.contains(path) || !ground.graph.is_output(path));
        let here = |entry: &walk::Entry| {
            let from_past = ground.past.is_some_and(|past| past.is_other(&entry.path));
            !matches!(entry.kind, Kind::Special(_)) && !from_past && is_read(&entry.path)
        };
        let fresh = walked.entries.into_iter().filter(|entry| here(entry) && known.insert(entry.path.clone())).collect();
        let mut fresh = gather::contents(ground.machine, ground.tree, fresh)?;
        let selected = |path: &RelPath| patterns.iter().any(|one| one.selects(path)) && !exclude.iter().any(|one| one.covers(path));
        let others = ground.past.into_iter().flat_map(Past::others).filter(|file| selected(&file.path) && is_read(&file.path));
        fresh.extend(others.filter(|file| known.insert(file.path.clone())));
        open = targets(ground, &fresh);
        tell(ground, &fresh);
        found.extend(fresh);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(())
}

fn is_link(file: &OutputFile) -> bool {
    matches!(file.entry, OutputEntry::Link { .. })
}

/// Gives the account up where what stands behind a link is not told by the names that are looked at.
fn tell(ground: Ground<'_>, files: &[OutputFile]) {
    if let Some(account) = ground.tree.account().filter(|_| !files.iter().all(|file| is_told(ground.tree.root(), file))) {
        account.give_up();
    }
}

/// Whether a link names a place of the project by its plain path, without another link on the way: then that place is looked at, too.
fn is_told(root: &AbsPath, file: &OutputFile) -> bool {
    let OutputEntry::Link { target } = &file.entry else { return true };
    let named = file.path.parent().and_then(|folder| folder.join(target).ok());
    named.is_some_and(|named| file::canonical(root.at(&named)).is_ok_and(|real| real == root.at(&named).as_path()))
}

fn targets(ground: Ground<'_>, files: &[OutputFile]) -> Vec<RelPath> {
    let root = ground.tree.root();
    let target = |link: &RelPath| {
        let real = file::canonical(root.at(link)).ok()?;
        let path = root.below(real)?;
        (!link.is_within(&path)).then_some(path)
    };
    let mut found: Vec<RelPath> = files.iter().filter(|file| is_link(file)).filter_map(|file| target(&file.path)).collect();
    found.sort();
    found.dedup();
    found
}
