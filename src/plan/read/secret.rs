//! `secret` nodes: at the top, where a value comes from; in a task, how it is given.

use indexmap::IndexMap;

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::id::TargetName;
use crate::plan::cx::Cx;
use crate::plan::expand::bad_name;
use crate::plan::secret::{SecretDef, SecretSource, SecretUse};
use crate::plan::value::Locals;
use crate::syntax::document::{Node, Scalar, Value};

use super::project::check_env;
use super::view::{View, children, shown, was_written};

/// All secrets of a document by name. One with a fault in its source is left out, and reported once.
pub(in crate::plan) fn declared(cx: &Cx<'_>, nodes: &[Node]) -> IndexMap<String, Option<SecretDef>> {
    let locals = Locals::top();
    let view = View { cx, locals: &locals };
    let mut found: IndexMap<String, Option<SecretDef>> = IndexMap::new();
    for node in nodes.iter().filter(|node| node.name.text == "secret") {
        let Some(Value { scalar: Scalar::String(name), span, .. }) = node.args.first() else { continue };
        if let Err(why) = name.parse::<TargetName>() {
            cx.fault(bad_name(name, why, span));
        } else if let Some(first) = found.get(name) {
            let fault = Diagnostic::plan("plan::duplicate-name", format!("`secret {name}` is declared twice"), span, "declared again here");
            let fault = first.iter().fold(fault, |fault, first| fault.label(&first.span, "first declared here"));
            cx.fault(fault.help("rename one of them"));
        } else {
            let def = if cx.is_good(node) { source(&view, node) } else { None };
            found.insert(name.clone(), def.map(|source| SecretDef { name: name.clone(), source, span: span.clone() }));
        }
    }
    found
}

fn source(view: &View<'_, '_>, node: &Node) -> Option<SecretSource> {
    match node.props.as_slice() {
        [one] => {
            let (text, span) = view.text(&one.value)?;
            match one.name.text.as_str() {
                "env" => {
                    if let Err((why, help)) = check_env(&text) {
                        view.cx.fault(Diagnostic::plan("plan::bad-name", format!("`{}` {why}", shown(&text)), &span, "").help(help));
                        return None;
                    }
                    Some(SecretSource::Env(text))
                }
                "file" => view.machine_path((text, span)).map(SecretSource::File),
                // A script is never searched for names.
                _ => match &one.value.scalar {
                    Scalar::String(script) => Some(SecretSource::Command(script.clone())),
                    _ => None,
                },
            }
        }
        [] => {
            let fault = Diagnostic::plan("plan::secret", "a secret does not say where its value comes from", &node.name.span, "no source");
            view.cx
                .fault(fault.help("write `env=\"NAME\"`, `file=\"path\"` or `command=\"script\"`; the value itself is never in the plan"));
            None
        }
        [first, second, ..] => {
            let fault = Diagnostic::plan("plan::secret", "a secret comes from one place", &second.name.span, "another source");
            view.cx.fault(fault.label(&first.name.span, "one source").help("leave one of them out"));
            None
        }
    }
}

/// The secrets that a task is given, sorted by variable.
pub(super) fn uses(view: &View<'_, '_>, node: &Node, env: &[(String, String)], pass_env: &[String]) -> Vec<SecretUse> {
    let mut found: Vec<SecretUse> = Vec::new();
    for child in children(view.cx, node, "secret") {
        found.extend(one(view, child));
    }
    found.sort_by(|a, b| a.variable.cmp(&b.variable));
    for (at, secret) in found.iter().enumerate() {
        let variable = &secret.variable;
        let fault = |message: String, help: &str| {
            view.cx.fault(Diagnostic::plan("plan::duplicate-name", message, &secret.span, "given here").help(help));
        };
        if found[..at].iter().any(|other| other.variable == *variable) {
            fault(format!("two secrets are given as `{variable}`"), "name the variable of one of them: `env=\"NAME\"`");
        } else if env.iter().any(|(name, _)| name == variable) || pass_env.contains(variable) {
            fault(format!("`{variable}` is in the environment already"), "a secret has a variable of its own: `env=\"NAME\"`");
        }
    }
    if let (Some(secret), Some(word)) = (found.first(), ["container", "exec-in"].iter().find(|word| was_written(node, word))) {
        let message = format!("a task with `{word}` cannot be given secrets in this edition of kiln yet");
        view.cx.fault(Diagnostic::plan("plan::not-yet", message, &secret.span, "not yet").help("give it to a task without a container"));
    }
    found
}

fn one(view: &View<'_, '_>, node: &Node) -> Option<SecretUse> {
    let (name, span) = view.text(node.args.first()?)?;
    let def = known(view, &name, &span)?;
    let (as_file, given) = match node.props.as_slice() {
        [] => (false, None),
        [one] => (one.name.text == "file", Some(view.text(&one.value)?)),
        [first, second, ..] => {
            let fault = Diagnostic::plan("plan::secret", "a secret is given in one way", &second.name.span, "another way");
            view.cx.fault(fault.label(&first.name.span, "one way").help("leave one of them out, or write two `secret` lines"));
            return None;
        }
    };
    let variable = match given {
        Some((text, span)) => {
            if let Err((why, help)) = check_env(&text) {
                view.cx.fault(Diagnostic::plan("plan::bad-name", format!("`{}` {why}", shown(&text)), &span, "").help(help));
                return None;
            }
            text
        }
        None => name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect(),
    };
    Some(SecretUse { name: view.cx.full(&name), source: def.source, variable, as_file, span })
}

/// The secret of this name; one that there is none of is reported, one with a fault of its own was.
pub(super) fn known(view: &View<'_, '_>, name: &str, span: &Span) -> Option<SecretDef> {
    let secrets = view.cx.secrets.get()?;
    if let Some(def) = secrets.get(name) {
        return def.clone();
    }
    if !view.cx.may_lack(&["secret"]) {
        let fault = Diagnostic::plan("plan::unknown-secret", format!("there is no secret `{}`", shown(name)), span, "unknown secret");
        view.cx.fault(match view.cx.near(name, secrets.keys().map(String::as_str)) {
            Some(near) => fault.help(format!("did you mean `{near}`?")),
            None => fault.help(format!("declare it at the top: `secret \"{}\" env=\"NAME\"`", shown(name))),
        });
    }
    None
}
