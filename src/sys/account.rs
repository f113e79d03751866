//! An account of what a command saw of a project, so that a later command can see whether anything is different.
//! In: paths with what the kernel said of them. Out: each path once. Never: an account that is known to lack something.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

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
        if !self.lacks.load(Ordering::Relaxed) {
            self.sights().push((path.clone(), stat));
        }
    }

    /// Says that the account cannot be complete, or that nobody will want it.
    pub fn give_up(&self) {
        if !self.lacks.swap(true, Ordering::Relaxed) {
            *self.sights() = Vec::new();
        }
    }

    /// Each path once, sorted. `None` when something is not told, or changed while it was looked at.
    #[must_use]
    pub fn complete(&self) -> Option<Vec<Sight>> {
        let mut all = std::mem::take(&mut *self.sights());
        if self.lacks.load(Ordering::Relaxed) {
            return None;
        }
        all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let changed = all.windows(2).any(|pair| pair[0].0 == pair[1].0 && pair[0].1 != pair[1].1);
        all.dedup_by(|one, other| one.0 == other.0);
        (!changed).then_some(all)
    }

    fn sights(&self) -> MutexGuard<'_, Vec<Sight>> {
        self.sights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_complete_only_when_nothing_was_untold_and_nothing_was_seen_in_two_ways() {
        let path = |text: &str| RelPath::new(text).unwrap();
        let stat = |inode| Stat { device: 1, inode, size: 1, mode: 0o100_644, modified: 1, changed: 1 };
        let seen = |sights: &[(&str, Option<Stat>)]| {
            let account = Account::default();
            for (name, stat) in sights {
                account.saw(&path(name), *stat);
            }
            account
        };
        let one = seen(&[("b", Some(stat(1))), ("a", None), ("b", Some(stat(1)))]);
        assert_eq!(one.complete(), Some(vec![(path("a"), None), (path("b"), Some(stat(1)))]));
        assert_eq!(seen(&[("b", None), ("a", None), ("b", Some(stat(1)))]).complete(), None);
        let given_up = seen(&[("a", None)]);
        given_up.give_up();
        given_up.saw(&path("b"), None);
        assert_eq!(given_up.complete(), None);
    }
}
