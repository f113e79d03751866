//! Which variables the commands of a task see under their own names.

use crate::plan::param::ParamKind;
use crate::plan::read::view::View;
use crate::plan::value::Variable;
use crate::syntax::document::Node;

/// The arguments of a node, the `each` and matrix variables around a node, and the params of the template that it stands in and of those that it uses. A
/// name that two uses give different values has none.
pub(in crate::plan) fn exported(view: &View<'_, '_>, node: &Node) -> Vec<Variable> {
    let frames = view.cx.frames();
    let owner = node.name.span.frame;
    let mut found: Vec<Variable> = view.locals.vars.iter().filter(|var| var.span.frame == owner).cloned().collect();
    let uses = node.children.iter().flatten().filter(|child| child.name.text == "use");
    let frames = frames.get(owner).into_iter().chain(uses.filter_map(|node| frames.of_use(node)));
    let mut unclear = Vec::new();
    for (name, span, value) in frames.flat_map(|frame| &frame.args) {
        let Some(value) = value.as_ref().and_then(|value| view.cx.plain(view.locals, value)) else { continue };
        match found.iter().find(|var| var.name == *name) {
            None => found.push(Variable { name: name.clone(), value, kind: ParamKind::Text, span: span.clone() }),
            Some(known) if known.value != value => unclear.push(name.clone()),
            Some(_) => {}
        }
    }
    found.retain(|var| !unclear.contains(&var.name));
    found
}
