//! What takes time to find in a graph: who waits for whom, and the order that follows.
//! In: a graph; later, the plan that it was made of. Out: its links; the same graph again. Never: a link between steps that
//! the plan does not have.

use serde::{Deserialize, Serialize};

use crate::base::id::StepId;
use crate::plan::Plan;

use super::basis::Basis;
use super::{ActionGraph, Edge, lower, node};

/// The edges of a graph and the order of its steps.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Links {
    edges: Vec<(u32, u32, Edge)>,
    order: Vec<u32>,
}

impl Links {
    /// Those of a graph.
    #[must_use]
    pub fn of(graph: &ActionGraph) -> Self {
        let waits = |id: &StepId| graph.needs(*id).into_iter().map(move |(first, edge)| (first.0, id.0, edge)).collect::<Vec<_>>();
        Self { edges: graph.order().iter().flat_map(waits).collect(), order: graph.order().iter().map(|id| id.0).collect() }
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
}
