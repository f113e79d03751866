//! `tool` nodes.

use crate::base::diagnostic::Diagnostic;
use crate::plan::cx::Cx;
use crate::plan::tool::ToolDef;
use crate::plan::value::Locals;
use crate::syntax::document::{Node, Scalar};

use super::view::{View, shown};

/// The tools that these nodes declare, after those that are known already: a second declaration of one name is a fault.
pub(in crate::plan) fn tools(cx: &Cx<'_>, nodes: &[Node], known: &mut Vec<ToolDef>) {
    let locals = Locals::top();
    let view = View { cx, locals: &locals };
    let first = known.len();
    for node in nodes.iter().filter(|node| node.name.text == "tool" && cx.is_good(node)) {
        let Some((name, span)) = node.args.first().and_then(|name| view.text(name)) else { continue };
        if name.is_empty() || name.contains('/') || name.contains(char::is_whitespace) {
            let fault = Diagnostic::plan("plan::bad-name", format!("`{}` is not the name of a program", shown(&name)), &span, "not a name");
            cx.fault(fault.help("write it as `tools` does: `tool \"go\"`; it is looked for in the PATH"));
            continue;
        }
        if let Some(other) = known[first..].iter().find(|other| other.name == name) {
            let fault = Diagnostic::plan("plan::duplicate-name", format!("`tool {name}` is declared twice"), &span, "declared again here");
            cx.fault(fault.label(&other.span, "first declared here").help("say all about a tool in one place"));
            continue;
        }
        let version = view.prop(node, "version").and_then(|value| view.text(value)).and_then(|(text, span)| {
            let wanted = text.parse::<semver::VersionReq>();
            if wanted.is_err() {
                let message = format!("`{}` is not a range of versions", shown(&text));
                let fault = Diagnostic::plan("plan::bad-value", message, &span, "not a range");
                cx.fault(fault.help("write it as cargo does: `1.24` (and all that is compatible), `>=1.24, <2`, `=1.24.2`"));
            }
            Some((wanted.ok()?, span))
        });
        let script = view.prop(node, "check").and_then(|value| match &value.scalar {
            Scalar::String(text) => Some(text.clone()),
            _ => None,
        });
        // The name stands in single quotes for the shell, where it cannot end them: it has no quote, or the quote is escaped.
        let check = script.unwrap_or_else(|| format!("'{}' --version", name.replace('\'', "'\\''")));
        known.push(ToolDef { name, version, check, pinned: None, span });
    }
}
