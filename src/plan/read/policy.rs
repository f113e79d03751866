//! `policy` nodes.

use std::time::Duration;

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::size::ByteSize;
use crate::base::time::Day;
use crate::base::words;
use crate::plan::policy::{Allowance, Condition, CustomRule, Field, Level, PolicyDef, Rule, Test, Waiver};
use crate::plan::value::Locals;
use crate::syntax::document::Node;

use super::release::severity as severity_of;
use super::shape::not_a_word;
use super::view::{Text, View, children, duration, from_str, shown, size, was_written};
use crate::plan::cx::Cx;

/// One policy under its name.
pub(in crate::plan) fn policy(cx: &Cx<'_>, node: &Node, name: &str) -> PolicyDef {
    let locals = Locals::top();
    let view = View { cx, locals: &locals };
    let mut def = PolicyDef {
        name: name.to_owned(),
        rules: Vec::new(),
        custom: Vec::new(),
        max_age: None,
        waivers: Vec::new(),
        allow: Vec::new(),
        span: node.name.span.clone(),
    };
    for child in node.children.iter().flatten().filter(|child| cx.is_good(child)) {
        match child.name.text.as_str() {
            "deny" => rules(&view, child, Level::Deny, &mut def),
            "warn" => rules(&view, child, Level::Warn, &mut def),
            "max-size" => max_size(&view, child, &mut def),
            "max-age" => def.max_age = max_age(&view, child),
            "rule" => custom(&view, child, &mut def),
            _ => {}
        }
    }
    for child in children(cx, node, "allow") {
        def.allow.extend(allowance(&view, child));
    }
    for child in children(cx, node, "waive") {
        waive(&view, child, &mut def);
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
    let Some(level) = level(view, node) else { return };
    add(view, def, Rule::MaxSize(limit), level, node.name.span.clone());
}

/// The level behind the first argument; `None` for a word that is none, which is reported.
fn level(view: &View<'_, '_>, node: &Node) -> Option<Level> {
    let Some(value) = node.args.get(1) else { return Some(Level::Deny) };
    let (word, span) = view.text(value)?;
    match word.as_str() {
        "warn" => Some(Level::Warn),
        "deny" => Some(Level::Deny),
        _ => {
            view.cx.fault(not_a_word(&word, &["warn", "deny"], &node.name.text, &span));
            None
        }
    }
}

fn max_age(view: &View<'_, '_>, node: &Node) -> Option<(Duration, Level, Span)> {
    let age = view.parsed(view.text(node.args.first()?)?, "plan::bad-duration", |text| match duration(text)? {
        age if age.is_zero() => Err("no image is younger than no time".to_owned()),
        age => Ok(age),
    });
    Some((age?, level(view, node)?, node.name.span.clone()))
}

/// A rule of the plan's own.
fn custom(view: &View<'_, '_>, node: &Node, def: &mut PolicyDef) {
    let (Some((name, span)), Some(level)) = (view.text(&node.args[0]), level(view, node)) else { return };
    let severity = view.prop(node, "severity").and_then(|value| view.text(value));
    let severity = severity.and_then(|(word, span)| severity_of(view, "severity", word, &span));
    let first = def.custom.iter().find(|rule| rule.name == name).map(|rule| &rule.span);
    if let Some(first) = first {
        let fault = Diagnostic::plan("plan::duplicate-name", format!("the rule `{}` is written twice", shown(&name)), &span, "again here");
        view.cx.fault(fault.label(first, "first written here").help("rename one of them"));
        return;
    }
    if Rule::WORDS.iter().any(|(word, _)| *word == name) {
        let fault = Diagnostic::plan("plan::duplicate-name", format!("`{name}` is a rule of kiln itself"), &span, "taken");
        view.cx.fault(fault.help("give your rule another name"));
        return;
    }
    let written: Vec<&Node> = children(view.cx, node, "where").collect();
    if written.is_empty() && !was_written(node, "where") {
        let fault = Diagnostic::plan("plan::empty", format!("the rule `{}` has no condition", shown(&name)), &span, "fits everything");
        view.cx.fault(fault.help("say what breaks it: `where \"label.external\" is=\"true\"`"));
    }
    let conditions = written.into_iter().filter_map(|child| condition(view, child)).collect();
    let doc = view.child_text(node, "doc").map(|(text, _)| text);
    def.custom.push(CustomRule { name, level, severity, doc, conditions, span });
}

fn condition(view: &View<'_, '_>, node: &Node) -> Option<Condition> {
    let (text, span) = view.text(node.args.first()?)?;
    let field = match text.split_once('.') {
        Some(("label", name)) if !name.is_empty() => Field::Label(name.to_owned()),
        Some(("env", name)) if !name.is_empty() => Field::Env(name.to_owned()),
        _ => match Field::PLAIN.iter().find(|(word, _)| *word == text) {
            Some((word, _)) => Field::Plain((*word).to_owned()),
            None => {
                let fault = Diagnostic::plan("plan::unknown-field", format!("a rule cannot look at `{}`", shown(&text)), &span, "unknown");
                let words = Field::PLAIN.iter().map(|(word, _)| *word);
                view.cx.fault(match words::closest(&text, words.clone()) {
                    Some(near) => fault.help(format!("did you mean `{near}`?")),
                    None => fault.help(format!("it can look at: label.NAME, env.NAME, {}", words.collect::<Vec<_>>().join(", "))),
                });
                return None;
            }
        },
    };
    let [prop] = node.props.as_slice() else {
        let at = node.props.get(1).map_or(&node.name.span, |second| &second.name.span);
        let fault = Diagnostic::plan("plan::arguments", "`where` asks one thing", at, "what of it?");
        view.cx.fault(fault.help("write `is=`, `not=`, `has=`, `above=`, `below=` or `set=`, and another `where` for another condition"));
        return None;
    };
    let value = view.prop(node, &prop.name.text)?;
    let test = match prop.name.text.as_str() {
        "set" => Test::Set(view.flag_prop(node, "set")),
        word => {
            let text = view.text(value)?;
            match word {
                "is" => Test::Is(text.0),
                "not" => Test::Not(text.0),
                "has" => Test::Has(text.0),
                "above" => Test::Above(view.parsed(text, "plan::bad-value", amount)?),
                "below" => Test::Below(view.parsed(text, "plan::bad-value", amount)?),
                _ => return None,
            }
        }
    };
    Some(Condition { field, test, span: node.name.span.clone() })
}

/// A number, or a size in bytes.
fn amount(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    let bytes = || text.parse::<ByteSize>().ok().map(|size| size.0 as f64);
    number.or_else(bytes).ok_or_else(|| format!("`{}` is not a number or a size; write it like `2`, `0.5` or `2GiB`", shown(text)))
}

fn waive(view: &View<'_, '_>, node: &Node, def: &mut PolicyDef) {
    let reason = view.prop(node, "reason").and_then(|value| view.text(value));
    let until = view.prop(node, "until").and_then(|value| view.text(value));
    let (Some((reason, reason_span)), Some((until, until_span))) = (reason, until) else { return };
    if reason.trim().is_empty() {
        let fault = Diagnostic::plan("plan::bad-value", "a waiver needs a reason", &reason_span, "says nothing");
        view.cx.fault(fault.help("say why the finding is accepted; it is shown with every scan"));
    }
    let Some(day) = view.parsed((until.clone(), until_span.clone()), "plan::bad-value", from_str::<Day>) else { return };
    let in_force = view.cx.facts.today() <= day;
    if !in_force {
        let fault = Diagnostic::plan("plan::waiver-ended", format!("this waiver ended on {day}"), &until_span, "has passed");
        view.cx.fault(fault.help("its findings count again; mend them, or decide anew and write a later day").warning());
    }
    for (id, span) in view.texts(&node.args) {
        if !is_vulnerability(&id) && !known_rule(def, &id) {
            let known = Rule::WORDS.iter().map(|(word, _)| *word).chain(def.custom.iter().map(|rule| rule.name.as_str()));
            let fault = Diagnostic::plan("plan::unknown-rule", format!("there is no rule `{}`", shown(&id)), &span, "not a rule");
            view.cx.fault(match words::closest(&id, known) {
                Some(near) => fault.help(format!("did you mean `{near}`?")),
                None => fault.help("name a rule, or a vulnerability like `CVE-2026-1234`, `GHSA-xxxx-xxxx-xxxx` or `RUSTSEC-2026-0001`"),
            });
            continue;
        }
        def.waivers.push(Waiver { id, reason: reason.clone(), until: day.to_string(), in_force, span });
    }
}

fn known_rule(def: &PolicyDef, id: &str) -> bool {
    Rule::WORDS.iter().any(|(word, _)| *word == id) || id == "max-age" || def.custom.iter().any(|rule| rule.name == id)
}

/// Ids of the databases that OSV collects: upper-case letters, then parts joined by `-` that have a digit somewhere.
fn is_vulnerability(id: &str) -> bool {
    id.split_once('-').is_some_and(|(base, rest)| {
        base.len() >= 2
            && base.bytes().all(|byte| byte.is_ascii_uppercase())
            && rest.bytes().any(|byte| byte.is_ascii_digit())
            && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b':'))
    })
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
