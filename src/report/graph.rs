//! `kiln graph`: the steps and what they wait for, in the languages of drawing programs.
//! In: nodes and edges. Out: text. Never: a name that ends its own quotes.

use std::fmt::Write as _;

use serde::Serialize;

use crate::base::id::StepKind;
use crate::base::words::visible;

/// A graph of steps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct GraphView {
    /// The steps.
    pub nodes: Vec<Node>,
    /// What waits for what.
    pub edges: Vec<Edge>,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Node {
    /// The printed name.
    pub name: String,
    /// What it does.
    pub kind: StepKind,
}

/// Two steps by their place in [`GraphView::nodes`]; an edge to a place that does not exist is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Edge {
    /// The step that goes first.
    pub from: usize,
    /// The step that waits for it.
    pub to: usize,
}

impl GraphView {
    fn sound_edges(&self) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(|edge| edge.from < self.nodes.len() && edge.to < self.nodes.len())
    }
}

/// For Graphviz. Arrows point from a step to those that wait for it.
#[must_use]
pub fn dot(view: &GraphView) -> String {
    let quoted = |text: &str| format!("\"{}\"", visible(text).replace('\\', "\\\\").replace('"', "\\\""));
    let mut text = "digraph plan {\n    rankdir=LR\n    node [shape=box, style=rounded, fontname=\"sans-serif\"]\n".to_owned();
    for (at, node) in view.nodes.iter().enumerate() {
        let shape = match node.kind {
            StepKind::Run => "",
            StepKind::Group => ", shape=plaintext",
            StepKind::Base | StepKind::Build | StepKind::Index => ", shape=box3d",
            StepKind::Scan => ", shape=diamond",
            StepKind::Push | StepKind::Tag => ", shape=cds",
            StepKind::Up => ", shape=cylinder",
        };
        let _ = writeln!(text, "    n{at} [label={}{shape}]", quoted(&node.name));
    }
    for edge in view.sound_edges() {
        let _ = writeln!(text, "    n{} -> n{}", edge.from, edge.to);
    }
    text + "}\n"
}

/// For Mermaid, which code hosts draw inside Markdown.
#[must_use]
pub fn mermaid(view: &GraphView) -> String {
    let mut text = "flowchart LR\n".to_owned();
    for (at, node) in view.nodes.iter().enumerate() {
        let (open, close) = match node.kind {
            StepKind::Run => ("(", ")"),
            StepKind::Group => ("([", "])"),
            StepKind::Base | StepKind::Build | StepKind::Index => ("[", "]"),
            StepKind::Scan => ("{{", "}}"),
            StepKind::Push | StepKind::Tag => ("[/", "/]"),
            StepKind::Up => ("[(", ")]"),
        };
        let _ = writeln!(text, "    n{at}{open}\"{}\"{close}", entities(&node.name));
    }
    for edge in view.sound_edges() {
        let _ = writeln!(text, "    n{} --> n{}", edge.from, edge.to);
    }
    text
}

/// For programs: nodes with names and kinds, edges by the places of their nodes.
#[must_use]
pub fn json(view: &GraphView) -> String {
    super::json::document(view)
}

/// Mermaid reads HTML and its own entities inside quotes.
fn entities(name: &str) -> String {
    visible(name).chars().fold(String::new(), |mut text, c| {
        match c {
            '"' | '#' | '<' | '>' | '&' | '`' | ';' => {
                let _ = write!(text, "#{};", u32::from(c));
            }
            c => text.push(c),
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        let view = GraphView {
            nodes: vec![Node { name: "a\"]; evil [\\\n<b>".into(), kind: StepKind::Run }],
            edges: vec![Edge { from: 0, to: 7 }, Edge { from: 0, to: 0 }],
        };
        assert!(dot(&view).contains(r#"n0 [label="a\"]; evil [\\\\u{a}<b>"]"#), "{}", dot(&view));
        assert!(mermaid(&view).contains(r#"n0("a#34;]#59; evil [\\u{a}#60;b#62;")"#), "{}", mermaid(&view));
        assert!(!dot(&view).contains("n7") && dot(&view).contains("n0 -> n0"));
    }
}
