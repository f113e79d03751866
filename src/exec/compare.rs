//! Two plans, held against each other by what they say and what they read, before anything runs.
//! In: two graphs and where each finds its sources. Out: each step that is new, gone or another, and those that follow.
//! Never: a result of an earlier run, a command, a connection.

use std::collections::{HashMap, HashSet};

use crate::base::id::{StepId, StepName};
use crate::engine::Machine;
use crate::graph::ActionGraph;
use crate::graph::ingredients::Ingredients;
use crate::key;
use crate::key::explain::{self, Difference};
use crate::sys::tree::Tree;

use super::gather::{self, GatherError, Ground};
use super::past::Past;

/// One plan.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// Where its sources are.
    pub machine: &'a Machine,
    /// Its steps.
    pub graph: &'a ActionGraph,
    /// The files of its project.
    pub tree: &'a Tree,
    /// The commit that its sources are taken from; `None` for the tree as it stands.
    pub past: Option<&'a Past>,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Became {
    /// Only the newer plan has it.
    Added,
    /// Only the older plan has it.
    Removed,
    /// Its definition or its sources are others.
    Changed(Vec<Difference>),
    /// It is the same, and waits for these, which are not.
    Follows(Vec<StepName>),
}

/// Every step that is not the same, as the newer plan orders them; those that are gone come last.
///
/// # Errors
/// [`GatherError`]: a source that cannot be read.
pub fn compare(old: Side<'_>, new: Side<'_>) -> Result<Vec<(StepName, Became)>, GatherError> {
    let before: HashMap<&StepName, StepId> = old.graph.order().iter().map(|id| (&old.graph.action(*id).name, *id)).collect();
    let mut other: HashSet<StepId> = HashSet::new();
    let mut kept: HashSet<StepId> = HashSet::new();
    let mut found = Vec::new();
    for id in new.graph.order() {
        let name = &new.graph.action(*id).name;
        let became = match before.get(name) {
            None => Some(Became::Added),
            Some(earlier) => {
                kept.insert(*earlier);
                changed(old, *earlier, new, *id)?.map(Became::Changed)
            }
        };
        let became = became.or_else(|| {
            let needs = new.graph.needs(*id).into_iter().filter(|(need, edge)| edge.requires() && other.contains(need));
            let names: Vec<StepName> = needs.map(|(need, _)| new.graph.action(need).name.clone()).collect();
            (!names.is_empty()).then_some(Became::Follows(names))
        });
        if let Some(became) = became {
            other.insert(*id);
            found.push((name.clone(), became));
        }
    }
    let gone = old.graph.order().iter().filter(|id| !kept.contains(id));
    found.extend(gone.map(|id| (old.graph.action(*id).name.clone(), Became::Removed)));
    Ok(found)
}

/// What differs between a step and the same step of another plan; `None` when nothing does.
///
/// # Errors
/// [`GatherError`].
pub fn changed(old: Side<'_>, before: StepId, new: Side<'_>, now: StepId) -> Result<Option<Vec<Difference>>, GatherError> {
    let (first, then) = (taken(old, before)?, taken(new, now)?);
    let (before, now) = (old.graph.action(before), new.graph.action(now));
    if key::key(before, &first) == key::key(now, &then) {
        return Ok(None);
    }
    Ok(Some(explain::differences(&key::manifest(before, &first), &key::manifest(now, &then))))
}

/// What a step takes in that is known from the plan and its sources: its files, and the names of its needs.
fn taken(side: Side<'_>, id: StepId) -> Result<Ingredients, GatherError> {
    let mut taken = gather::sources(Ground { machine: side.machine, graph: side.graph, tree: side.tree, past: side.past }, id)?;
    let needs = side.graph.needs(id).into_iter().filter(|(_, edge)| edge.is_need());
    taken.needs = needs.map(|(need, _)| (side.graph.action(need).name.clone(), String::new())).collect();
    // The order of declaration is no part of what a plan says.
    taken.needs.sort();
    Ok(taken)
}
