//! What killed kilns left beside outputs: files under temporary names, on their way to a place that they never reached.
//! In: the outputs that are restored or captured. Out: nothing but their folders, without the leftovers. Never: a file of a
//! kiln that runs.

use std::collections::{BTreeSet, HashSet};
use std::sync::PoisonError;

use crate::base::path::{AbsPath, RelPath};
use crate::sys::stat::Kind;
use crate::sys::tree::{self, Tree};
use crate::sys::{clock, file, lock};

use super::lease::Lease;
use super::local::Store;

/// What looks like a running kiln's is old enough after an hour: its process id was given to another program.
const LONG_MS: i64 = 3_600_000;

/// The kilns at this store when the first folder was cleared, by their leases, without this one.
#[derive(Debug)]
pub(super) struct Beside {
    /// All that there were, also of kilns that are gone.
    known: HashSet<Vec<u8>>,
    /// Whether one of them ran.
    any_ran: bool,
}

/// Removes leftovers from the folders of `outputs` and those above them: a restore stages where the nearest folder was. Each folder is
/// listed once by a store that is open: ten thousand steps may share one.
pub(super) fn sweep<'a>(store: &Store, tree: &Tree, outputs: impl IntoIterator<Item = &'a RelPath>) {
    let mut folders = BTreeSet::new();
    for output in outputs {
        let mut at = output.parent();
        while let Some(folder) = at.filter(|folder| !folders.contains(folder)) {
            at = folder.parent();
            folders.insert(folder);
        }
    }
    folders.retain(|folder| store.is_new(tree.root().at(folder)));
    if folders.is_empty() {
        return;
    }
    store.beside.get_or_init(|| {
        let others = store.other_leases();
        Beside { any_ran: others.iter().any(|(_, held)| *held), known: others.into_iter().map(|(name, _)| name).collect() }
    });
    for folder in folders {
        clear(tree, &folder);
    }
}

impl Store {
    /// Removes what killed kilns left half-written in the store. A lease says who may still be writing: with another one held, or where
    /// there are no locks, nothing is touched.
    pub(super) fn clear_scratch(&self) {
        // In this order: whoever made one of these names had a lease by then, or collects.
        let left: HashSet<Vec<u8>> = file::names(self.scratch()).unwrap_or_default().into_iter().collect();
        let collects = || lock::is_held(self.layout().collecting());
        let alone = || self.lease.get().is_some_and(Lease::is_held) && !collects() && self.other_leases().iter().all(|(_, held)| !held);
        if !left.is_empty() && alone() {
            file::remove_abandoned(self.scratch(), |name| left.contains(name));
        }
    }

    /// Clears the folders below `root` once more, where another kiln ran beside this one: it may have been killed after its leftovers
    /// were looked for. To be called when nothing is restored or captured any more.
    pub fn tidy(&self, root: &AbsPath) {
        let Some(beside) = self.beside.get() else { return };
        if !beside.any_ran && self.other_leases().iter().all(|(name, _)| beside.known.contains(name)) {
            return;
        }
        let folders: Vec<AbsPath> = self.cleared.lock().unwrap_or_else(PoisonError::into_inner).drain().collect();
        let Ok(tree) = Tree::open(root) else { return };
        // Those of a step behind walls lie elsewhere, and go with it.
        for folder in folders.iter().filter_map(|folder| root.below(folder)) {
            clear(&tree, &folder);
        }
    }
}

fn clear(tree: &Tree, folder: &RelPath) {
    // A folder that is not there, or is a link, has nothing of ours.
    if !folder.is_root() && !matches!(tree.plain_status(folder), Ok((Kind::Folder, _))) {
        return;
    }
    for name in file::names(tree.root().at(folder)).unwrap_or_default() {
        if let Some(is_left) = tree::is_left_behind(&name)
            && let Ok(path) = folder.join(&name)
            && let Ok((Kind::File { .. } | Kind::Link, stat)) = tree.plain_status(&path)
            && (is_left || stat.changed < i128::from(clock::now().0 - LONG_MS) * 1_000_000)
        {
            let _ = tree.remove(&path);
        }
    }
}
