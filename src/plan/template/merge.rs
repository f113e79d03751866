//! How a target and the templates that it uses become one: what stands once is the target's own, else that of the last use; lists
//! are put together in the order of the uses, the target's own part last; what has names goes by name, by the same precedence.

use crate::plan::spec::{NodeSpec, TOP};
use crate::syntax::document::{Node, Scalar};

/// Nodes whose first argument is a name that may stand once.
const NAMED: &[&str] = &["annotation", "arg", "flag", "label", "pool", "secret"];

/// The children of a target of kind `kind`: those of each use in order, and its own, which come last.
pub(super) fn merge(kind: &str, parts: Vec<Vec<Node>>) -> Vec<Node> {
    let spec = TOP.find(kind);
    let mut merged: Vec<Node> = Vec::new();
    for part in parts {
        for node in &part {
            overrule(spec, node, &mut merged);
        }
        merged.extend(part);
    }
    merged
}

/// Takes away what a later node replaces.
fn overrule(spec: Option<&NodeSpec>, later: &Node, merged: &mut Vec<Node>) {
    let name = later.name.text.as_str();
    let Some(spec) = spec.and_then(|spec| spec.children.find(name)) else { return };
    if spec.once {
        merged.retain(|node| node.name.text != name);
    }
    if spec.other_props.is_some() && name != "use" {
        for node in merged.iter_mut().filter(|node| node.name.text == name) {
            node.props.retain(|prop| !later.props.iter().any(|own| own.name.text == prop.name.text));
        }
        merged.retain(|node| node.name.text != name || !node.props.is_empty() || !node.args.is_empty());
    }
    if NAMED.contains(&name)
        && let Some(first) = text(later)
    {
        merged.retain(|node| node.name.text != name || text(node) != Some(first));
    }
}

fn text(node: &Node) -> Option<&str> {
    match &node.args.first()?.scalar {
        Scalar::String(text) => Some(text),
        _ => None,
    }
}
