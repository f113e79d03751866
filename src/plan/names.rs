//! The names of all targets, registries and policies, known before any of them is read, so that order does not matter.

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
    /// `group`.
    Group,
}

impl Sort {
    /// The word in the plan.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Image => "image",
            Self::Group => "group",
        }
    }
}

/// All names that other nodes may refer to.
pub(super) struct Names {
    targets: IndexMap<TargetName, (Sort, Span)>,
    /// Whether every target's name is known. If not, an unknown name may be one of the missing ones and is no fault of its own.
    complete: bool,
    registries: Vec<String>,
    policies: Vec<String>,
}

impl Names {
    /// Takes all names in. Instances whose name is taken already are reported and dropped.
    pub(super) fn new(
        cx: &Cx<'_>,
        instances: &mut Vec<Instance<'_>>,
        complete: bool,
        registries: Vec<String>,
        policies: Vec<String>,
    ) -> Self {
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
        Self { targets, complete, registries, policies }
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
            cx.fault(fault.help(self.suggest(text, self.targets.keys().map(TargetName::as_str).collect(), "targets")));
        }
        None
    }

    /// The image of the plan whose name a text most likely misses.
    pub(super) fn near_image(&self, text: &str) -> Option<&str> {
        let images = self.targets.iter().filter(|(_, (sort, _))| *sort == Sort::Image);
        words::closest(text, images.map(|(name, _)| name.as_str()))
    }

    /// Whether the text names a registry; a fault when it does not.
    pub(super) fn registry(&self, cx: &Cx<'_>, text: &str, span: &Span) -> bool {
        let known = self.registries.iter().any(|name| name == text);
        if !known && !cx.may_lack(&["registry"]) {
            let shown = words::shorten(&words::visible(text), 80);
            let fault = Diagnostic::plan("plan::unknown-registry", format!("there is no registry `{shown}`"), span, "unknown registry");
            let names: Vec<&str> = self.registries.iter().map(String::as_str).collect();
            cx.fault(if names.is_empty() {
                fault.help(format!("declare it: `registry {shown} \"ghcr.io/…\"`"))
            } else {
                fault.help(self.suggest(text, names, "registries"))
            });
        }
        known
    }

    /// Whether the text names a policy; a fault when it does not.
    pub(super) fn policy(&self, cx: &Cx<'_>, text: &str, span: &Span) -> bool {
        let known = self.policies.iter().any(|name| name == text);
        if !known && !cx.may_lack(&["policy"]) {
            let shown = words::shorten(&words::visible(text), 80);
            let fault = Diagnostic::plan("plan::unknown-policy", format!("there is no policy `{shown}`"), span, "unknown policy");
            let names: Vec<&str> = self.policies.iter().map(String::as_str).collect();
            cx.fault(if names.is_empty() {
                fault.help(format!("declare it: `policy {shown} {{ deny … }}`, or leave `policy=` out for the built-in one"))
            } else {
                fault.help(self.suggest(text, names, "policies"))
            });
        }
        known
    }

    fn suggest(&self, text: &str, names: Vec<&str>, noun: &str) -> String {
        match words::closest(text, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => format!("the plan has no {noun}"),
            None => format!("{noun} are: {}", words::shorten(&names.join(", "), 300)),
        }
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
    fault.label(first, "first declared here").help("tasks, images and groups share their names; rename one of them")
}
