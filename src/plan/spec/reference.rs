//! The language as a page for people: `docs/language.md` is this text, and a test holds it.

use std::fmt::Write as _;

use crate::plan::value::engine::{FILTERS, FORMS, TESTS};

use super::guide;
use super::{ArgSpec, Children, Count, Kind, NodeSpec, PropSpec, TOP};

/// The reference in Markdown, made from the tables that the reader reads by.
#[must_use]
pub fn reference_markdown() -> String {
    let mut text = String::from(
        "# The language\n\n\
         A plan is a KDL 2 document, edition `kiln 1`. This page is made from the tables that the reader reads by.\n\n\
         Every text but a `run` script and a regular expression is interpolated: `${name}`, `${list[0]}`, `${git.branch | slug}`; `$${` stands for `${`. \
         A name that is not known is a fault. A script goes to the shell as it is written; values reach it as environment variables.\n\n\
         `…` after an argument means that it may stand several times, `?` that it may be left out.\n",
    );
    guide::write(&mut text);
    expressions(&mut text);
    let mut seen = Vec::new();
    for node in TOP.nodes() {
        write_node(&mut text, node, "", 2, &mut seen);
    }
    text
}

/// What may stand in `${…}`.
fn expressions(text: &mut String) {
    text.push_str("\n## Expressions\n\nBetween `${` and `}` stands a name, or:\n\n| form | example | gives |\n| --- | --- | --- |\n");
    let cell = |code: &str| code.replace('|', "\\|");
    for (what, expression, gives) in FORMS {
        let _ = writeln!(text, "| {what} | `{}` | `{gives}` |", cell(expression));
    }
    for (name, doc) in TESTS {
        let _ = writeln!(text, "| `is {name}`: {doc} | | |");
    }
    text.push_str("\nA filter shapes a value, `value|filter`; several are read from left to right.\n\n| filter | gives | example | gives |\n| --- | --- | --- | --- |\n");
    for filter in FILTERS {
        let _ = writeln!(text, "| `{}` | {} | `{}` | `{}` |", filter.name, filter.doc, cell(filter.example.0), filter.example.1);
    }
}

fn write_node(text: &mut String, node: &'static NodeSpec, prefix: &str, level: usize, seen: &mut Vec<*const NodeSpec>) {
    let marks = "#".repeat(level.min(4));
    let name = if prefix.is_empty() { node.name.to_owned() } else { format!("{prefix} › {}", node.name) };
    let _ = write!(text, "\n{marks} `{name}`\n\n{}.\n", capital(node.doc));
    if seen.contains(&std::ptr::from_ref(node)) {
        return;
    }
    seen.push(std::ptr::from_ref(node));
    let _ = write!(text, "\n```text\n{}\n```\n", usage(node));
    rows(text, node);
    let (nodes, other) = match &node.children {
        Children::None | Children::Elsewhere => (&[][..], None),
        Children::Known { nodes, .. } => (*nodes, None),
        Children::Open { nodes, other } => (*nodes, Some(*other)),
    };
    // `each` holds the nodes of the top again; they are described once.
    let nested = nodes.iter().filter(|child| level > 2 || !TOP.nodes().iter().any(|top| std::ptr::eq(*top, **child)));
    for child in nested.copied().chain(other) {
        write_node(text, child, &name, level + 1, seen);
    }
}

fn usage(node: &NodeSpec) -> String {
    let mut line = node.name.to_owned();
    for arg in node.args {
        let mark = match arg.count {
            Count::One => "",
            Count::Maybe => "?",
            Count::Some => "…",
            Count::Any => "…?",
        };
        let _ = write!(line, " <{}>{mark}", arg.name);
    }
    for prop in node.props {
        let _ = if prop.required {
            write!(line, " {}=<{}>", prop.name, kind(prop.kind))
        } else {
            write!(line, " [{}=<{}>]", prop.name, kind(prop.kind))
        };
    }
    if let Some(other) = node.other_props {
        let _ = write!(line, " [NAME=<{other}>]…");
    }
    if !matches!(node.children, Children::None) {
        line.push_str(" { … }");
    }
    line
}

fn rows(text: &mut String, node: &NodeSpec) {
    if node.args.is_empty() && node.props.is_empty() {
        return;
    }
    text.push_str("\n| part | kind | meaning |\n| --- | --- | --- |\n");
    for ArgSpec { name, kind: of, doc, .. } in node.args {
        let _ = writeln!(text, "| `<{name}>` | {} | {doc} |", kind(*of));
    }
    for PropSpec { name, kind: of, doc, required } in node.props {
        let _ = writeln!(text, "| `{name}=` | {}{} | {doc} |", kind(*of), if *required { ", required" } else { "" });
    }
}

fn kind(kind: Kind) -> String {
    match kind {
        Kind::Text => "text".to_owned(),
        Kind::Scalar => "text or number".to_owned(),
        Kind::Name => "name".to_owned(),
        Kind::Target => "target".to_owned(),
        Kind::Path => "path or glob".to_owned(),
        Kind::Platform => "platform".to_owned(),
        Kind::Duration => "length of time".to_owned(),
        Kind::Size => "size".to_owned(),
        Kind::Integer => "whole number".to_owned(),
        Kind::Number => "number".to_owned(),
        Kind::Flag => "flag".to_owned(),
        Kind::Words(words) => words.join(" or "),
        Kind::Script => "script".to_owned(),
        Kind::Regex => "regular expression".to_owned(),
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
