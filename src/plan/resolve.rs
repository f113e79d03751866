//! A document → the plan: the order of the stages.

use std::sync::Arc;

use indexmap::IndexMap;

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics, Span};
use crate::base::id::TargetName;
use crate::syntax::document::{Document, Node, Scalar, Value};

use super::cx::Cx;
use super::expand::{Instance, bad_name, instances};
use super::facts::{Facts, GitFact};
use super::include::Loaded;
use super::names::{Names, Sort, Thing};
use super::policy::PolicyDef;
use super::read::view::{View, children};
use super::read::{image, policy, project, service, shape, task};
use super::target::{Target, TargetKind};
use super::value::{bindings, engine};
use super::{Overrides, Plan, RegistryDef, Resolved, check, check_services, spec};

/// Resolves a plan: checks the form of every node, gives every name its value, writes out every repetition, and holds the
/// targets against each other.
///
/// Facts are asked only when a value needs them. The same documents, answers and overrides always give the same plan.
/// # Errors
/// Every fault of the plan at once, ordered by place, with the warnings among them.
pub fn resolve(documents: &Loaded, facts: &dyn Facts, overrides: &Overrides) -> Result<Resolved, Diagnostics> {
    let engine = engine::engine();
    let cx = Cx::new(facts, &engine);
    let document = &documents.main;
    documents.faults.as_slice().iter().for_each(|fault| cx.fault(fault.clone()));
    let plan = if edition(&cx, document) { Some(whole(&cx, &document.nodes, overrides)) } else { None };
    let finished = cx.finish();
    match (plan, finished.faults) {
        (Some(plan), None) => Ok(Resolved { plan, warnings: finished.warnings, facts_read: finished.facts_read }),
        (_, faults) => Err(faults.unwrap_or_default()),
    }
}

/// Checks the first node. False when the plan is in another edition, whose rules are not known here.
fn edition(cx: &Cx<'_>, document: &Document) -> bool {
    let found = document.nodes.iter().position(|node| node.name.text == "kiln");
    match found.map(|index| (index, &document.nodes[index])) {
        Some((0, node)) => match node.args.as_slice() {
            [Value { scalar: Scalar::Integer(1), .. }] | [] => {}
            [value, ..] => {
                let message = format!("this kiln reads edition 1, not {}", crate::base::words::visible(value.span.text()));
                let fault = Diagnostic::plan("plan::edition", message, &value.span, "another edition");
                cx.fault(fault.help("write `kiln 1`, or use a kiln that knows this edition"));
                return false;
            }
        },
        Some((_, node)) => {
            let fault = Diagnostic::plan("plan::edition", "`kiln` is not the first node", &node.name.span, "move it to the top");
            cx.fault(fault.help("the edition says how all the rest is read"));
        }
        None => {
            let first = document.nodes.first().map_or_else(|| Span::new(&document.source, 0, 0), |node| node.name.span.clone());
            let fault = Diagnostic::plan("plan::edition", "the plan does not say its edition", &first, "comes first");
            cx.fault(fault.help("write `kiln 1` as the first line"));
        }
    }
    true
}

fn whole<'a>(cx: &Cx<'a>, nodes: &'a [Node], overrides: &Overrides) -> Plan {
    shape::check(cx, nodes, &spec::TOP, None);
    bindings::declare(cx, nodes, overrides);
    let registries = named(cx, nodes, "registry");
    let policies = named(cx, nodes, "policy");
    let networks = named(cx, nodes, "network");
    let volumes = named(cx, nodes, "volume");
    let (mut instances, complete) = instances(cx, nodes);
    let names = Names::new(cx, &mut instances, complete, things(nodes));
    let common = project::environment(cx, nodes);
    let targets = instances.iter().filter_map(|instance| Some((instance.name.clone(), target(cx, instance, &names, &common)?))).collect();
    let plan = Plan {
        project: project::project(cx, nodes, &names),
        params: project::params(cx, nodes),
        registries: registries
            .into_iter()
            .filter_map(|(name, node)| Some((name.to_owned(), project::registry(cx, node, name)?)))
            .collect::<IndexMap<String, RegistryDef>>(),
        policies: policies
            .into_iter()
            .map(|(name, node)| (name.to_owned(), policy::policy(cx, node, name)))
            .collect::<IndexMap<String, PolicyDef>>(),
        networks: networks.into_iter().map(|(name, node)| (name.to_owned(), service::network(cx, node, name))).collect(),
        volumes: volumes.into_iter().map(|(name, node)| (name.to_owned(), service::volume(cx, node, name))).collect(),
        epoch: epoch(cx, &instances),
        targets,
    };
    check::check(cx, &plan);
    check_services::check(cx, &plan);
    plan
}

fn first_text(node: &Node) -> Option<&str> {
    match &node.args.first()?.scalar {
        Scalar::String(text) => Some(text),
        _ => None,
    }
}

/// All names that nodes at the top declare, good or not, so that whoever refers to one is not at fault.
fn things(nodes: &[Node]) -> Vec<(Thing, String)> {
    let thing = |node: &Node| {
        let thing = Thing::ALL.iter().find(|thing| thing.word() == node.name.text)?;
        Some((*thing, first_text(node)?.to_owned()))
    };
    nodes.iter().filter_map(thing).collect()
}

/// The good nodes of one kind with their names, none of them twice. Such names are parts of step names.
fn named<'a>(cx: &Cx<'_>, nodes: &'a [Node], word: &str) -> Vec<(&'a str, &'a Node)> {
    let mut found: Vec<(&str, &Node)> = Vec::new();
    for node in nodes.iter().filter(|node| node.name.text == word && cx.is_good(node)) {
        let Some(name) = first_text(node) else { continue };
        let span = &node.args[0].span;
        if let Err(why) = name.parse::<TargetName>() {
            cx.fault(bad_name(name, why, span));
        } else if let Some((_, first)) = found.iter().find(|(known, _)| *known == name) {
            let fault = Diagnostic::plan("plan::duplicate-name", format!("`{word} {name}` is declared twice"), span, "declared again here");
            cx.fault(fault.label(&first.args[0].span, "first declared here").help("rename one of them"));
        } else {
            found.push((name, node));
        }
    }
    found
}

fn target(cx: &Cx<'_>, instance: &Instance<'_>, names: &Names, common: &[(String, String)]) -> Option<Target> {
    let locals = instance.locals();
    let view = View { cx, locals: &locals };
    let node = instance.node;
    let listed = |word: &str| {
        let texts = children(cx, node, word).flat_map(|child| view.texts(&child.args)).collect();
        project::targets(cx, names, texts)
    };
    Some(Target {
        name: instance.name.clone(),
        doc: children(cx, node, "doc").next().and_then(|child| cx.text(&locals, child.args.first()?)),
        needs: listed("needs"),
        after: listed("after"),
        kind: match instance.sort {
            Sort::Task => TargetKind::Task(task::task(cx, instance, names, common).into_iter().map(Arc::new).collect()),
            Sort::Image => TargetKind::Image(image::image(cx, instance, names).into_iter().map(Arc::new).collect()),
            Sort::Service => TargetKind::Service(Box::new(service::service(cx, instance, names)?)),
            Sort::Group => TargetKind::Group(project::targets(cx, names, view.texts(&node.args[1..]))),
        },
        span: instance.span.clone(),
    })
}

/// The time that images carry. Nothing is asked when the plan has no image.
fn epoch(cx: &Cx<'_>, instances: &[Instance<'_>]) -> i64 {
    if !instances.iter().any(|instance| instance.sort == Sort::Image) {
        return 0;
    }
    let read = |text: &str, from: &str| {
        let seconds = text.parse::<i64>().ok().filter(|seconds| (0..=253_402_300_799).contains(seconds));
        if seconds.is_none() {
            let message = format!("{from} is `{}`, not a number of seconds since 1970", crate::base::words::visible(text));
            cx.fault(
                Diagnostic::new(Class::Environment, "plan::epoch", message)
                    .help("set SOURCE_DATE_EPOCH to what `date +%s` prints, or unset it"),
            );
        }
        seconds.unwrap_or_default()
    };
    if let Some(text) = cx.facts.env("SOURCE_DATE_EPOCH") {
        return read(&text, "SOURCE_DATE_EPOCH");
    }
    match cx.facts.git(GitFact::Time) {
        Ok(Some(text)) => read(&text, "the commit's time"),
        Ok(None) => 0,
        Err(error) => {
            let message = format!("the commit's time cannot be read: {}", crate::base::words::visible(&error.to_string()));
            cx.fault(Diagnostic::new(Class::Environment, "plan::fact", message).help("set SOURCE_DATE_EPOCH, so that it is not needed"));
            0
        }
    }
}
