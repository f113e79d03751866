//! What the steps of a run read from the project's own sources, as it stands at one moment; and what is different at another.
//! In: the graph and the steps. Out: files with their content's digest and the steps that read them. Never: what steps make.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use crate::base::id::StepId;
use crate::base::path::{AbsPath, RelPath};
use crate::base::pattern::Pattern;
use crate::graph::ActionGraph;
use crate::graph::action::ActionKind;
use crate::store::result::OutputEntry;
use crate::sys::stat::Kind;
use crate::sys::tree::Tree;
use crate::sys::{folders, walk};

use super::gather::{self, GatherError, Ground};

/// What is read, and by whom.
#[derive(Debug, Default)]
pub struct Sight {
    files: BTreeMap<RelPath, (OutputEntry, BTreeSet<StepId>)>,
}

/// A file that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where.
    pub path: RelPath,
    /// What became of it.
    pub became: Became,
    /// The steps that read it, in order.
    pub steps: BTreeSet<StepId>,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Became {
    /// It is there now.
    New,
    /// It is gone.
    Gone,
    /// Its content, its executable bit or its target is another.
    Other,
}

/// Tasks without `inputs`, which may read anything.
#[must_use]
pub fn loose(graph: &ActionGraph, steps: &[StepId]) -> BTreeSet<StepId> {
    let is_loose = |id: &StepId| matches!(&graph.action(*id).kind, ActionKind::Run(cell) if cell.inputs.is_none());
    steps.iter().copied().filter(is_loose).collect()
}

impl Sight {
    /// Looks at all that the steps read. `everything` are the files that a task without inputs may read.
    ///
    /// # Errors
    /// [`GatherError`]: a file that cannot be read, or is being written to.
    pub fn of(ground: Ground<'_>, steps: &[StepId], everything: &[walk::Entry]) -> Result<Self, GatherError> {
        let mut sight = Self::default();
        let found: Vec<_> = steps.par_iter().map(|id| Ok((*id, gather::sources(ground, *id)?))).collect::<Result<_, GatherError>>()?;
        for (id, taken) in found {
            for file in taken.files.into_iter().flatten() {
                sight.files.entry(file.path).or_insert_with(|| (file.entry, BTreeSet::new())).1.insert(id);
            }
        }
        let loose = loose(ground.graph, steps);
        if !loose.is_empty() {
            let unmade = everything.iter().filter(|entry| !ground.graph.is_output(&entry.path) && !matches!(entry.kind, Kind::Special(_)));
            for file in gather::contents(ground.machine, ground.tree, unmade.cloned().collect())? {
                sight.files.entry(file.path).or_insert_with(|| (file.entry, BTreeSet::new())).1.extend(&loose);
            }
        }
        Ok(sight)
    }

    /// How many files are read.
    #[must_use]
    pub fn count(&self) -> usize {
        self.files.len()
    }

    /// What is different in `later`, by path.
    #[must_use]
    pub fn changes(&self, later: &Self) -> Vec<Change> {
        let paths: BTreeSet<&RelPath> = self.files.keys().chain(later.files.keys()).collect();
        let change = |path: &RelPath| {
            let (became, steps) = match (self.files.get(path), later.files.get(path)) {
                (None, Some((_, steps))) => (Became::New, steps),
                (Some((_, steps)), None) => (Became::Gone, steps),
                (Some((before, _)), Some((now, steps))) if before != now => (Became::Other, steps),
                _ => return None,
            };
            Some(Change { path: path.clone(), became, steps: steps.clone() })
        };
        paths.into_iter().filter_map(change).collect()
    }
}

/// The steps that changes reach: those that read the files, and all that wait for these.
#[must_use]
pub fn reached(graph: &ActionGraph, changes: &[Change], steps: &[StepId]) -> BTreeSet<StepId> {
    let taking_part: BTreeSet<StepId> = steps.iter().copied().collect();
    let mut open: Vec<StepId> = changes.iter().flat_map(|change| change.steps.iter().copied()).collect();
    let mut found = BTreeSet::new();
    while let Some(id) = open.pop() {
        if found.insert(id) {
            open.extend(graph.waiting(id).into_iter().map(|(waiting, _)| waiting).filter(|waiting| taking_part.contains(waiting)));
        }
    }
    found
}

/// The folders in which a change can reach the steps: where their patterns begin, all below, and all above up to the root.
#[must_use]
pub fn places(graph: &ActionGraph, tree: &Tree, steps: &[StepId], everything: &[walk::Entry]) -> BTreeSet<AbsPath> {
    let mut found = BTreeSet::from([RelPath::root()]);
    let mut bases: BTreeSet<RelPath> = BTreeSet::new();
    let mut hidden: Vec<Pattern> = Vec::new();
    for id in steps {
        for set in gather::file_sets(graph.action(*id)) {
            for (pattern, _) in &set.include {
                match pattern.literal() {
                    Some(path) => {
                        found.extend(path.parent());
                        bases.insert(path.clone());
                    }
                    None => {
                        bases.insert(pattern.base());
                    }
                }
            }
            hidden.extend(set.exclude.iter().map(|(pattern, _)| pattern.clone()));
        }
    }
    let hidden = |folder: &RelPath| graph.is_output(folder) || hidden.iter().any(|pattern| pattern.covers_all_below(folder));
    let mut entered: BTreeSet<RelPath> = BTreeSet::new();
    let mut open: Vec<RelPath> = bases.into_iter().collect();
    while let Some(folder) = open.pop() {
        found.extend(folder.parent());
        let is_folder = matches!(tree.status(&folder), Ok((Kind::Folder, _)));
        if is_folder && (folder.is_root() || !hidden(&folder)) && entered.insert(folder.clone()) {
            open.extend(folders::below(tree.root(), &folder));
        }
    }
    found.extend(entered);
    for entry in everything {
        found.extend(entry.path.parent());
    }
    let above: Vec<RelPath> = found.iter().flat_map(|folder| std::iter::successors(folder.parent(), RelPath::parent)).collect();
    found.extend(above);
    found.iter().map(|folder| tree.root().at(folder)).collect()
}
