//! What killed kilns left beside outputs: files under temporary names, on their way to a place that they never reached.
//! In: the outputs that are restored or captured. Out: nothing but their folders, without the leftovers. Never: a file of a
//! kiln that runs.

use std::collections::BTreeSet;

use crate::base::path::RelPath;
use crate::sys::stat::Kind;
use crate::sys::tree::{Tree, is_left_behind};
use crate::sys::{clock, file};

use super::local::Store;

/// What looks like a running kiln's is old enough after an hour: its process id was given to another program.
const LONG_MS: i64 = 3_600_000;

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
    for folder in folders {
        // A folder that is not there, or is a link, has nothing of ours.
        if !folder.is_root() && !matches!(tree.plain_status(&folder), Ok((Kind::Folder, _))) {
            continue;
        }
        for name in file::names(tree.root().at(&folder)).unwrap_or_default() {
            if let Some(dead) = is_left_behind(&name)
                && let Ok(path) = folder.join(&name)
                && let Ok((Kind::File { .. } | Kind::Link, stat)) = tree.plain_status(&path)
                && (dead || stat.changed < i128::from(clock::now().0 - LONG_MS) * 1_000_000)
            {
                let _ = tree.remove(&path);
            }
        }
    }
}
