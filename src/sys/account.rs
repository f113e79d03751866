//! An account of what a command saw of a project, so that a later command can see whether anything is different.
//! In: paths with what the kernel said of them. Out: each path once. Never: an account that is known to lack something.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::base::path::RelPath;

use super::stat::Stat;

/// What the kernel said of one name; `None` when nothing was there.
pub type Sight = (RelPath, Option<Stat>);

/// All that was seen.
#[derive(Debug, Default)]
pub struct Account {
    sights: Mutex<Vec<Sight>>,
    /// Whether something was seen that cannot be told by a path and what the kernel says of it.
    lacks: AtomicBool,
}

impl Account {
    /// Writes down what stood at `path`.
    pub fn saw(&self, path: &RelPath, stat: Option<Stat>) {
        self.sights.lock().unwrap_or_else(PoisonError::into_inner).push((path.clone(), stat));
    }

    /// Says that the account cannot be complete.
    pub fn give_up(&self) {
        self.lacks.store(true, Ordering::Relaxed);
    }

    /// Each path once, sorted. `None` when something is not told, or changed while it was looked at.
    #[must_use]
    pub fn complete(&self) -> Option<Vec<Sight>> {
        if self.lacks.load(Ordering::Relaxed) {
            return None;
        }
        let mut all: BTreeMap<RelPath, Option<Stat>> = BTreeMap::new();
        for (path, stat) in self.sights.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if *all.entry(path.clone()).or_insert(*stat) != *stat {
                return None;
            }
        }
        Some(all.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_complete_only_when_nothing_was_untold_and_nothing_was_seen_in_two_ways() {
        let path = |text: &str| RelPath::new(text).unwrap();
        let stat = |inode| Stat { device: 1, inode, size: 1, mode: 0o100_644, modified: 1, changed: 1 };
        let account = Account::default();
        for (name, seen) in [("b", Some(stat(1))), ("a", None), ("b", Some(stat(1)))] {
            account.saw(&path(name), seen);
        }
        assert_eq!(account.complete(), Some(vec![(path("a"), None), (path("b"), Some(stat(1)))]));
        account.saw(&path("a"), Some(stat(2)));
        assert_eq!(account.complete(), None);
        let account = Account::default();
        account.give_up();
        assert_eq!(account.complete(), None);
    }
}
