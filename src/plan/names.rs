//! The names of all targets, registries, policies, networks and volumes, known before any of them is read, so that order does not matter.

use indexmap::IndexMap;

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::id::TargetName;
use crate::base::words;

use super::cx::Cx;
use super::expand::Instance;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
            Self::Registry => format!("declare it: `registry {name} \"ghcr.io/…\"`"),
            Self::Policy => {
                format!("declare it at the top of the plan: `policy {name} {{ deny … }}`; without a name the built-in one counts")
            }
            Self::Network | Self::Volume => format!("declare it at the top of the plan: `{} {name}`", self.word()),
        }
    }
}

/// All names that other nodes may refer to.
pub(super) struct Names {
    targets: IndexMap<TargetName, (Sort, Span)>,
    /// Whether every target's name is known. If not, an unknown name may be one of the missing ones and is no fault of its own.
    complete: bool,
    things: Vec<(Thing, String)>,
}

impl Names {
    /// Takes all names in. Instances whose name is taken already are reported and dropped.
    pub(super) fn new(cx: &Cx<'_>, instances: &mut Vec<Instance<'_>>, complete: bool, things: Vec<(Thing, String)>) -> Self {
        let mut targets: IndexMap<TargetName, (Sort, Span)> = IndexMap::new();
        instances.retain(|instance| {
            if let Some((sort, first)) = targets.get(&instance.name) {
                cx.fault(duplicate(instance, *sort, first));
                return false;
            }
            if !instance.name.as_str().is_ascii() {
                let message = format!("the name `{}` has letters that can be mistaken for others", instance.name);
                let fault = Diagnostic::plan("plan::lookalike", message, &instance.span, "not only a-z, A-Z and 0-9");
                cx.fault(fault.help("names are typed on command lines; plain letters are safer").warning());
            }
            targets.insert(instance.name.clone(), (instance.sort, instance.span.clone()));
            true
        });
        Self { targets, complete, things }
    }

    /// What the target of this name is.
    pub(super) fn sort(&self, name: &str) -> Option<Sort> {
        let name: TargetName = name.parse().ok()?;
        self.targets.get(&name).map(|(sort, _)| *sort)
    }

    /// The target that a text names; a fault when there is none.
    pub(super) fn target(&self, cx: &Cx<'_>, text: &str, span: &Span) -> Option<TargetName> {
        if let Ok(name) = text.parse::<TargetName>()
            && self.targets.contains_key(&name)
        {
            return Some(name);
        }
        if self.complete {
            let shown = words::shorten(&words::visible(text), 80);
            let fault = Diagnostic::plan("plan::unknown-target", format!("there is no target `{shown}`"), span, "unknown target");
            cx.fault(fault.help(suggest(text, self.targets.keys().map(TargetName::as_str).collect(), "targets")));
        }
        None
    }

    /// The image of the plan whose name a text most likely misses.
    pub(super) fn near_image(&self, text: &str) -> Option<&str> {
        let images = self.targets.iter().filter(|(_, (sort, _))| *sort == Sort::Image);
        words::closest(text, images.map(|(name, _)| name.as_str()))
    }

    /// The names of all services.
    pub(super) fn services(&self) -> Vec<&str> {
        self.targets.iter().filter(|(_, (sort, _))| *sort == Sort::Service).map(|(name, _)| name.as_str()).collect()
    }

    /// Whether the plan declares a thing of this name; a fault when it does not.
    pub(super) fn knows(&self, cx: &Cx<'_>, thing: Thing, text: &str, span: &Span) -> bool {
        let names: Vec<&str> = self.things.iter().filter(|(kind, _)| *kind == thing).map(|(_, name)| name.as_str()).collect();
        let known = names.contains(&text);
        if !known && !cx.may_lack(&[thing.word()]) {
            let shown = words::shorten(&words::visible(text), 80);
            let message = format!("there is no {} `{shown}`", thing.word());
            let fault = Diagnostic::plan(thing.unknown(), message, span, format!("unknown {}", thing.word()));
            cx.fault(fault.help(if names.is_empty() { thing.declare(&shown) } else { suggest(text, names, thing.plural()) }));
        }
        known
    }
}

fn suggest(text: &str, names: Vec<&str>, noun: &str) -> String {
    match words::closest(text, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => format!("the plan has no {noun}"),
        None => format!("{noun} are: {}", words::shorten(&names.join(", "), 300)),
    }
}

fn duplicate(instance: &Instance<'_>, sort: Sort, first: &Span) -> Diagnostic {
    let name = &instance.name;
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
