//! Names without a value: which one it is, why, and what to do about it.
//! In: an expression and the values of its names. Out: a [`Diagnostic`]. Never: looks a name up.

use std::collections::BTreeMap;

use minijinja::Value as Resolved;
use minijinja::value::ValueKind;

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::words;

use super::NoPlatform;
use super::template::{Compiled, Dotted};

/// What `platform` lacks where it has no value.
pub(super) fn no_platform(why: NoPlatform, span: &Span) -> Diagnostic {
    let (message, help) = match why {
        NoPlatform::Top => ("`platform` has a value only inside a task or an image", "move this to where it is used"),
        NoPlatform::Whole => {
            ("`platform` differs from step to step, and this holds for all of them", "use `matrix` or `each` for what differs here")
        }
        NoPlatform::Unlisted => ("`platform` has no value: the task lists no `platforms`", "list them: `platforms amd64 arm64`"),
    };
    Diagnostic::plan("plan::undefined", message, span, "has no value here").help(help)
}

/// Which name left an expression without a value, and what to do about it.
pub(super) fn undefined(compiled: &Compiled<'_>, absent: Option<&Dotted>, values: &BTreeMap<String, Resolved>) -> Diagnostic {
    if let Some(name) = absent {
        let why = match name.text.as_str() {
            "git.tag" => "no tag points at the commit",
            "git.branch" => "the head is on no branch",
            "project.version" => "`project` has no `version=`",
            _ if name.second().is_none() => "`include` gives it to other cells of the matrix only",
            _ if name.root() == "git" => "this is not a repository with a commit",
            _ if name.root() == "ci" => "this is not a run of a known CI system",
            _ => "the variable is not set",
        };
        let fault = Diagnostic::plan("plan::undefined", format!("`{}` has no value: {why}", name.text), &name.span, "has no value here");
        return fault.help(format!("say what holds then: `{}|default('…')`", name.text));
    }
    for name in &compiled.names {
        let mut at = values.get(name.root()).cloned();
        let mut path = name.root().to_owned();
        for key in name.text.split('.').skip(1) {
            let Some(map) = at else { break };
            let next = map.get_attr(key).ok().filter(|value| !value.is_undefined());
            if next.is_none() {
                let keys: Vec<String> = map.try_iter().into_iter().flatten().map(|key| key.to_string()).collect();
                let fault = Diagnostic::plan("plan::undefined", format!("`{path}` has no `{key}`"), &name.span, "has no value");
                let near = words::closest(key, keys.iter().map(String::as_str));
                return match near {
                    Some(near) => fault.help(format!("did you mean `{near}`?")),
                    None if keys.is_empty() || map.kind() != ValueKind::Map => fault,
                    None => fault.help(format!("it has: {}", words::shorten(&keys.join(", "), 200))),
                };
            }
            at = next;
            path = format!("{path}.{key}");
        }
    }
    let shown = words::shorten(&words::visible(compiled.span.text()), 80);
    let fault = Diagnostic::plan("plan::undefined", format!("`{shown}` has no value"), &compiled.span, "has no value");
    fault.help(format!("say what holds then: `{shown}|default('…')`"))
}
