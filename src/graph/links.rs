//! What takes time to find in a graph: who waits for whom, the order that follows, and who reads or makes which file.
//! In: a graph; later, the plan that it was made of, or some targets of it. Out: its links; the same graph again, or the part of it
//! that changed files reach. Never: a link between steps that the plan does not have.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::base::id::{StepId, StepName, TargetName};
use crate::base::path::RelPath;
use crate::base::pattern::Pattern;
use crate::plan::Plan;

use super::action::{Action, ActionKind};
use super::basis::Basis;
use super::{ActionGraph, Edge, lower, node, step};

/// The edges of a graph, the order of its steps, and the files that it names.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Links {
    edges: Vec<(u32, u32, Edge)>,
    order: Vec<u32>,
    /// How many steps each target has, in the order of the plan.
    counts: Vec<u32>,
    /// The tasks that read or make what one path names, by path.
    files: Vec<(RelPath, Vec<u32>)>,
    /// Steps of which it cannot be told by single paths whether a changed file reaches them.
    loose: Vec<u32>,
}

/// A step that has ended before a part of its graph is run.
#[derive(Debug)]
pub struct Before {
    /// Its place in the whole graph.
    pub id: StepId,
    /// Its name.
    pub name: StepName,
    /// What it made, as far as the part reads it.
    pub outputs: Vec<RelPath>,
}

/// The places that steps of a whole graph have in a part of it.
#[derive(Debug)]
pub struct Places(Vec<Option<StepId>>);

impl Places {
    /// That of one step; `None` for one that is not in the part.
    #[must_use]
    pub fn get(&self, whole: StepId) -> Option<StepId> {
        self.0.get(whole.index()).copied().flatten()
    }
}

/// Some of all steps.
struct Marks(Vec<bool>);

impl Marks {
    fn has(&self, id: u32) -> bool {
        self.0.get(id as usize).is_some_and(|mark| *mark)
    }
    fn add(&mut self, id: u32) {
        if let Some(mark) = self.0.get_mut(id as usize) {
            *mark = true;
        }
    }
}

impl Links {
    /// Those of a graph and its plan.
    #[must_use]
    pub fn of(graph: &ActionGraph, plan: &Plan) -> Self {
        let waits = |id: &StepId| graph.needs(*id).into_iter().map(move |(first, edge)| (first.0, id.0, edge)).collect::<Vec<_>>();
        let mut counts: HashMap<&TargetName, u32> = HashMap::with_capacity(plan.targets.len());
        let mut files: BTreeMap<&RelPath, Vec<u32>> = BTreeMap::new();
        let mut loose = Vec::new();
        for id in (0..graph.len()).map(|at| step(petgraph::graph::NodeIndex::new(at))) {
            let action = graph.action(id);
            *counts.entry(&action.name.target).or_default() += 1;
            match &action.kind {
                ActionKind::Group => {}
                ActionKind::Run(cell) => {
                    let read = cell.inputs.iter().flat_map(|inputs| inputs.include.iter().map(|(pattern, _)| pattern));
                    let named: Option<Vec<&RelPath>> =
                        read.chain(cell.outputs.iter().map(|output| &output.pattern)).map(Pattern::literal).collect();
                    match named {
                        Some(paths) => paths.into_iter().for_each(|path| files.entry(path).or_default().push(id.0)),
                        None => loose.push(id.0),
                    }
                }
                _ => loose.push(id.0),
            }
        }
        Self {
            edges: graph.order().iter().flat_map(waits).collect(),
            order: graph.order().iter().map(|id| id.0).collect(),
            counts: plan.targets.keys().map(|name| counts.get(name).copied().unwrap_or(0)).collect(),
            files: files.into_iter().map(|(path, steps)| (path.clone(), steps)).collect(),
            loose,
        }
    }

    /// The graph of the plan that these are the links of; `None` when the plan has other steps.
    #[must_use]
    pub fn graph(&self, plan: &Plan) -> Option<ActionGraph> {
        let (mut dag, producers) = lower::steps(plan);
        let steps = dag.node_count();
        let known = |id: u32| (id as usize) < steps;
        if self.order.len() != steps || !self.order.iter().all(|id| known(*id)) {
            return None;
        }
        for (first, then, edge) in &self.edges {
            if !known(*first) || !known(*then) {
                return None;
            }
            dag.add_edge(node(StepId(*first)), node(StepId(*then)), *edge);
        }
        let order = self.order.iter().copied().map(StepId).collect();
        Some(ActionGraph { dag, order, producers, left_out: lower::left_out(plan), basis: Basis::new(plan) })
    }

    /// The steps among `taking_part` that read or make one of these files, and all that wait for them, each after what it waits for.
    /// `None` when that cannot be told by the names of files.
    #[must_use]
    pub fn reached(&self, changed: &[RelPath], taking_part: impl Iterator<Item = StepId>) -> Option<Vec<StepId>> {
        let taking_part = self.marks(taking_part);
        if self.loose.iter().any(|id| taking_part.has(*id)) {
            return None;
        }
        let mut found = self.marks(std::iter::empty());
        for path in changed {
            let mut is_known = false;
            // Who names a folder has all that is in it.
            for around in std::iter::successors(Some(path.clone()), RelPath::parent) {
                if let Ok(at) = self.files.binary_search_by(|(known, _)| known.cmp(&around)) {
                    for id in self.files[at].1.iter().filter(|id| taking_part.has(**id)) {
                        is_known = true;
                        found.add(*id);
                    }
                }
            }
            if !is_known {
                return None;
            }
        }
        // Edges stand in the order of the steps that wait, so each step is known to be reached before one that waits for it.
        for (first, then, edge) in &self.edges {
            if edge.requires() && found.has(*first) && taking_part.has(*then) {
                found.add(*then);
            }
        }
        Some(self.order.iter().filter(|id| found.has(**id)).map(|id| StepId(*id)).collect())
    }

    /// By step, whether these steps must wait for it, and if so whether they read files of it; nothing for one of them.
    #[must_use]
    pub fn around(&self, steps: &[StepId]) -> Vec<Option<bool>> {
        let own = self.marks(steps.iter().copied());
        let mut found = vec![None; self.order.len()];
        for (first, then, edge) in &self.edges {
            if edge.requires()
                && own.has(*then)
                && !own.has(*first)
                && let Some(place) = found.get_mut(*first as usize)
            {
                *place = Some(place.unwrap_or(false) || edge.is_data());
            }
        }
        found
    }

    fn marks(&self, ids: impl Iterator<Item = StepId>) -> Marks {
        let mut marks = Marks(vec![false; self.order.len()]);
        ids.for_each(|id| marks.add(id.0));
        marks
    }

    /// The targets that have these steps: their places in the plan, in its order.
    #[must_use]
    pub fn targets(&self, steps: &[StepId]) -> Vec<usize> {
        let own = self.marks(steps.iter().copied());
        let has = |(_, ids): &(usize, Range<u32>)| ids.clone().any(|id| own.has(id));
        self.numbers().enumerate().filter(has).map(|(target, _)| target).collect()
    }

    /// The numbers that the steps of each target have; never more than there are steps.
    fn numbers(&self) -> impl Iterator<Item = Range<u32>> {
        let all = u32::try_from(self.order.len()).unwrap_or(u32::MAX);
        self.counts.iter().scan(0_u32, move |end, count| {
            let start = *end;
            *end = start.saturating_add(*count).min(all);
            Some(start..*end)
        })
    }

    /// A part of the graph, which numbers its steps anew: all steps of some targets as the plan has them, and names for those that
    /// ended `before`. `plan` has these targets alone, which are `targets` of the whole. `None` when they are not.
    #[must_use]
    pub fn part(&self, plan: &Plan, targets: &[usize], before: Vec<Before>) -> Option<(ActionGraph, Places)> {
        let (mut dag, mut producers) = lower::steps(plan);
        let numbers: Vec<Range<u32>> = self.numbers().collect();
        let mut places = Places(vec![None; self.order.len()]);
        let mut own = 0;
        for id in targets.iter().filter_map(|target| numbers.get(*target).cloned()).flatten() {
            places.0[id as usize] = Some(StepId(own));
            own += 1;
        }
        if own as usize != dag.node_count() {
            return None;
        }
        let span = plan.targets.values().next()?.span.clone();
        dag.reserve_nodes(before.len());
        for Before { id, name, outputs } in before {
            if places.get(id).is_some() {
                continue;
            }
            let place = step(dag.add_node(Action { name, kind: ActionKind::Group, span: span.clone() }));
            outputs.iter().for_each(|path| producers.add(place, &Pattern::of(path)));
            *places.0.get_mut(id.index())? = Some(place);
        }
        for (first, then, edge) in &self.edges {
            if let Some(then) = places.get(StepId(*then)).filter(|then| then.0 < own)
                && let Some(first) = places.get(StepId(*first))
            {
                dag.add_edge(node(first), node(then), *edge);
            }
        }
        let order = self.order.iter().filter_map(|id| places.get(StepId(*id))).collect();
        let graph = ActionGraph { dag, order, producers, left_out: BTreeMap::new(), basis: Basis::new(plan) };
        Some((graph, places))
    }
}
