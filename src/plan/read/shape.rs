//! The form of every node against the tables: names, numbers of arguments, kinds of values, required and repeated parts.

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::words;
use crate::plan::cx::Cx;
use crate::plan::scope::first_text;
use crate::plan::spec::{self, ArgSpec, Children, Count, Kind, NodeSpec};
use crate::plan::template;
use crate::syntax::document::{Node, Prop, Scalar, Value};

use super::{forms, synonyms};

/// Checks all nodes of a block and of the blocks inside. What is wrong is marked, so that no reader sees it.
///
/// `owner` is the name of the node around the block; `None` at the top.
pub(in crate::plan) fn check(cx: &Cx<'_>, nodes: &[Node], allowed: &Children, owner: Option<&str>) {
    let mut once: Vec<(&str, &Span)> = Vec::new();
    let mut open: Option<Open<'_>> = None;
    for node in nodes {
        let name = node.name.text.as_str();
        let Some(spec) = allowed.find(name) else {
            cx.break_at(&node.name.span);
            if let Some(name) = literal_name(node) {
                cx.leaves_undeclared(name);
            }
            if !open.as_mut().is_some_and(|open| open.takes(cx, node)) {
                cx.costly_fault(|| unknown_node(cx, node, allowed, owner));
            }
            continue;
        };
        open = Open::of(node, spec);
        if spec.once {
            if let Some((_, first)) = once.iter().find(|(known, _)| *known == name) {
                cx.break_at(&node.name.span);
                let fault = Diagnostic::plan("plan::repeated", format!("`{name}` stands twice"), &node.name.span, "again here");
                cx.fault(fault.label(first, "first here").help("leave one of them out"));
            } else {
                once.push((name, &node.name.span));
            }
        }
        if values_as_block(cx, node, spec) {
            continue;
        }
        if !values_as_properties(cx, node, spec) {
            check_args(cx, node, spec);
            check_props(cx, node, spec);
        }
        check_block(cx, node, spec);
    }
}

/// A node that could have a block and has none: what follows it may have been meant to stand inside, as indentation alone would say.
struct Open<'n> {
    node: &'n Node,
    spec: &'static NodeSpec,
    told: bool,
}

impl<'n> Open<'n> {
    fn of(node: &'n Node, spec: &'static NodeSpec) -> Option<Self> {
        node.children.is_none().then_some(Self { node, spec, told: false })
    }

    /// Whether a node that is unknown at its place belongs in the block that was not written. One fault for the whole block.
    fn takes(&mut self, cx: &Cx<'_>, stray: &Node) -> bool {
        let name = stray.name.text.as_str();
        if !self.spec.children.nodes().iter().any(|known| known.name == name) {
            return false;
        }
        if !self.told {
            self.told = true;
            cx.break_at(&self.node.name.span);
            let owner = words::shorten(&words::visible(self.node.span.text()), 60);
            let message = format!("`{owner}` has no braces, so `{name}` does not belong to it");
            let fault = Diagnostic::plan("plan::unknown-node", message, &stray.name.span, "stands beside it, not in it");
            let fault = fault.label(&self.node.name.span, "no `{` behind this");
            cx.fault(fault.help(format!("indentation means nothing here; write `{owner} {{`, and `}}` behind what belongs to it")));
        }
        true
    }
}

/// `let version="1"` and `copy src="a" to="/b"`: values that were given names. One fault, in place of one for each.
fn values_as_properties(cx: &Cx<'_>, node: &Node, spec: &'static NodeSpec) -> bool {
    let unknown = |prop: &&Prop| {
        let name = prop.name.text.as_str();
        !spec.props.iter().any(|known| known.name == name)
    };
    let found: Vec<&Prop> = node.props.iter().filter(unknown).collect();
    let (Some(first), true) = (found.first(), node.args.is_empty() && spec.arity().0 > 0 && spec.other_props.is_none()) else {
        return false;
    };
    cx.break_at(&node.name.span);
    let written = |prop: &&Prop| words::shorten(&words::visible(prop.value.span.text()), 40);
    let name = &node.name.text;
    let help = match (name.as_str(), found.as_slice()) {
        ("let", [one]) => format!("write `let {} {}`", words::visible(&one.name.text), written(one)),
        ("param", [one]) => format!("write `param {} default={}`", words::visible(&one.name.text), written(one)),
        _ if spec.args.first().is_some_and(|arg| arg.name == "name") => format!("write it as `{}`", form(spec, name)),
        _ => format!("write `{name} {}`", found.iter().map(written).collect::<Vec<_>>().join(" ")),
    };
    let message = format!("`{name}` takes its values without names");
    let fault = Diagnostic::plan("plan::unknown-property", message, &first.name.span, "no name and no `=` here");
    let fault = found[1..].iter().fold(fault, |fault, prop| fault.label(&prop.name.span, "nor here"));
    cx.fault(fault.help(help));
    true
}

/// `group "all" { "a"; "b" }`: values that were put into a block. One fault, in place of one for each.
fn values_as_block(cx: &Cx<'_>, node: &Node, spec: &'static NodeSpec) -> bool {
    let inside = node.children.as_deref().unwrap_or_default();
    let value = |child: &Node| child.children.is_none() && child.props.is_empty() && spec.children.find(&child.name.text).is_none();
    if inside.is_empty() || node.args.len() >= spec.arity().0 || matches!(spec.children, Children::Open { .. }) || !inside.iter().all(value)
    {
        return false;
    }
    cx.break_at(&node.name.span);
    let name = &node.name.text;
    let before = node.args.iter().map(|value| value.span.text().to_owned());
    // `project { name "shop" }`: the word says which value it is.
    let is_arg = |word: &str| spec.args.iter().any(|arg| arg.name == word || word.strip_suffix('s') == Some(arg.name));
    let of_one = |child: &Node| {
        let word = Some(child.name.span.text()).filter(|word| !is_arg(word)).map(str::to_owned);
        word.into_iter().chain(child.args.iter().map(|value| value.span.text().to_owned())).collect::<Vec<_>>()
    };
    let values = inside.iter().flat_map(of_one);
    let values = words::shorten(&words::visible(&before.chain(values).collect::<Vec<_>>().join(" ")), 60);
    let message = format!("`{name}` takes its values behind its name, not in a block");
    let fault = Diagnostic::plan("plan::arguments", message, &inside[0].name.span, "stands in its block");
    cx.fault(fault.help(forms::of_block(node).unwrap_or_else(|| format!("write `{name} {values}`"))));
    true
}

/// Whether something in the block of a task or an image is no node there: what it was meant to be is not known.
pub(super) fn has_unknown(node: &Node) -> bool {
    let spec = spec::TOP.find(&node.name.text);
    spec.is_some_and(|spec| node.children.iter().flatten().any(|child| spec.children.find(&child.name.text).is_none()))
}

fn check_block(cx: &Cx<'_>, node: &Node, spec: &'static NodeSpec) {
    let Some(children) = &node.children else { return };
    if matches!(spec.children, Children::Elsewhere) {
        return;
    }
    if spec.name == "use"
        && let Some(children) = template::written_out(node)
    {
        return check(cx, children, spec::around_targets(), Some("template"));
    }
    if matches!(spec.children, Children::None) {
        if let Some(first) = children.first() {
            let message = format!("`{}` has no block", node.name.text);
            let fault = Diagnostic::plan("plan::unknown-node", message, &first.name.span, "stands in its block");
            cx.fault(fault.help(format!("write values behind `{}`, or move this out of the braces", node.name.text)));
        }
        return;
    }
    check(cx, children, &spec.children, Some(&node.name.text));
}

/// The first argument, where a target would have its name, when it says the name as it is.
fn literal_name(node: &Node) -> Option<&str> {
    first_text(node).filter(|name| !name.contains("${"))
}

fn unknown_node(cx: &Cx<'_>, node: &Node, allowed: &Children, owner: Option<&str>) -> Diagnostic {
    let name = node.name.text.as_str();
    let shown = words::shorten(&words::visible(name), 60);
    let span = &node.name.span;
    let place = owner.map_or_else(|| "at the top of a plan".to_owned(), |owner| format!("in `{owner}`"));
    let fault = Diagnostic::plan("plan::unknown-node", format!("there is no `{shown}` {place}"), span, "unknown here");
    let known: Vec<&'static str> = allowed.nodes().iter().map(|node| node.name).collect();
    let homes = spec::homes(name);
    if owner == Some("profile") && spec::TOP.find(name).is_none() {
        fault.help(format!("a profile sets params with `set {shown}=…`, and variables with `env NAME=…`"))
    } else if let Some(help) = synonyms::meant(name, owner) {
        misplaced(cx, node);
        fault.help(help)
    } else if let Some(near) = known.iter().find(|known| known.strip_suffix('s') == Some(name) || name.strip_suffix('s') == Some(known)) {
        fault.help(format!("did you mean `{near}`?"))
    } else if spec::TOP.find(name).is_some() {
        misplaced(cx, node);
        fault.help(format!("`{shown}` belongs at the top of the plan"))
    } else if !homes.is_empty() {
        fault.help(format!("`{shown}` belongs in {}", words::list(&homes, "or")))
    } else if let Some(near) = words::closest(name, known.iter().copied()) {
        let declares = matches!(near, "task" | "image" | "service" | "group");
        if !(declares && literal_name(node).is_some()) {
            cx.probably_meant(near);
        }
        fault.help(format!("did you mean `{near}`?"))
    } else if known.is_empty() {
        fault.help("nothing can stand here")
    } else {
        fault.help(format!("nodes here are: {}", known.join(", ")))
    }
}

/// Notes that what a node at the wrong place would have declared is missing, so whoever refers to it is not at fault.
fn misplaced(cx: &Cx<'_>, node: &Node) {
    if let Some(top) = spec::TOP.find(&node.name.text)
        && !matches!(top.name, "task" | "image" | "service" | "group")
    {
        cx.probably_meant(top.name);
    }
}

fn check_args(cx: &Cx<'_>, node: &Node, spec: &'static NodeSpec) {
    let name = &node.name.text;
    if let [_, Value { scalar: Scalar::String(word), bare: true, span, .. }, value] = node.args.as_slice()
        && spec.name == "let"
        && matches!(word.as_str(), "command" | "file")
    {
        let message = format!("`{word}` would be the first of two values");
        let help = format!("write `let {} {word}={}`", node.args[0].span.text(), words::shorten(&words::visible(value.span.text()), 60));
        cx.fault(Diagnostic::plan("plan::arguments", message, span, "no `=` behind it").help(help));
        cx.break_at(&node.name.span);
    }
    let (mut fewest, most) = spec.arity();
    // A map is written as a block instead of values.
    if node.children.is_some() && matches!(spec.children, Children::Open { .. }) && spec.args.iter().any(|arg| arg.count == Count::Any) {
        if let Some(extra) = node.args.get(fewest) {
            let message = format!("`{name}` has both values and a block");
            let fault = Diagnostic::plan("plan::arguments", message, &extra.span, "a value");
            cx.fault(fault.help("a map is written as a block alone"));
            cx.break_at(&node.name.span);
        }
    } else if matches!(spec.name, "let" | "key") && matches!(spec.children, Children::Open { .. }) && node.props.is_empty() {
        fewest += 1;
    }
    if node.args.len() < fewest {
        let missing = spec.args.iter().filter(|arg| matches!(arg.count, Count::One | Count::Some)).nth(node.args.len());
        let (what, doc) = missing.map_or(("value", "its value"), |arg| (arg.name, arg.doc));
        let fault = Diagnostic::plan(
            "plan::arguments",
            format!("`{name}` needs {}", words::with_article(what)),
            &node.name.span,
            format!("no {what} here"),
        );
        cx.fault(fault.help(forms::of_values(node).unwrap_or_else(|| usage(spec, name, what, doc))));
        cx.break_at(&node.name.span);
    }
    if let Some(extra) = most.and_then(|most| node.args.get(most)) {
        let message = match most {
            Some(0) | None => format!("`{name}` takes no values"),
            Some(most) => format!("`{name}` takes {}, not {}", words::count(most, "value"), node.args.len()),
        };
        let fault = Diagnostic::plan("plan::arguments", message, &extra.span, "one too many");
        let texts: Vec<String> = node.args.iter().map(|value| words::visible(value.span.text().trim_matches('"'))).collect();
        cx.fault(match spec.other_props {
            _ if let Some(help) = forms::of_values(node) => fault.help(help),
            Some(_) => fault.help(match texts.as_slice() {
                [key, value] => format!("write `{name} {key}=\"{value}\"`"),
                _ => format!("write `{name} NAME=\"value\"`"),
            }),
            None if matches!(name.as_str(), "run" | "doc") => {
                fault.help(format!("it is one text: `{name} \"{}\"`", words::shorten(&texts.join(" "), 60)))
            }
            None => fault.help(format!("write it as `{}`", form(spec, name))),
        });
        cx.break_at(&node.name.span);
    }
    for (index, value) in node.args.iter().enumerate() {
        if let Some(arg) = spec.arg(index, node.args.len()) {
            check_value(cx, value, arg.kind, name);
            check_signs(cx, value, arg.kind, name);
        }
    }
}

/// Warns of signs that other tools look up, where a text with them is hardly ever meant as it is.
fn check_signs(cx: &Cx<'_>, value: &Value, kind: Kind, node: &str) {
    let Scalar::String(text) = &value.scalar else { return };
    let plain =
        ["inputs", "outputs", "env", "let", "param", "from", "copy", "registry", "label", "workdir", "dir", "mount"].contains(&node);
    let path = kind == Kind::Path;
    if !text.contains(['$', '{', '~']) || !(plain || path) || matches!(kind, Kind::Script | Kind::Regex) {
        return;
    }
    if let Some((message, help)) = forms::taken_literally(node, path, text) {
        cx.fault(Diagnostic::plan("plan::taken-literally", message, &value.span, "taken as it is").help(help).warning());
    }
}

fn usage(spec: &NodeSpec, name: &str, what: &str, doc: &str) -> String {
    format!("write it as `{}`; {what}: {doc}", form(spec, name))
}

/// `copy FROM… TO`.
fn form(spec: &NodeSpec, name: &str) -> String {
    let args = spec.args.iter().map(|ArgSpec { name, count, .. }| match count {
        Count::One => name.to_uppercase(),
        Count::Maybe => format!("[{}]", name.to_uppercase()),
        Count::Some => format!("{}…", name.to_uppercase()),
        Count::Any => format!("[{}…]", name.to_uppercase()),
    });
    [name.to_owned()].into_iter().chain(args).collect::<Vec<_>>().join(" ")
}

fn check_props(cx: &Cx<'_>, node: &Node, spec: &'static NodeSpec) {
    for prop in &node.props {
        let known = spec.props.iter().find(|known| known.name == prop.name.text);
        match known {
            Some(known) => {
                check_value(cx, &prop.value, known.kind, &prop.name.text);
                check_signs(cx, &prop.value, known.kind, &node.name.text);
            }
            None if spec.other_props.is_some() => {
                check_value(cx, &prop.value, Kind::Scalar, &prop.name.text);
                check_signs(cx, &prop.value, Kind::Scalar, &node.name.text);
            }
            // One for all variables.
            None if spec.name == "matrix" && !std::ptr::eq(prop, &raw const node.props[0]) => cx.break_at(&prop.value.span),
            None => {
                // What it copies lies elsewhere.
                if (spec.name, prop.name.text.as_str()) == ("copy", "from") {
                    cx.break_at(&node.name.span);
                }
                cx.break_at(&prop.value.span);
                cx.fault(unknown_property(node, prop, spec));
            }
        }
    }
    for required in spec.props.iter().filter(|prop| prop.required) {
        if !node.props.iter().any(|prop| prop.name.text == required.name) {
            let message = format!("`{}` needs `{}=`", node.name.text, required.name);
            let fault = Diagnostic::plan("plan::missing-property", message, &node.name.span, format!("no `{}` here", required.name));
            cx.fault(fault.help(match (spec.name, node.args.first().map(|value| &value.scalar)) {
                ("include", Some(Scalar::String(path))) => {
                    let stem = path.rsplit(['/', ':']).find(|part| !part.is_empty()).unwrap_or("name").split('.').next().unwrap_or("name");
                    format!(
                        "write `include \"{}\" as=\"{}\"`; its targets are then `{}:…`",
                        words::visible(path),
                        words::visible(stem),
                        words::visible(stem)
                    )
                }
                _ => format!("{}=\"…\": {}", required.name, required.doc),
            }));
            cx.break_at(&node.name.span);
        }
    }
}

fn unknown_property(node: &Node, prop: &Prop, spec: &'static NodeSpec) -> Diagnostic {
    let name = prop.name.text.as_str();
    let shown = words::shorten(&words::visible(name), 60);
    let message = format!("`{}` has no property `{shown}`", node.name.text);
    let fault = Diagnostic::plan("plan::unknown-property", message, &prop.name.span, "unknown property");
    let known: Vec<&str> = spec.props.iter().map(|prop| prop.name).collect();
    if let Some(help) = forms::of_property(node, name) {
        fault.help(help)
    } else if let Some(near) = words::closest(name, known.iter().copied()) {
        fault.help(format!("did you mean `{near}`?"))
    } else if spec.children.nodes().iter().any(|child| child.name == name) {
        fault.help(format!("write it in the block: `{} … {{ {name} … }}`", node.name.text))
    } else if known.is_empty() {
        fault.help(format!("write it as `{}`", form(spec, &node.name.text)))
    } else {
        fault.help(format!("properties are: {}", known.join(", ")))
    }
}

/// The form of one value. What its text says is judged when it is resolved.
fn check_value(cx: &Cx<'_>, value: &Value, kind: Kind, name: &str) {
    if let Some(annotation) = &value.annotation {
        cx.break_at(&value.span);
        let message = format!("`({})` has no meaning here", words::visible(&annotation.text));
        cx.fault(Diagnostic::plan("plan::wrong-type", message, &annotation.span, "a type annotation").help("leave it out"));
    } else if !kind.accepts(&value.scalar) {
        cx.break_at(&value.span);
        let found = match &value.scalar {
            Scalar::String(_) => "a text",
            Scalar::Float(number) if !number.is_finite() => "an endless number",
            Scalar::Integer(_) | Scalar::Float(_) => "a number",
            Scalar::Bool(_) => "a truth value",
            Scalar::Null => "nothing",
        };
        let message = format!("`{name}` takes {}, not {found}", kind.noun());
        let fault = Diagnostic::plan("plan::wrong-type", message, &value.span, format!("is {found}"));
        cx.fault(match &value.scalar {
            Scalar::Float(number) if !number.is_finite() => fault,
            Scalar::Integer(_) | Scalar::Float(_) if kind != Kind::Flag => fault.help("put it in quotes"),
            Scalar::String(_) if kind == Kind::Flag => fault.help(format!("write `{name}` alone, `#true` or `#false`")),
            _ => fault,
        });
    } else if let (Kind::Words(choices), Scalar::String(text)) = (kind, &value.scalar)
        && !text.contains("${")
        && !choices.contains(&text.as_str())
    {
        cx.break_at(&value.span);
        cx.fault(not_a_word(text, choices, name, &value.span));
    }
}

/// A text that is not one of the words that may stand at its place.
pub(super) fn not_a_word(text: &str, choices: &[&str], name: &str, span: &Span) -> Diagnostic {
    let rules = matches!(name, "deny" | "warn");
    let code = if rules { "plan::unknown-rule" } else { "plan::bad-value" };
    let shown = words::shorten(&words::visible(text), 60);
    let message = if rules { format!("there is no rule `{shown}`") } else { format!("`{name}` does not know `{shown}`") };
    let fault = Diagnostic::plan(code, message, span, if rules { "not a rule" } else { "not one of its words" });
    match words::closest(text, choices.iter().copied()) {
        None if name == "healthcheck" && text.contains(' ') => {
            fault.help(format!("write `healthcheck run \"{shown}\"`, or `exec` for a program without a shell"))
        }
        Some(near) => fault.help(format!("did you mean `{near}`?")),
        None => match synonyms::type_meant(text).filter(|word| choices.contains(word)) {
            Some(word) => fault.help(format!("kiln calls it `{word}`")),
            None => fault.help(format!("it is one of: {}", choices.join(", "))),
        },
    }
}
