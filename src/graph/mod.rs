//! Plan → [`ActionGraph`]: one node per step, one edge per reason to wait. The only module that names petgraph.
//! In: a plan. Out: a graph, or every circle as a chain. Never: reads a file, asks a clock, decides what is up to date.

pub mod action;
mod basis;
mod circle;
mod infer;
pub mod ingredients;
pub mod links;
pub mod lower;
pub mod query;
mod release;
pub mod select;

use std::collections::BTreeMap;

use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef as _;
use serde::{Deserialize, Serialize};

use crate::base::id::StepId;
use crate::base::path::RelPath;
use crate::base::pattern::Pattern;

use crate::plan::basis::Values;

use self::action::Action;

/// Why one step waits for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Edge {
    /// Only the order: when both take part, one goes first.
    After,
    /// It must have ended well; the digest of its whole product enters the key.
    Need,
    /// Files or an image of the one go into the other, and only those enter the key.
    Data,
    /// Both: it is named in `needs`, and some of what it makes goes into the other.
    NeedAndData,
}

impl Edge {
    /// Both reasons in one.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self.max(other), self.min(other)) {
            (Self::Data, Self::Need) => Self::NeedAndData,
            (stronger, _) => stronger,
        }
    }
    /// Whether the one that goes first must end well.
    #[must_use]
    pub fn requires(self) -> bool {
        self != Self::After
    }
    /// Whether its whole product enters the key.
    #[must_use]
    pub fn is_need(self) -> bool {
        matches!(self, Self::Need | Self::NeedAndData)
    }
    /// Whether files or an image of it go in.
    #[must_use]
    pub fn is_data(self) -> bool {
        matches!(self, Self::Data | Self::NeedAndData)
    }
}

/// The steps of a plan. An edge points from the step that goes first to the one that waits. Free of circles.
#[derive(Debug)]
pub struct ActionGraph {
    dag: DiGraph<Action, Edge>,
    order: Vec<StepId>,
    producers: infer::Producers,
    /// Targets without steps, with the condition that does not hold.
    left_out: BTreeMap<String, String>,
    /// What the definitions of targets rest on.
    basis: basis::Basis,
}

fn node(id: StepId) -> NodeIndex {
    NodeIndex::new(id.index())
}

fn step(index: NodeIndex) -> StepId {
    StepId(u32::try_from(index.index()).unwrap_or(u32::MAX))
}

impl ActionGraph {
    /// The number of steps.
    #[must_use]
    pub fn len(&self) -> usize {
        self.dag.node_count()
    }
    /// Whether the plan has no step.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.dag.node_count() == 0
    }
    /// The condition that keeps a target out of this plan.
    #[must_use]
    pub fn left_out(&self, target: &str) -> Option<&str> {
        self.left_out.get(target).map(String::as_str)
    }
    /// One step. Ids of another graph give the wrong step or a panic; they are never stored.
    #[must_use]
    pub fn action(&self, id: StepId) -> &Action {
        &self.dag[node(id)]
    }
    /// The values of the plan that the definition of a step rests on, by name.
    #[must_use]
    pub fn basis(&self, id: StepId) -> Values {
        self.basis.of(&self.action(id).name.target)
    }
    /// Every step, each after all that it waits for; otherwise as the plan declares them.
    #[must_use]
    pub fn order(&self) -> &[StepId] {
        &self.order
    }
    /// What a step waits for, in order of step, each with all reasons in one.
    #[must_use]
    pub fn needs(&self, id: StepId) -> Vec<(StepId, Edge)> {
        let mut found: Vec<_> =
            self.dag.edges_directed(node(id), petgraph::Direction::Incoming).map(|edge| (step(edge.source()), *edge.weight())).collect();
        found.sort_unstable();
        found
    }
    /// What waits for a step.
    #[must_use]
    pub fn waiting(&self, id: StepId) -> Vec<(StepId, Edge)> {
        let mut found: Vec<_> =
            self.dag.edges_directed(node(id), petgraph::Direction::Outgoing).map(|edge| (step(edge.target()), *edge.weight())).collect();
        found.sort_unstable();
        found
    }
    /// Whether some step of the plan makes this path, so that it is nobody's source.
    #[must_use]
    pub fn is_output(&self, path: &RelPath) -> bool {
        self.producers.make(path)
    }
    /// The steps that make this path, in order.
    #[must_use]
    pub fn makers(&self, path: &RelPath) -> Vec<StepId> {
        let mut found: Vec<StepId> = self.producers.makers(path).collect();
        found.sort_unstable();
        found.dedup();
        found
    }
    /// Whether some step of the plan could make something that this pattern selects.
    #[must_use]
    pub fn may_make(&self, pattern: &Pattern) -> bool {
        self.producers.meet(pattern)
    }
}
