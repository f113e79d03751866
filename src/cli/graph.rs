//! `kiln graph`: the steps and what waits for what, as a drawing.

use std::collections::HashMap;

use crate::base::diagnostic::Diagnostics;
use crate::graph::{Edge as Reason, select};
use crate::report::graph::{self, Edge, GraphView, Node};

use super::args::GraphFormat;
use super::open::{self, World};
use super::output::Output;
use super::settings::Settings;

/// # Errors
/// The faults of the plan; unknown targets.
pub fn graph(settings: &Settings, output: &Output, targets: &[String], format: GraphFormat) -> Result<u8, Diagnostics> {
    let opened = open::open(settings, World::Unasked)?;
    let graph = &opened.graph;
    let steps = if targets.is_empty() { graph.order().to_vec() } else { select::select(graph, targets)?.steps };
    let place: HashMap<_, usize> = steps.iter().enumerate().map(|(place, id)| (*id, place)).collect();
    let nodes = steps.iter().map(|id| Node { name: graph.action(*id).name.to_string(), kind: graph.action(*id).name.kind }).collect();
    let edges = steps.iter().flat_map(|id| {
        let needs = graph.needs(*id).into_iter().filter(|(_, reason)| *reason != Reason::After);
        needs.filter_map(|(need, _)| Some(Edge { from: *place.get(&need)?, to: place[id] })).collect::<Vec<_>>()
    });
    let view = GraphView { nodes, edges: edges.collect() };
    output.answer(&match format {
        _ if output.json => graph::json(&view),
        GraphFormat::Dot => graph::dot(&view),
        GraphFormat::Mermaid => graph::mermaid(&view),
        GraphFormat::Json => graph::json(&view),
    });
    Ok(0)
}
