//! The names of all targets, registries, policies, networks and volumes, known before any of them is read, so that order does not matter.

use indexmap::{IndexMap, IndexSet};

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::id::TargetName;
use crate::base::words;
use crate::syntax::document::Node;

use super::cx::Cx;
use super::expand::{Instance, instances};
use super::scope::{Scope, first_text};

/// What a target was declared as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// `task`.
    Task,
    /// `image`.
    Image,
    /// `service`.
    Service,
    /// `group`.
    Group,
}

impl Sort {
    /// The word in the plan.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Image => "image",
            Self::Service => "service",
            Self::Group => "group",
        }
    }
}

/// Things at the top of a plan that are no targets, and that other nodes refer to by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Thing {
    /// `registry`.
    Registry,
    /// `policy`.
    Policy,
    /// `network`.
    Network,
    /// `volume`.
    Volume,
}

impl Thing {
    /// All of them.
    pub(super) const ALL: &'static [Self] = &[Self::Registry, Self::Policy, Self::Network, Self::Volume];

    /// The word in the plan.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Policy => "policy",
            Self::Network => "network",
            Self::Volume => "volume",
        }
    }

    const fn plural(self) -> &'static str {
        match self {
            Self::Registry => "registries",
            Self::Policy => "policies",
            Self::Network => "networks",
            Self::Volume => "volumes",
        }
    }

    const fn unknown(self) -> &'static str {
        match self {
            Self::Registry => "plan::unknown-registry",
            Self::Policy => "plan::unknown-policy",
            Self::Network => "plan::unknown-network",
            Self::Volume => "plan::unknown-volume",
        }
    }

    /// What to write when the plan declares none of them.
    fn declare(self, name: &str) -> String {
        match self {
            Self::Registry if name.contains(['/', '.']) => {
                let place = name.rsplit_once('/').map_or(name, |(place, _)| place);
                format!("declare it at the top, `registry main \"{place}\"`, and write `push main`; tags stand in `tag`")
            }
            Self::Registry => format!("declare it: `registry {name} \"ghcr.io/…\"`"),
            Self::Policy => {
                format!("declare it at the top of the plan: `policy {name} {{ deny … }}`; without a name the built-in one counts")
            }
            Self::Network | Self::Volume => format!("declare it at the top of the plan: `{} {name}`", self.word()),
        }
    }
}

/// All names that other nodes may refer to, each as the whole plan knows it: `ci:test`.
#[derive(Default)]
pub(super) struct Names {
    targets: IndexMap<TargetName, (Sort, Span)>,
    /// What stands before names that are not known because a file is missing. Whoever uses such a name is not at fault.
    missing: Vec<String>,
    /// The same for targets alone: a name that has no value leaves its target out.
    incomplete: Vec<String>,
    things: IndexSet<(Thing, String)>,
}

impl Names {
    /// Takes all names of a document in, and gives its targets. Those whose name is taken already are reported and dropped.
    pub(super) fn take<'a>(&mut self, scope: &Scope<'a>) -> Vec<Instance<'a>> {
        let Scope { cx, nodes, missing } = scope;
        let (mut instances, complete) = instances(cx, nodes);
        self.missing.extend(missing.iter().cloned());
        self.incomplete.extend((!complete).then(|| cx.prefix.clone()));
        instances.retain(|instance| {
            if let Some((sort, first)) = self.targets.get(&instance.name) {
                cx.fault(duplicate(instance, *sort, first));
                return false;
            }
            if !instance.name.as_str().is_ascii() {
                let message = format!("the name `{}` has letters that can be mistaken for others", instance.name);
                let fault = Diagnostic::plan("plan::lookalike", message, &instance.span, "not only a-z, A-Z and 0-9");
                cx.fault(fault.help("names are typed on command lines; plain letters are safer").warning());
            }
            self.targets.insert(instance.name.clone(), (instance.sort, instance.span.clone()));
            true
        });
        // Good or not, so that whoever refers to one is not at fault.
        let thing = |node: &Node| {
            let thing = Thing::ALL.iter().find(|thing| thing.word() == node.name.text)?;
            Some((*thing, cx.full(first_text(node)?)))
        };
        self.things.extend(nodes.iter().filter_map(thing));
        instances
    }

    /// The target that a document calls by this name, and what it is.
    pub(super) fn sort(&self, cx: &Cx<'_>, name: &str) -> Option<(TargetName, Sort)> {
        let name: TargetName = cx.full(name).parse().ok()?;
        self.targets.get(&name).map(|(sort, _)| (name, *sort))
    }

    /// The target that a text names; a fault when there is none.
    pub(super) fn target(&self, cx: &Cx<'_>, text: &str, span: &Span) -> Option<TargetName> {
        if let Some((name, _)) = self.sort(cx, text) {
            return Some(name);
        }
        let full = cx.full(text);
        if !cx.is_undeclared(text) && !self.missing.iter().chain(&self.incomplete).any(|prefix| may_hold(prefix, cx, &full)) {
            let shown = words::shorten(&words::visible(text), 80);
            let fault = Diagnostic::plan("plan::unknown-target", format!("there is no target `{shown}`"), span, "unknown target");
            if !cx.may_search(self.targets.len()) {
                cx.fault(fault);
                return None;
            }
            let names = self.targets.keys().filter_map(|name| name.as_str().strip_prefix(&cx.prefix));
            cx.fault(if self.targets.keys().any(|name| name.as_str() == text) {
                fault.help(format!(
                    "`{shown}` belongs to a file that includes this one, which sees only its own targets and those it includes"
                ))
            } else {
                let names: Vec<&str> = names.collect();
                fault.help(whole_target(text, &names).unwrap_or_else(|| suggest(text, names, "targets")))
            });
        }
        None
    }

    /// The image of the document whose name a text most likely misses.
    pub(super) fn near_image(&self, cx: &Cx<'_>, text: &str) -> Option<&str> {
        let images = self.targets.iter().filter(|(_, (sort, _))| *sort == Sort::Image);
        let names = images.filter_map(|(name, _)| name.as_str().strip_prefix(&cx.prefix));
        cx.may_search(self.targets.len()).then(|| words::closest(text, names)).flatten()
    }

    /// The names of all services of the document.
    pub(super) fn services(&self, cx: &Cx<'_>) -> Vec<&str> {
        let services = self.targets.iter().filter(|(_, (sort, _))| *sort == Sort::Service);
        services.filter_map(|(name, _)| name.as_str().strip_prefix(&cx.prefix)).collect()
    }

    /// The full name of what a text names; a fault when there is none.
    pub(super) fn thing(&self, cx: &Cx<'_>, thing: Thing, text: &str, span: &Span) -> Option<String> {
        let full = cx.full(text);
        let looked_up = (thing, full);
        if self.things.contains(&looked_up) {
            return Some(looked_up.1);
        }
        let full = looked_up.1;
        if !self.missing.iter().any(|prefix| may_hold(prefix, cx, &full)) && !cx.may_lack(&[thing.word()]) {
            let shown = words::shorten(&words::visible(text), 80);
            let message = format!("there is no {} `{shown}`", thing.word());
            let fault = Diagnostic::plan(thing.unknown(), message, span, format!("unknown {}", thing.word()));
            if !cx.may_search(self.things.len()) {
                cx.fault(fault);
                return None;
            }
            let of_kind = self.things.iter().filter(|(kind, _)| *kind == thing);
            let names: Vec<&str> = of_kind.filter_map(|(_, name)| name.strip_prefix(&cx.prefix)).collect();
            cx.fault(fault.help(if names.is_empty() { thing.declare(&shown) } else { suggest(text, names, thing.plural()) }));
        }
        None
    }
}

/// Whether a name that a document uses, `full` in the whole plan, may be one of those behind this prefix.
fn may_hold(prefix: &str, cx: &Cx<'_>, full: &str) -> bool {
    prefix == cx.prefix || (prefix.len() > cx.prefix.len() && full.starts_with(prefix))
}

/// What to write for a step or a cell of a target, `web/build`, `test[os=linux]`, and for labels of other tools, `//lib:core`.
fn whole_target(text: &str, names: &[&str]) -> Option<String> {
    let target = text.split(['[', '@']).next().unwrap_or(text);
    let target = target.split_once('/').filter(|(target, _)| !target.is_empty()).map_or(target, |(target, _)| target);
    if target != text && names.contains(&target) {
        return Some(format!("targets are named whole: write `{}`, which stands for all its steps and cells", words::visible(target)));
    }
    let last = text.rsplit(['/', ':', '+']).next().unwrap_or(text);
    (last != text && names.contains(&last)).then(|| format!("did you mean `{last}`?"))
}

fn suggest(text: &str, names: Vec<&str>, noun: &str) -> String {
    let included = names.iter().copied().find(|name| name.strip_suffix(text).is_some_and(|rest| rest.ends_with(':')));
    match included.or_else(|| words::closest(text, names.iter().copied())) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => format!("the plan has no {noun}"),
        None => format!("{noun} are: {}", words::shorten(&names.join(", "), 300)),
    }
}

fn duplicate(instance: &Instance<'_>, sort: Sort, first: &Span) -> Diagnostic {
    let name = &instance.name;
    if *first == instance.span && first.frame != instance.span.frame {
        let message = format!("a template makes two targets called `{name}`");
        let fault = Diagnostic::plan("plan::duplicate-target", message, &instance.span, "the same name for every use");
        return fault
            .help("give the template a param and put it into the name: `template \"build\" name { task \"build-${name}\" { … } }`");
    }
    if *first == instance.span {
        let message = format!("`each` makes two targets called `{name}`");
        let help =
            instance.vars.last().map_or_else(String::new, |var| format!("put the value into the name: `\"{name}-${{{}}}\"`", var.name));
        return Diagnostic::plan("plan::duplicate-target", message, &instance.span, "the same name for every value").help(help);
    }
    let message = if sort == instance.sort {
        format!("two {}s are called `{name}`", sort.word())
    } else {
        format!("{} and {} are called `{name}`", words::with_article(sort.word()), words::with_article(instance.sort.word()))
    };
    let fault = Diagnostic::plan("plan::duplicate-target", message, &instance.span, "declared again here");
    fault.label(first, "first declared here").help("tasks, images, services and groups share their names; rename one of them")
}
