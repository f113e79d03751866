//! Edges from data: who makes what another one reads.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::base::id::StepId;
use crate::base::path::RelPath;
use crate::base::pattern::Pattern;
use crate::plan::target::FileSet;

/// Every output of a plan, findable from the paths that someone reads.
#[derive(Debug, Default)]
pub struct Producers {
    by_base: BTreeMap<RelPath, Vec<(StepId, Pattern)>>,
}

impl Producers {
    /// Says that a step makes what the pattern names.
    pub fn add(&mut self, step: StepId, pattern: &Pattern) {
        // Nearly all of them are alone at their place, and a list that grows begins with room for four.
        self.by_base.entry(pattern.base()).or_insert_with(|| Vec::with_capacity(1)).push((step, pattern.clone()));
    }

    /// The steps that make something of this set, each once, in order.
    #[must_use]
    pub fn of(&self, set: &FileSet) -> Vec<StepId> {
        let mut found: Vec<StepId> = Vec::new();
        for (pattern, _) in &set.include {
            for (step, output) in self.near(&pattern.base()) {
                if output.meets(pattern) && !set.exclude.iter().any(|(exclusion, _)| hides(exclusion, output)) {
                    found.push(*step);
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Whether some output could lie where this pattern looks.
    #[must_use]
    pub fn meet(&self, pattern: &Pattern) -> bool {
        self.near(&pattern.base()).any(|(_, output)| output.meets(pattern))
    }

    /// Whether some output names this path.
    #[must_use]
    pub fn make(&self, path: &RelPath) -> bool {
        self.makers(path).next().is_some()
    }

    /// The steps whose outputs name this path; a step comes once for each output that does.
    pub fn makers(&self, path: &RelPath) -> impl Iterator<Item = StepId> {
        std::iter::successors(Some(path.clone()), RelPath::parent)
            .filter_map(|folder| self.by_base.get(&folder))
            .flatten()
            .filter(|(_, pattern)| pattern.selects(path))
            .map(|(step, _)| *step)
    }

    /// Outputs whose literal beginning is `base`, above it, or below it: all that could meet a pattern from there.
    fn near<'a>(&'a self, base: &'a RelPath) -> impl Iterator<Item = &'a (StepId, Pattern)> {
        let mut above = Vec::new();
        let mut at = base.parent();
        while let Some(folder) = at {
            above.extend(self.by_base.get(&folder).into_iter().flatten());
            at = folder.parent();
        }
        let below = self.by_base.range((Bound::Included(base.clone()), Bound::Unbounded)).take_while(move |(path, _)| {
            // Names that merely begin alike (`dist-old` beside `dist`) sort between; they are passed over, not the end.
            path.as_bytes().starts_with(base.as_bytes())
        });
        above.into_iter().chain(below.filter(move |(path, _)| path.is_within(base)).flat_map(|(_, outputs)| outputs))
    }
}

/// Whether an exclusion surely covers everything that an output can name.
fn hides(exclusion: &Pattern, output: &Pattern) -> bool {
    let base = output.base();
    match output.literal() {
        Some(path) if !output.is_folder() => exclusion.covers(path) || exclusion.covers_all_below(path),
        _ => !base.is_root() && exclusion.covers_all_below(&base),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::diagnostic::{Source, Span};
    use std::sync::Arc;

    fn set(include: &[&str], exclude: &[&str]) -> FileSet {
        let source = Arc::new(Source { name: "build.kdl".into(), text: String::new() });
        let read = |texts: &[&str]| texts.iter().map(|text| (Pattern::new(text).unwrap(), Span::new(&source, 0, 0))).collect();
        FileSet { include: read(include), exclude: read(exclude) }
    }

    #[test]
    fn a_reader_waits_for_exactly_the_makers_of_what_it_reads() {
        let mut producers = Producers::default();
        for (step, output) in [(0, "dist/app"), (1, "dist-old/app"), (2, "gen/"), (3, "out/*.o"), (4, "dist/sub/x")] {
            producers.add(StepId(step), &Pattern::new(output).unwrap());
        }
        for (include, exclude, expected) in [
            (&["dist/app"][..], &[][..], vec![0]),
            (&["dist"], &[], vec![0, 4]),
            (&["**/*.go"], &[], vec![2]),
            (&["**/*.go"], &["gen"], vec![]),
            (&["out/a.o"], &[], vec![3]),
            (&["gen/deep/file.c"], &[], vec![2]),
            (&["**"], &["dist/**"], vec![1, 2, 3]),
            (&["src"], &[], vec![]),
        ] {
            let found: Vec<u32> = producers.of(&set(include, exclude)).into_iter().map(|step| step.0).collect();
            assert_eq!(found, expected, "{include:?} without {exclude:?}");
        }
    }
}
