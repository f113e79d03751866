//! What can be said of a `template` node itself: the names of its params, and its block where nothing uses it.

use std::collections::HashSet;

use crate::base::diagnostic::Diagnostic;
use crate::base::words;
use crate::plan::cx::Cx;
use crate::plan::read::shape;
use crate::plan::spec::{Children, TOP, around_targets};
use crate::plan::value::bindings::check_variable;
use crate::syntax::document::{Node, Scalar};

/// Checks the `template` nodes of a document whose values are declared. `used` holds the names of those that are used somewhere:
/// their blocks are checked there.
pub(in crate::plan) fn check(cx: &Cx<'_>, nodes: &[Node], used: &HashSet<String>) {
    for node in nodes.iter().filter(|node| node.name.text == "template" && cx.is_good(node)) {
        let Some(Scalar::String(name)) = node.args.first().map(|value| &value.scalar) else { continue };
        let args = node.args[1..].iter().filter_map(|value| match &value.scalar {
            Scalar::String(text) => Some((text, &value.span)),
            _ => None,
        });
        let props = node.props.iter().map(|prop| (&prop.name.text, &prop.name.span));
        for (param, span) in args.chain(props) {
            if let Err((why, help)) = check_variable(param) {
                cx.fault(Diagnostic::plan("plan::bad-name", format!("`{}` {why}", words::visible(param)), span, "").help(help));
            } else if let Some(first) = cx.declared(param) {
                let fault = Diagnostic::plan("plan::duplicate-name", format!("`{param}` has a value already"), span, "declared again here");
                cx.fault(fault.label(first, "first declared here").help("rename one of them, so that `${…}` can mean only one"));
            }
        }
        let body = node.children.as_deref().unwrap_or_default();
        if body.is_empty() {
            let fault = Diagnostic::plan(
                "plan::empty",
                format!("the template `{}` holds nothing", words::visible(name)),
                &node.name.span,
                "no block",
            );
            cx.fault(fault.help("write targets in its block, or parts of a target: `template \"base\" { env A=\"1\"; tools go }`"));
        } else if !used.contains(name) {
            let targets = ["task", "image", "service"].iter().filter_map(|word| Some((*word, &TOP.find(word)?.children)));
            let kinds = [("template", around_targets())].into_iter().chain(targets);
            let unknown = |children: &Children| body.iter().filter(|node| children.find(&node.name.text).is_none()).count();
            if let Some((word, children)) = kinds.min_by_key(|(_, children)| unknown(children)) {
                shape::check(cx, body, children, Some(word));
            }
        }
    }
}
