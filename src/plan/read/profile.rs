//! `profile` nodes, and the environment that all tasks have: what the plan says at its top, and over it the chosen profiles.

use crate::base::diagnostic::{Class, Diagnostic};
use crate::base::id::TargetName;
use crate::plan::cx::{Cx, Met, Variables};
use crate::plan::expand::bad_name;
use crate::plan::param::ProfileDef;
use crate::plan::value::Locals;
use crate::syntax::document::{Node, Scalar, Value};

use super::env_file;
use super::project::check_env;
use super::view::{Pairs, View, children, shown};

/// The good `profile` nodes of a document with their names. A doubled name is reported once, and the first one holds.
pub(in crate::plan) fn declared<'a>(cx: &Cx<'_>, nodes: &'a [Node]) -> Vec<(&'a str, &'a Node)> {
    let mut found: Vec<(&str, &Node)> = Vec::new();
    for node in nodes.iter().filter(|node| node.name.text == "profile" && cx.is_good(node)) {
        let Some(Value { scalar: Scalar::String(name), span, .. }) = node.args.first() else { continue };
        if let Err(why) = name.parse::<TargetName>() {
            cx.fault(bad_name(name, why, span));
        } else if let Some((_, first)) = found.iter().find(|(known, _)| known == name) {
            let fault =
                Diagnostic::plan("plan::duplicate-name", format!("`profile {name}` is declared twice"), span, "declared again here");
            cx.fault(fault.label(&first.args[0].span, "first declared here").help("write one `profile` with all that it sets"));
        } else {
            found.push((name, node));
        }
    }
    found
}

/// The profiles that the command line, or KILN_PROFILE, names, in its order; one that is named
/// twice counts where it comes last. Names are those of the main document; an included file need not have each of them.
pub(in crate::plan) fn chosen<'a>(cx: &Cx<'_>, declared: &[(&'a str, &'a Node)], asked: &[String]) -> Vec<(&'a str, &'a Node)> {
    let mut found: Vec<(&str, &Node)> = Vec::new();
    for name in asked {
        match declared.iter().find(|(known, _)| known == name) {
            Some(profile) => {
                found.retain(|(known, _)| known != name);
                found.push(*profile);
            }
            None if !cx.prefix.is_empty() || cx.may_lack(&["profile"]) => {}
            None => {
                let fault = Diagnostic::new(Class::Usage, "plan::unknown-profile", format!("the plan has no profile `{}`", shown(name)));
                let names: Vec<&str> = declared.iter().map(|(name, _)| *name).collect();
                cx.fault(match cx.near(name, names.iter().copied()) {
                    Some(near) => fault.help(format!("did you mean `{near}`?")),
                    None if names.is_empty() => fault.help(format!("declare it: `profile \"{}\" {{ … }}`", shown(name))),
                    None => fault.help(format!("profiles are: {}", names.join(", "))),
                });
            }
        }
    }
    if cx.prefix.is_empty() {
        *cx.shared.chosen.borrow_mut() = found.iter().map(|(name, _)| (*name).to_owned()).collect();
    }
    found
}

/// All profiles as data.
pub(in crate::plan) fn profiles(cx: &Cx<'_>, declared: &[(&str, &Node)]) -> Vec<ProfileDef> {
    let locals = Locals::top();
    let view = View { cx, locals: &locals };
    let active = |name: &str| cx.profiles.get().is_some_and(|chosen| chosen.iter().any(|(known, _)| *known == name));
    declared
        .iter()
        .map(|(name, node)| ProfileDef {
            name: cx.full(name),
            doc: view.child_text(node, "doc").map(|(text, _)| text),
            active: active(name),
            span: node.args[0].span.clone(),
        })
        .collect()
}

/// The environment of all tasks: `env` wins over `env-file` beside it, a chosen profile over the top of the plan, a later
/// profile over an earlier one. With the stand-ins that it rests on.
pub(in crate::plan) fn environment(cx: &Cx<'_>, nodes: &[Node], declared: &[(&str, &Node)]) -> (Variables, Met) {
    let locals = Locals::top();
    let view = View { cx, locals: &locals };
    let mut all: Variables = Vec::new();
    let mut rests_on = Met::new();
    let mut lay = |(over, met): (Variables, Met)| {
        rests_on.extend(met);
        all.retain(|(known, _)| !over.iter().any(|(name, _)| name == known));
        all.extend(over);
    };
    lay(cx.watch(|| env_file::variables(&view, nodes.iter().filter(|node| node.name.text == "env-file"))));
    lay(cx.watch(|| variables(&view, nodes.iter().filter(|node| node.name.text == "env" && cx.is_good(node)))));
    // Those that are not chosen are checked all the same.
    let own: Vec<(&str, (Variables, Met))> =
        declared.iter().map(|(name, node)| (*name, cx.watch(|| variables(&view, children(cx, node, "env"))))).collect();
    for (name, node) in cx.profiles.get().into_iter().flatten() {
        lay(cx.watch(|| env_file::variables(&view, children(cx, node, "env-file"))));
        own.iter().filter(|(known, _)| known == name).for_each(|(_, pairs)| lay(pairs.clone()));
    }
    (all, rests_on)
}

/// The variables of `env` nodes, none of them twice.
fn variables<'n>(view: &View<'_, '_>, nodes: impl Iterator<Item = &'n Node>) -> Vec<(String, String)> {
    let mut pairs = Pairs::new();
    for prop in nodes.flat_map(|node| &node.props) {
        match check_env(&prop.name.text) {
            Err((why, help)) => {
                let message = format!("`{}` {why}", shown(&prop.name.text));
                view.cx.fault(Diagnostic::plan("plan::bad-name", message, &prop.name.span, "").help(help));
            }
            Ok(()) => {
                if let Some(text) = view.text(&prop.value) {
                    view.pair(&mut pairs, prop.name.text.clone(), &prop.name.span, text);
                }
            }
        }
    }
    pairs.into_iter().map(|(name, (value, _))| (name, value)).collect()
}
