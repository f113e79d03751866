//! `kiln graph`: what waits for what, as a drawing.

use std::collections::HashMap;

use crate::base::diagnostic::Diagnostics;
use crate::graph::{Edge as Reason, select};
use crate::report::graph::{self, Edge, GraphView, Node};
use crate::report::svg;

use super::args::GraphFormat;
use super::open::{self, World};
use super::output::Output;
use super::settings::Settings;

/// A drawing of more steps than this shows targets.
const MANY: usize = 60;

/// What was asked.
#[derive(Debug, clap::Args)]
pub struct Graph {
    /// Only these targets and what they need
    pub targets: Vec<String>,
    /// The language of the drawing; svg needs no other program
    #[arg(long, value_enum, default_value_t = GraphFormat::Dot)]
    pub format: GraphFormat,
    /// Draws every step [default: up to 60 steps; JSON always has them]
    #[arg(long)]
    pub steps: bool,
    /// Draws targets, not their steps
    #[arg(long, conflicts_with = "steps")]
    pub collapse: bool,
    /// Also draws edges that follow from others [default: only JSON has them]
    #[arg(long)]
    pub all_edges: bool,
}

/// # Errors
/// The faults of the plan; unknown targets.
pub fn graph(settings: &Settings, output: &Output, asked: &Graph) -> Result<u8, Diagnostics> {
    let opened = open::open(settings, World::Unasked)?;
    let graph = &opened.graph;
    let steps = if asked.targets.is_empty() { graph.order().to_vec() } else { select::select(graph, &asked.targets)?.steps };
    let place: HashMap<_, usize> = steps.iter().enumerate().map(|(place, id)| (*id, place)).collect();
    let node = |id| {
        let name = &graph.action(id).name;
        Node { name: name.to_string(), target: name.target.to_string(), kind: name.kind.word().to_owned() }
    };
    let edges = steps.iter().flat_map(|id| {
        let needs = graph.needs(*id).into_iter().filter(|(_, reason)| *reason != Reason::After);
        needs.filter_map(|(need, _)| Some(Edge { from: *place.get(&need)?, to: place[id] })).collect::<Vec<_>>()
    });
    let mut view = GraphView { nodes: steps.iter().map(|id| node(*id)).collect(), edges: edges.collect() };
    let json = output.json || matches!(asked.format, GraphFormat::Json);
    if asked.collapse || (view.nodes.len() > MANY && !asked.steps && !json) {
        let kinds: HashMap<&str, &str> = opened.plan.targets.values().map(|target| (target.name.as_str(), target.kind.word())).collect();
        view = view.of_targets(|name| kinds.get(name).copied().unwrap_or_default().to_owned());
    }
    if !asked.all_edges && !json {
        view = view.reduced();
    }
    output.answer(&match asked.format {
        _ if json => graph::json(&view),
        GraphFormat::Dot => graph::dot(&view),
        GraphFormat::Mermaid => graph::mermaid(&view),
        GraphFormat::Svg => svg::svg(&view),
        GraphFormat::Json => graph::json(&view),
    });
    Ok(0)
}
