//! Files that tasks without `inputs` write themselves: seen to change in one run after the other.
//! In: what changed while runs went on that nobody else had caused. Out: the files whose changes start no run any more. Never: a file
//! that a step with `inputs` reads.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::id::StepId;
use crate::base::path::RelPath;
use crate::exec::sight::Change;

/// Runs in a row after which a file that every one of them changed counts as written by what runs.
const STRIKES: u32 = 2;

#[derive(Debug, Default)]
pub(super) struct Own {
    strikes: BTreeMap<RelPath, u32>,
    ignored: BTreeSet<RelPath>,
}

impl Own {
    /// Takes in what changed while a run went on that these changes had caused; gives what is ignored from now on.
    pub(super) fn take(&mut self, loose: &BTreeSet<StepId>, changes: &[Change]) -> Vec<RelPath> {
        let own = |change: &&Change| change.steps.is_subset(loose);
        let changed: BTreeSet<&RelPath> = changes.iter().filter(own).map(|change| &change.path).collect();
        self.strikes.retain(|path, _| changed.contains(path));
        let mut fresh = Vec::new();
        for path in changed {
            let strikes = self.strikes.entry(path.clone()).or_default();
            *strikes += 1;
            if *strikes > STRIKES && self.ignored.insert(path.clone()) {
                fresh.push(path.clone());
            }
        }
        fresh
    }

    /// Whether a change starts no run.
    pub(super) fn ignores(&self, loose: &BTreeSet<StepId>, change: &Change) -> bool {
        change.steps.is_subset(loose) && self.ignored.contains(&change.path)
    }

    /// Somebody else caused the next run.
    pub(super) fn forget(&mut self) {
        self.strikes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::sight::Became;

    const LOOSE: StepId = StepId(1);
    const STRICT: StepId = StepId(2);

    fn change(path: &str, steps: &[StepId]) -> Change {
        Change { path: RelPath::new(path).unwrap(), became: Became::Other, steps: steps.iter().copied().collect() }
    }

    #[test]
    fn only_what_three_runs_in_a_row_changed_is_ignored() {
        let loose = BTreeSet::from([LOOSE]);
        let mut own = Own::default();
        let report = change("report", &[LOOSE]);
        assert!(own.take(&loose, &[report.clone(), change("a", &[LOOSE])]).is_empty());
        assert!(own.take(&loose, std::slice::from_ref(&report)).is_empty());
        assert!(!own.ignores(&loose, &report));
        let third = own.take(&loose, &[report.clone(), change("a", &[LOOSE])]);
        assert_eq!(third, std::slice::from_ref(&report.path), "`a` was left alone by the second run");
        assert!(own.ignores(&loose, &report) && !own.ignores(&loose, &change("a", &[LOOSE])));
        assert!(own.take(&loose, std::slice::from_ref(&report)).is_empty(), "it is told once");
    }

    #[test]
    fn an_edit_between_two_runs_begins_the_count_anew() {
        let loose = BTreeSet::from([LOOSE]);
        let mut own = Own::default();
        let report = [change("report", &[LOOSE])];
        own.take(&loose, &report);
        own.take(&loose, &report);
        own.forget();
        assert!(own.take(&loose, &report).is_empty());
    }

    #[test]
    fn a_file_that_a_step_with_inputs_reads_is_never_ignored() {
        let loose = BTreeSet::from([LOOSE]);
        let mut own = Own::default();
        let shared = change("shared", &[LOOSE, STRICT]);
        for _ in 0..5 {
            assert!(own.take(&loose, std::slice::from_ref(&shared)).is_empty());
        }
        assert!(!own.ignores(&loose, &shared));
    }
}
