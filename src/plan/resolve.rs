//! A document → the plan: the order of the stages.

use std::sync::Arc;

use indexmap::IndexMap;

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::base::id::TargetName;
use crate::syntax::document::Node;

use super::arg::Call;
use super::basis::{self, Used};
use super::cx::Cx;
use super::evidence::Asked;
use super::expand::{Instance, bad_name};
use super::facts::{Facts, GitFact};
use super::include::Loaded;
use super::matrix::MatrixCell;
use super::names::{Names, Sort};
use super::read::defaults::{self, Defaults};
use super::read::view::{View, children};
use super::read::{arg, image, params, policy, profile, project, secret, service, task, tool, when};
use super::scope::{Scope, first_text, scopes};
use super::target::{Target, TargetKind};
use super::template::{Written, write_out};
use super::undecided::Undecided;
use super::value::engine;
use super::{Overrides, Plan, Project, Resolved, check, check_policies, check_services};

/// Resolves a plan: checks the form of every node, gives every name its value, writes out every repetition, and holds the
/// targets against each other.
///
/// Facts are asked only when a value needs them. The same documents, answers and overrides always give the same plan.
/// # Errors
/// Every fault of the plan at once, ordered by place, with the warnings among them.
pub fn resolve(documents: &Loaded, facts: &dyn Facts, overrides: &Overrides) -> Result<Resolved, Diagnostics> {
    let engine = engine::engine();
    let Written { documents: nodes, used, frames, faults } = write_out(documents);
    let cx = Cx::new(facts, overrides, &engine, frames);
    faults.into_iter().chain(documents.faults.clone()).for_each(|fault| cx.fault(fault));
    let scopes = scopes(&cx, documents, &nodes, &used, overrides);
    let plan = (!scopes.is_empty()).then(|| whole(&cx, &scopes, &overrides.calls));
    let finished = cx.finish();
    match (plan, finished.faults) {
        (Some((mut plan, undecided)), None) => {
            plan.asked_for = Arc::new(Asked::of(documents, &plan, overrides));
            Ok(Resolved { plan, warnings: finished.warnings, facts_read: finished.facts_read, undecided, asks: finished.asks })
        }
        (_, faults) => Err(faults.unwrap_or_default()),
    }
}

fn whole(cx: &Cx<'_>, scopes: &[Scope<'_>], calls: &[Call]) -> (Plan, Undecided) {
    let mut names = Names::default();
    let instances: Vec<Vec<Instance<'_>>> = scopes.iter().map(|scope| cx.shaping(|| names.take(scope))).collect();
    let mut plan = Plan {
        project: Project::default(),
        params: IndexMap::new(),
        profiles: Vec::new(),
        secrets: IndexMap::new(),
        asked: IndexMap::new(),
        registries: IndexMap::new(),
        policies: IndexMap::new(),
        networks: IndexMap::new(),
        volumes: IndexMap::new(),
        tools: Vec::new(),
        targets: IndexMap::with_capacity(instances.iter().map(Vec::len).sum()),
        basis: IndexMap::new(),
        asked_for: Arc::default(),
        epoch: 0,
    };
    let mut undecided = Undecided::default();
    for (scope, instances) in scopes.iter().zip(&instances) {
        let Scope { cx, nodes, .. } = scope;
        let secrets = cx.secrets.get_or_init(|| cx.shaping(|| secret::declared(cx, nodes)));
        plan.secrets.extend(secrets.values().flatten().map(|def| (cx.full(&def.name), def.clone())));
        let profiles = profile::declared(cx, nodes);
        let ((env, mut common_rests_on), mut common_basis) = cx.facts.basis.during(|| profile::environment(cx, nodes, &profiles));
        let ((common, met), basis) = cx.facts.basis.during(|| cx.watch(|| defaults::defaults(cx, nodes, env)));
        common_rests_on.extend(met);
        common_basis.extend(basis);
        for instance in instances {
            let whole = || instance.cell_name(&MatrixCell::none(), None);
            let (target, mut met) = cx.watch(|| cx.in_cell(&instance.locals(), whole, || target(cx, instance, &names, &common, calls)));
            if instance.sort == Sort::Task {
                met.extend(common_rests_on.iter().cloned());
            }
            if !met.is_empty() {
                undecided.targets.insert(instance.name.clone(), met);
            }
            plan.targets.extend(target.map(|mut target| {
                if instance.sort == Sort::Task {
                    target.basis = common_basis.iter().chain(&target.basis).copied().collect::<Used>().into_iter().collect();
                }
                (instance.name.clone(), target)
            }));
        }
        if cx.prefix.is_empty() {
            plan.project = project::project(cx, nodes, &names);
        }
        plan.params.extend(params::params(cx, nodes, &profiles));
        plan.profiles.extend(profile::profiles(cx, &profiles));
        plan.asked.extend(cx.asked_values());
        for (name, node) in named(cx, nodes, "registry") {
            let (registry, met) = cx.watch(|| project::registry(cx, node, &name));
            // From the host of an insecure one everybody may take something without TLS.
            if registry.as_ref().is_none_or(|registry| registry.insecure) {
                undecided.whole.extend(met);
            } else if !met.is_empty() {
                undecided.registries.insert(name.clone(), met);
            }
            plan.registries.extend(registry.map(|registry| (name, registry)));
        }
        let policies = named(cx, nodes, "policy").into_iter();
        plan.policies.extend(policies.map(|(name, node)| (name.clone(), cx.shaping(|| policy::policy(cx, node, &name)))));
        let networks = named(cx, nodes, "network").into_iter();
        plan.networks.extend(networks.map(|(name, node)| (name.clone(), cx.shaping(|| service::network(cx, node, &name)))));
        let volumes = named(cx, nodes, "volume").into_iter();
        cx.shaping(|| tool::tools(cx, nodes, &mut plan.tools));
        plan.volumes.extend(volumes.map(|(name, node)| (name.clone(), cx.shaping(|| service::volume(cx, node, &name)))));
    }
    if instances.iter().flatten().any(|instance| instance.sort == Sort::Image) {
        plan.epoch = epoch(cx);
    }
    check::check(cx, &plan);
    check_services::check(cx, &plan);
    check_policies::check(cx, &plan, &undecided);
    undecided.whole.extend(cx.shared.shape.take());
    plan.basis = cx.facts.basis.values();
    (plan, undecided)
}

/// The good nodes of one kind with their full names, none of them twice. Such names are parts of step names.
fn named<'a>(cx: &Cx<'_>, nodes: &'a [Node], word: &str) -> IndexMap<String, &'a Node> {
    let mut found: IndexMap<String, &Node> = IndexMap::new();
    for node in nodes.iter().filter(|node| node.name.text == word && cx.is_good(node)) {
        let Some(name) = first_text(node) else { continue };
        let span = &node.args[0].span;
        if let Err(why) = name.parse::<TargetName>() {
            cx.fault(bad_name(name, why, span));
        } else if let Some(first) = found.get(&cx.full(name)) {
            let fault = Diagnostic::plan("plan::duplicate-name", format!("`{word} {name}` is declared twice"), span, "declared again here");
            cx.fault(fault.label(&first.args[0].span, "first declared here").help("rename one of them"));
        } else {
            found.insert(cx.full(name), node);
        }
    }
    found
}

fn target(cx: &Cx<'_>, instance: &Instance<'_>, names: &Names, common: &Defaults, calls: &[Call]) -> Option<Target> {
    let (taken, mut basis) = cx.facts.basis.during(|| arg::arguments(cx, instance, calls));
    let mut locals = instance.locals();
    locals.vars.extend(taken.vars.iter().cloned());
    let view = View { cx, locals: &locals };
    let node = instance.node;
    let listed = |word: &str| {
        let texts = children(cx, node, word).flat_map(|child| view.texts(&child.args)).collect();
        project::targets(cx, names, texts)
    };
    let kind = || {
        cx.facts.basis.note("profile", || Some(basis::text(&cx.shared.chosen.borrow().join(","))));
        Some(match instance.sort {
            Sort::Task => TargetKind::Task(task::task(cx, instance, names, common, &taken)),
            Sort::Image => TargetKind::Image(image::image(cx, instance, names)),
            Sort::Service => TargetKind::Service(Box::new(service::service(cx, instance, names)?)),
            Sort::Group => TargetKind::Group(project::targets(cx, names, view.texts(&node.args[1..]))),
        })
    };
    let doc = children(cx, node, "doc").next().and_then(|child| cx.text(&locals, child.args.first()?));
    let (needs, after) = (listed("needs"), listed("after"));
    // A condition decides whether there are steps, not what they are.
    let (kind, used) = cx.facts.basis.during(kind);
    basis.extend(used);
    Some(Target {
        name: instance.name.clone(),
        doc,
        needs,
        after,
        kind: kind?,
        basis: basis.into_iter().collect(),
        left_out: when::left_out(&view, node, &instance.span),
        args: taken.declared,
        span: instance.span.clone(),
    })
}

/// The time that images carry.
fn epoch(cx: &Cx<'_>) -> i64 {
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
