//! How long steps should take, also those that never ran here: the schedule starts the longest way first.
//! In: the names of steps, and what is on record. Out: milliseconds for each. Never: a guess for a step that is on record.

use std::collections::BTreeMap;

use crate::base::id::{StepKind, StepName};

/// The time to expect of each step, in order. A step that is not on record counts as its sisters do (the same kind of step of the
/// same target, for another platform or cell), else as steps of its kind do, else as all do; each time the median.
#[must_use]
pub fn durations(steps: &[(&StepName, Option<u64>)]) -> Vec<u64> {
    let mut all = Vec::new();
    let mut of_kind: BTreeMap<StepKind, Vec<u64>> = BTreeMap::new();
    let mut of_target: BTreeMap<(&str, StepKind), Vec<u64>> = BTreeMap::new();
    for (name, took) in steps {
        if let Some(took) = took {
            all.push(*took);
            of_kind.entry(name.kind).or_default().push(*took);
            of_target.entry((name.target.as_str(), name.kind)).or_default().push(*took);
        }
    }
    let all = median(&mut all).unwrap_or(UNKNOWN_MS);
    let of_kind: BTreeMap<_, _> = of_kind.into_iter().filter_map(|(kind, mut times)| Some((kind, median(&mut times)?))).collect();
    let of_target: BTreeMap<_, _> = of_target.into_iter().filter_map(|(key, mut times)| Some((key, median(&mut times)?))).collect();
    let guess = |name: &StepName| {
        let sister = of_target.get(&(name.target.as_str(), name.kind));
        sister.or_else(|| of_kind.get(&name.kind)).copied().unwrap_or(all)
    };
    let expected = |(name, took): &(&StepName, Option<u64>)| match took {
        Some(took) => *took,
        // A group does nothing itself.
        None if name.kind == StepKind::Group => 0,
        None => guess(name),
    };
    steps.iter().map(expected).collect()
}

/// What a step counts when nothing at all is on record: only that all count the same matters then.
const UNKNOWN_MS: u64 = 1_000;

fn median(times: &mut [u64]) -> Option<u64> {
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(target: &str, kind: StepKind) -> StepName {
        StepName::new(target.parse().unwrap(), kind)
    }

    #[test]
    fn a_step_without_a_record_counts_like_its_sisters_then_its_kind_then_all() {
        let (compile, lint, web, group) =
            (step("compile", StepKind::Run), step("lint", StepKind::Run), step("web", StepKind::Scan), step("all", StepKind::Group));
        let asked = [
            (&compile, Some(90)),
            (&compile, Some(70)),
            (&compile, Some(80)),
            (&compile, None),
            (&lint, None),
            (&web, None),
            (&group, None),
        ];
        assert_eq!(durations(&asked), [90, 70, 80, 80, 80, 80, 0]);
        let asked = [(&compile, Some(90)), (&web, Some(4)), (&lint, None)];
        assert_eq!(durations(&asked), [90, 4, 90]);
    }

    #[test]
    fn where_nothing_is_on_record_all_steps_count_the_same_and_groups_nothing() {
        let (a, b, group) = (step("a", StepKind::Run), step("b", StepKind::Scan), step("all", StepKind::Group));
        assert_eq!(durations(&[(&a, None), (&b, None), (&group, None)]), [UNKNOWN_MS, UNKNOWN_MS, 0]);
    }
}
