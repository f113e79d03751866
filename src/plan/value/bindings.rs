//! `let`, `param` and `project`: names with one value for the whole plan, resolved when they are first needed.

use std::cell::RefCell;

use indexmap::IndexMap;

use crate::base::diagnostic::{Class, Diagnostic, Span};
use crate::base::words;
use crate::plan::Overrides;
use crate::plan::basis::Used;
use crate::plan::cx::{Cx, Met};
use crate::plan::param::ParamOrigin;
use crate::syntax::document::{Node, Scalar, Value};

use super::Locals;
use super::param::{self, Param};
use super::source;

/// Names that mean something in every expression.
pub(in crate::plan) const ROOTS: &[&str] = &["ci", "env", "git", "host", "platform", "profile", "project"];
/// Those of them that mean nothing alone: an argument may have such a name. `${env}` is then the argument, `${env.HOME}` the fact.
pub(in crate::plan) const FACTS: &[&str] = &["ci", "env", "git", "host", "project"];
/// Words of the expression language itself.
const KEYWORDS: &[&str] = &["and", "else", "false", "if", "in", "is", "none", "not", "or", "true", "loop", "self", "False", "None", "True"];
/// The most names that may stand for one another in a row.
const DEPTH_LIMIT: usize = 64;
/// The most names of a circle that a fault shows.
const CHAIN_SHOWN: usize = 8;

/// All names of a plan, in order of declaration.
pub(in crate::plan) struct Bindings<'a>(pub(super) IndexMap<String, Binding<'a>>);

/// One name.
pub(in crate::plan) struct Binding<'a> {
    /// Where it was declared.
    pub(super) span: Span,
    pub(super) origin: Origin<'a>,
    pub(super) state: RefCell<State>,
}

/// Where its value comes from.
pub(super) enum Origin<'a> {
    /// A `let` node, with its arguments behind the name.
    Let(&'a Node),
    /// The text of the file that this value names.
    File(&'a Value),
    /// What the command of this text prints.
    Command(&'a Value),
    /// A value as written.
    Written(&'a Value),
    /// A `param` node.
    Param(Param<'a>),
    /// Its declaration is at fault.
    Nothing,
}

impl Origin<'_> {
    /// The name of its value among those that definitions rest on.
    pub(super) fn known_as(&self, full: &str) -> String {
        match self {
            Origin::Param(_) => format!("param {full}"),
            Origin::Written(_) => full.to_owned(),
            _ => format!("let {full}"),
        }
    }
}

/// How far it is.
pub(super) enum State {
    /// Nobody needed it yet.
    New,
    /// Resolved, with the stand-ins and the values that it rests on; `None` when that failed, which is reported.
    Done(Option<minijinja::Value>, Met, Used),
}

/// Whether a name can be used in an expression and as an environment variable.
///
/// # Errors
/// Why not, to follow the name in a message, with what to do.
pub(in crate::plan) fn check_variable(name: &str) -> Result<(), (String, String)> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if ROOTS.contains(&name) || KEYWORDS.contains(&name) {
        return Err(("has a meaning of its own in expressions".to_owned(), "choose another name".to_owned()));
    }
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(word) {
        let mut fixed: String = name.chars().map(|c| if word(c) { c } else { '_' }).collect();
        if fixed.is_empty() || fixed.starts_with(|c: char| c.is_ascii_digit()) {
            fixed.insert(0, '_');
        }
        let why = "is not a name for a value: letters, digits and `_`, not beginning with a digit".to_owned();
        return Err((why, format!("write it `{}`", words::shorten(&fixed, 60))));
    }
    Ok(())
}

/// Collects the names of a plan, checks them and what they refer to, and marks circles.
pub(in crate::plan) fn declare<'a>(cx: &Cx<'a>, nodes: &'a [Node], profiles: &[(&'a str, &'a Node)], overrides: &Overrides) {
    let mut names: IndexMap<String, Binding<'a>> = IndexMap::new();
    let mut params: Vec<&str> = Vec::new();
    for node in nodes {
        let Some(Value { scalar: Scalar::String(name), span, .. }) = node.args.first() else {
            if matches!(node.name.text.as_str(), "let" | "param") {
                cx.probably_meant("let");
            }
            continue;
        };
        let origin = match node.name.text.as_str() {
            // What is declared in a wrong form has no value, and is no unknown name either.
            "let" | "param" if !cx.is_good(node) => None,
            "project" => {
                let given = node.props.iter().find(|prop| prop.name.text == "version" && cx.is_good_value(&prop.value));
                if let Some(prop) = given {
                    names.insert("project.version".to_owned(), binding(&prop.value.span, Some(Origin::Written(&prop.value))));
                }
                names.insert("project.name".to_owned(), binding(span, Some(Origin::Written(&node.args[0]))));
                continue;
            }
            "let" => source::of_let(cx, node),
            // What its values must be is not known.
            "param" if node.props.iter().any(|prop| prop.name.text == "type" && !cx.is_good_value(&prop.value)) => {
                params.push(name);
                None
            }
            "param" => {
                params.push(name);
                Some(Origin::Param(param::declared(cx, node, name, overrides)))
            }
            _ => continue,
        };
        if let Err((why, help)) = check_variable(name) {
            cx.fault(Diagnostic::plan("plan::bad-name", format!("`{}` {why}", words::visible(name)), span, "").help(help));
            cx.probably_meant("let");
        } else if let Some(first) = names.get(name) {
            let fault = Diagnostic::plan("plan::duplicate-name", format!("`{name}` is declared twice"), span, "declared again here");
            cx.fault(fault.label(&first.span, "first declared here").help("a name has one value in the whole plan; rename one of them"));
        } else {
            names.insert(name.clone(), binding(span, origin));
        }
    }
    for (name, _) in &overrides.set {
        if !params.contains(&name.as_str()) {
            let shown = words::shorten(&words::visible(&cx.full(name)), 60);
            let fault = Diagnostic::new(Class::Usage, "plan::unknown-param", format!("`--set {shown}=…`: the plan has no param `{shown}`"));
            cx.fault(unknown_param(fault, name, &params, names.contains_key(name)));
        }
    }
    for (name, span) in profiles.iter().flat_map(|(_, node)| param::set_by(cx, node)).map(|prop| (&prop.name.text, &prop.name.span)) {
        if !params.contains(&name.as_str()) && !cx.may_lack(&["param"]) {
            let shown = words::shorten(&words::visible(name), 60);
            let fault = Diagnostic::plan("plan::unknown-param", format!("the plan has no param `{shown}`"), span, "not a param");
            cx.fault(unknown_param(fault, name, &params, names.contains_key(name)));
        }
    }
    let bindings = Bindings(names);
    mark_circles(cx, &bindings);
    let bindings = cx.bindings.get_or_init(|| bindings);
    let top = Locals::top();
    for value in bindings.0.values().flat_map(|binding| written(&binding.origin)).filter(|value| cx.is_good_value(value)) {
        cx.check_names(&top, value);
    }
}

fn binding<'a>(span: &Span, origin: Option<Origin<'a>>) -> Binding<'a> {
    Binding { span: span.clone(), origin: origin.unwrap_or(Origin::Nothing), state: RefCell::new(State::New) }
}

fn unknown_param(fault: Diagnostic, name: &str, params: &[&str], is_let: bool) -> Diagnostic {
    match words::closest(name, params.iter().copied()) {
        _ if is_let => fault.help(format!("`{name}` is a `let`, which cannot be set from outside; make it a `param`")),
        Some(near) => fault.help(format!("did you mean `{near}`?")),
        None if params.is_empty() => fault.help("a plan takes values from outside with `param name default=\"…\"`"),
        None => fault.help(format!("params are: {}", params.join(", "))),
    }
}

/// All values that a name is made of, also those inside a map.
fn written<'b>(origin: &'b Origin<'_>) -> Vec<&'b Value> {
    let mut values = Vec::new();
    match origin {
        // The text of a command is never searched for names.
        Origin::Nothing | Origin::Command(_) => {}
        Origin::Written(value) | Origin::File(value) => values.push(*value),
        Origin::Param(param) => values.extend(param.written()),
        Origin::Let(node) => {
            values.extend(node.args.iter().skip(1));
            let mut open: Vec<&Node> = node.children.iter().flatten().collect();
            while let Some(entry) = open.pop() {
                values.extend(&entry.args);
                open.extend(entry.children.iter().flatten());
            }
        }
    }
    values
}

/// Checks the names that every binding refers to, without asking for a fact, and marks those that can never have a value.
fn mark_circles(cx: &Cx<'_>, bindings: &Bindings<'_>) {
    let names = &bindings.0;
    let mut refers: Vec<Vec<(usize, Span)>> = Vec::with_capacity(names.len());
    for binding in names.values() {
        let mut targets = Vec::new();
        for value in written(&binding.origin).into_iter().filter(|value| cx.is_good_value(value)) {
            let Scalar::String(text) = &value.scalar else { continue };
            let Some(template) = cx.template(value, text) else { continue };
            for name in template.names() {
                let exact = names.get_index_of(name.root()).or_else(|| names.get_index_of(&name.text));
                targets.extend(exact.map(|index| (index, name.span.clone())));
            }
        }
        refers.push(targets);
    }
    let depth = depths(&refers);
    let mut walked = vec![0; names.len()];
    let mut deep = false;
    for start in 0..names.len() {
        match depth[start] {
            Some(depth) if depth <= DEPTH_LIMIT => continue,
            Some(_) if deep => {}
            Some(_) => {
                deep = true;
                let message = format!("`{}` stands on more than {DEPTH_LIMIT} names in a row", name_of(names, start));
                cx.fault(
                    Diagnostic::plan("plan::too-large", message, &names[start].span, "").help("put the value together in fewer steps"),
                );
            }
            None => tell_circle(cx, names, &refers, &depth, start, &mut walked),
        }
        *names[start].state.borrow_mut() = State::Done(None, Met::new(), Used::new());
    }
}

fn name_of<'b>(names: &'b IndexMap<String, Binding<'_>>, index: usize) -> &'b str {
    names.get_index(index).map_or("", |(name, _)| name)
}

/// For each name, how many names it stands on in a row; `None` for those on a circle or standing on one.
fn depths(refers: &[Vec<(usize, Span)>]) -> Vec<Option<usize>> {
    let mut waiting: Vec<usize> = refers.iter().map(Vec::len).collect();
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); refers.len()];
    for (user, targets) in refers.iter().enumerate() {
        for (target, _) in targets {
            users[*target].push(user);
        }
    }
    let mut depth: Vec<Option<usize>> = vec![None; refers.len()];
    let mut ready: Vec<usize> = (0..refers.len()).filter(|index| waiting[*index] == 0).collect();
    while let Some(index) = ready.pop() {
        let below = refers[index].iter().filter_map(|(target, _)| depth[*target]).max();
        depth[index] = Some(below.map_or(0, |below| below + 1));
        for user in &users[index] {
            waiting[*user] -= 1;
            if waiting[*user] == 0 {
                ready.push(*user);
            }
        }
    }
    depth
}

/// Follows the first reference that leads on until a name comes again; reports the circle once, as a chain. `walked` holds
/// the walk that came to each name first, so that all walks together take one step per name.
fn tell_circle(
    cx: &Cx<'_>,
    names: &IndexMap<String, Binding<'_>>,
    refers: &[Vec<(usize, Span)>],
    depth: &[Option<usize>],
    start: usize,
    walked: &mut [usize],
) {
    let walk = start + 1;
    let mut way: Vec<(usize, Span)> = Vec::new();
    let mut at = start;
    while walked[at] == 0 {
        walked[at] = walk;
        let Some((next, span)) = refers[at].iter().find(|(target, _)| depth[*target].is_none()) else { return };
        way.push((at, span.clone()));
        at = *next;
    }
    if walked[at] != walk {
        return;
    }
    let circle: Vec<(usize, Span)> = way.into_iter().skip_while(|(index, _)| *index != at).collect();
    let mut chain: Vec<&str> = circle.iter().take(CHAIN_SHOWN).map(|(index, _)| name_of(names, *index)).collect();
    chain.extend((circle.len() > CHAIN_SHOWN).then_some("…"));
    chain.push(name_of(names, at));
    let mut fault = Diagnostic::new(Class::Plan, "plan::cycle", format!("values go round in a circle: {}", chain.join(" → ")));
    for ((index, span), next) in circle.iter().zip(&chain[1..]).take(CHAIN_SHOWN) {
        fault = fault.label(span, format!("`{}` needs `{next}`", name_of(names, *index)));
    }
    cx.fault(fault.help("give one of them a value of its own"));
}

impl Cx<'_> {
    /// Where a `let` or `param` of this name was declared.
    pub(in crate::plan) fn declared(&self, name: &str) -> Option<&Span> {
        self.bindings.get()?.0.get(name).map(|binding| &binding.span)
    }

    /// Who gave the `param` of this name its value.
    pub(in crate::plan) fn param_origin(&self, name: &str) -> Option<ParamOrigin> {
        match &self.bindings.get()?.0.get(name)?.origin {
            Origin::Param(param) => Some(param.origin()),
            _ => None,
        }
    }
}
