//! `kiln graph`: the steps and what they wait for, in the languages of drawing programs.
//! In: nodes and edges. Out: text. Never: a name that ends its own quotes.

use std::fmt::Write as _;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Serialize;

use crate::base::words::visible;

use super::layers;

/// A graph of steps, or of targets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GraphView {
    /// The steps or targets, each after all that it waits for where no circle of targets prevents it.
    pub nodes: Vec<Node>,
    /// What waits for what.
    pub edges: Vec<Edge>,
}

/// A step, or a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Node {
    /// The printed name.
    pub name: String,
    /// Its target; the name itself for a target.
    pub target: String,
    /// What it is: `run`, `build`, … for a step, `task`, `image`, `service` or `group` for a target.
    pub kind: String,
}

/// Two steps by their place in [`GraphView::nodes`]; an edge to a place that does not exist is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Edge {
    /// The step that goes first.
    pub from: usize,
    /// The step that waits for it.
    pub to: usize,
}

impl GraphView {
    pub(super) fn sound_edges(&self) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(|edge| edge.from < self.nodes.len() && edge.to < self.nodes.len())
    }
}

impl GraphView {
    /// One node for each target; `kind` gives the word for it.
    #[must_use]
    pub fn of_targets(&self, kind: impl Fn(&str) -> String) -> Self {
        let mut targets: IndexMap<&str, Node> = IndexMap::new();
        for node in &self.nodes {
            let target = || Node { name: node.target.clone(), target: node.target.clone(), kind: kind(&node.target) };
            targets.entry(&node.target).or_insert_with(target);
        }
        let place = |at: usize| targets.get_index_of(self.nodes[at].target.as_str()).unwrap_or(usize::MAX);
        let mut edges: Vec<(usize, usize)> = self.sound_edges().map(|edge| (place(edge.from), place(edge.to))).collect();
        edges.retain(|(from, to)| from != to);
        edges.sort_unstable();
        edges.dedup();
        Self { nodes: targets.into_values().collect(), edges: edges.into_iter().map(|(from, to)| Edge { from, to }).collect() }
    }

    /// Without edges that follow from others.
    #[must_use]
    pub fn reduced(self) -> Self {
        let edges: Vec<(usize, usize)> = self.sound_edges().map(|edge| (edge.from, edge.to)).collect();
        let edges = layers::reduced(self.nodes.len(), &edges).into_iter().map(|(from, to)| Edge { from, to }).collect();
        Self { edges, ..self }
    }

    /// Nodes by target, in order; those alone in their target are alone.
    fn groups(&self) -> Vec<(&str, Vec<usize>)> {
        let mut groups: IndexMap<&str, Vec<usize>> = IndexMap::new();
        for (at, node) in self.nodes.iter().enumerate() {
            groups.entry(&node.target).or_default().push(at);
        }
        groups.into_iter().collect()
    }
}

/// For Graphviz. Arrows point from a step to those that wait for it; the steps of a target stand together.
#[must_use]
pub fn dot(view: &GraphView) -> String {
    let quoted = |text: &str| format!("\"{}\"", visible(text).replace('\\', "\\\\").replace('"', "\\\""));
    let mut text = "digraph plan {\n    rankdir=LR\n    node [shape=box, style=rounded, fontname=\"sans-serif\"]\n".to_owned();
    for (group, (target, members)) in view.groups().into_iter().enumerate() {
        let together = members.len() > 1;
        let indent = if together { "        " } else { "    " };
        if together {
            let _ = writeln!(text, "    subgraph cluster_{group} {{\n        label={}\n        style=rounded", quoted(target));
        }
        for at in members {
            let node = &view.nodes[at];
            let shape = match node.kind.as_str() {
                "run" | "task" => "",
                "group" => ", shape=plaintext",
                "scan" => ", shape=diamond",
                "push" | "tag" => ", shape=cds",
                "up" | "service" => ", shape=component",
                _ => ", shape=box3d",
            };
            let _ = writeln!(text, "{indent}n{at} [label={}{shape}]", quoted(&node.name));
        }
        if together {
            text.push_str("    }\n");
        }
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
    for (group, (target, members)) in view.groups().into_iter().enumerate() {
        let together = members.len() > 1;
        let indent = if together { "        " } else { "    " };
        if together {
            let _ = writeln!(text, "    subgraph g{group}[\"{}\"]", entities(target));
        }
        for at in members {
            let node = &view.nodes[at];
            let (open, close) = match node.kind.as_str() {
                "run" | "task" => ("(", ")"),
                "group" => ("([", "])"),
                "scan" => ("{{", "}}"),
                "push" | "tag" => ("[/", "/]"),
                "up" | "service" => ("[[", "]]"),
                _ => ("[", "]"),
            };
            let _ = writeln!(text, "{indent}n{at}{open}\"{}\"{close}", entities(&node.name));
        }
        if together {
            text.push_str("    end\n");
        }
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
    use crate::report::svg::svg;

    #[test]
    fn targets_stand_for_their_steps() {
        let node = |name: &str, target: &str| Node { name: name.into(), target: target.into(), kind: "run".into() };
        let view = GraphView {
            nodes: vec![node("a[1]", "a"), node("a[2]", "a"), node("b", "b"), node("c", "c")],
            edges: vec![(0, 1), (0, 2), (1, 2), (2, 3), (0, 3)].into_iter().map(|(from, to)| Edge { from, to }).collect(),
        };
        let targets = view.of_targets(|_| "task".to_owned());
        assert_eq!(targets.nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(targets.edges, [Edge { from: 0, to: 1 }, Edge { from: 0, to: 2 }, Edge { from: 1, to: 2 }]);
        assert_eq!(targets.reduced().edges, [Edge { from: 0, to: 1 }, Edge { from: 1, to: 2 }]);
        assert!(dot(&view).contains("subgraph cluster_0") && !dot(&view).contains("cluster_1"));
        assert!(mermaid(&view).contains("subgraph g0[\"a\"]"));
    }

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        let view = GraphView {
            nodes: vec![Node { name: "a\"]; evil [\\\n<b>".into(), target: "a\"<".into(), kind: "run".into() }],
            edges: vec![Edge { from: 0, to: 7 }, Edge { from: 0, to: 0 }],
        };
        assert!(dot(&view).contains(r#"n0 [label="a\"]; evil [\\\\u{a}<b>"]"#), "{}", dot(&view));
        assert!(mermaid(&view).contains(r#"n0("a#34;]#59; evil [\\u{a}#60;b#62;")"#), "{}", mermaid(&view));
        assert!(svg(&view).contains("<title>a&quot;&lt;</title>") && !svg(&view).contains("<b>"), "{}", svg(&view));
        assert!(!dot(&view).contains("n7") && dot(&view).contains("n0 -> n0"));
    }
}
