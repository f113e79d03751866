//! `policy` nodes.

use crate::base::diagnostic::{Diagnostic, Span};
use crate::plan::policy::{Allowance, Level, PolicyDef, Rule};
use crate::plan::value::Locals;
use crate::syntax::document::Node;

use super::shape::not_a_word;
use super::view::{Text, View, children, size};
use crate::plan::cx::Cx;

/// One policy under its name.
pub(in crate::plan) fn policy(cx: &Cx<'_>, node: &Node, name: &str) -> PolicyDef {
    let locals = Locals::top();
    let view = View { cx, locals: &locals };
    let mut def = PolicyDef { name: name.to_owned(), rules: Vec::new(), allow: Vec::new(), span: node.name.span.clone() };
    for child in node.children.iter().flatten().filter(|child| cx.is_good(child)) {
        match child.name.text.as_str() {
            "deny" => rules(&view, child, Level::Deny, &mut def),
            "warn" => rules(&view, child, Level::Warn, &mut def),
            "max-size" => max_size(&view, child, &mut def),
            _ => {}
        }
    }
    for child in children(cx, node, "allow") {
        def.allow.extend(allowance(&view, child));
    }
    def
}

fn rules(view: &View<'_, '_>, node: &Node, level: Level, def: &mut PolicyDef) {
    for (word, span) in view.texts(&node.args) {
        let rule = match word.as_str() {
            "root-user" => Rule::RootUser,
            "missing-healthcheck" => Rule::MissingHealthcheck,
            "setuid" => Rule::Setuid,
            "secrets" => Rule::Secrets,
            "world-writable" => Rule::WorldWritable,
            "mutable-base" => Rule::MutableBase,
            "max-size" => {
                let fault = Diagnostic::plan("plan::bad-value", "`max-size` needs a limit", &span, "no limit");
                view.cx.fault(fault.help(format!("write it as a node: `max-size \"50MiB\" {}`", node.name.text)));
                continue;
            }
            _ => {
                let words: Vec<&str> = Rule::WORDS.iter().map(|(word, _)| *word).collect();
                view.cx.fault(not_a_word(&word, &words, &node.name.text, &span));
                continue;
            }
        };
        add(view, def, rule, level, span);
    }
}

fn add(view: &View<'_, '_>, def: &mut PolicyDef, rule: Rule, level: Level, span: Span) {
    if let Some((_, _, first)) = def.rules.iter().find(|(known, _, _)| known.word() == rule.word()) {
        let fault = Diagnostic::plan("plan::repeated", format!("the rule `{}` is set twice", rule.word()), &span, "again here");
        view.cx.fault(fault.label(first, "first set here").help("a rule has one level; leave one of them out"));
    } else {
        def.rules.push((rule, level, span));
    }
}

fn max_size(view: &View<'_, '_>, node: &Node, def: &mut PolicyDef) {
    let Some(limit) = view.text(&node.args[0]).and_then(|text| view.parsed(text, "plan::bad-size", size)) else { return };
    let level = match node.args.get(1).map(|value| view.text(value)) {
        None => Level::Deny,
        Some(None) => return,
        Some(Some((word, span))) => match word.as_str() {
            "warn" => Level::Warn,
            "deny" => Level::Deny,
            _ => return view.cx.fault(not_a_word(&word, &["warn", "deny"], "max-size", &span)),
        },
    };
    add(view, def, Rule::MaxSize(limit), level, node.name.span.clone());
}

fn allowance(view: &View<'_, '_>, node: &Node) -> Option<Allowance> {
    let path = view.text(&node.args[0]);
    let reason: Option<Text> = view.prop(node, "reason").and_then(|value| view.text(value));
    let ((path, span), (reason, reason_span)) = path.zip(reason)?;
    let pattern = view.inner_pattern(path.strip_prefix('/').unwrap_or(&path), &span)?;
    if reason.trim().is_empty() {
        let fault = Diagnostic::plan("plan::bad-value", "an exception needs a reason", &reason_span, "says nothing");
        view.cx.fault(fault.help("say why the finding is accepted; it is shown with every scan"));
        return None;
    }
    Some(Allowance { pattern, reason, span: node.name.span.clone() })
}
