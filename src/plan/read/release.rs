//! `scan` and `push`: the way of an image to the registries.

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::words;
use crate::plan::image::{PushDef, ScanDef};
use crate::plan::names::{Names, Thing};
use crate::plan::policy::Severity;
use crate::syntax::document::Node;

use super::evidence::evidence;
use super::shape::not_a_word;
use super::view::{View, children};

/// A `scan` node.
pub(super) fn scan(view: &View<'_, '_>, node: &Node, names: &Names) -> ScanDef {
    let policy = view.prop(node, "policy").and_then(|value| view.text(value));
    let fail = view.prop(node, "fail").and_then(|value| view.text(value));
    let fail = fail.and_then(|(word, span)| severity(view, "fail", word, &span).map(|severity| (severity, span)));
    ScanDef {
        policy: policy.and_then(|(name, span)| Some((names.thing(view.cx, Thing::Policy, &name, &span)?, span))),
        fail,
        span: node.name.span.clone(),
    }
}

/// A severity; a word that is none is reported.
pub(super) fn severity(view: &View<'_, '_>, name: &str, word: String, span: &Span) -> Option<Severity> {
    let severity = Severity::read(&word);
    if severity.is_none() {
        view.cx.fault(not_a_word(&word, Severity::WORDS, name, span));
    }
    severity
}

/// The registries that an image is pushed to.
pub(super) fn pushes(view: &View<'_, '_>, node: &Node, names: &Names) -> Vec<PushDef> {
    let mut found: Vec<PushDef> = Vec::new();
    for child in children(view.cx, node, "push") {
        if child.args.is_empty() {
            let fault = Diagnostic::plan("plan::arguments", "`push` names no registry", &child.name.span, "to where?");
            view.cx.fault(fault.help("name the registries: `push ghcr`; declare them with `registry ghcr \"ghcr.io/acme\"`"));
        }
        let tagged = |child: &Node| child.name.text == "tag" || words::closest(&child.name.text, ["tag"]).is_some();
        if !node.children.iter().flatten().any(tagged) {
            let fault =
                Diagnostic::plan("plan::push-without-tag", "the image is pushed without a tag", &child.name.span, "nobody would find it");
            view.cx.fault(fault.help("say under which names it can be pulled: `tag \"latest\"`, or `tag semver`"));
        }
        let beside = evidence(view, child);
        for (name, span) in view.texts(&child.args) {
            let Some(full) = names.thing(view.cx, Thing::Registry, &name, &span) else { continue };
            if let Some(first) = found.iter().find(|known| known.registry == full) {
                let fault = Diagnostic::plan("plan::repeated", format!("it is pushed to `{name}` twice"), &span, "again here");
                view.cx.fault(fault.label(&first.span, "first here").help("leave one of them out"));
                continue;
            }
            found.push(PushDef { registry: full, span, evidence: beside.clone() });
        }
    }
    found
}
