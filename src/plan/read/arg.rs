//! `arg`, `flag` and `rest` of a task, with the values that were typed for them.
//! In: a target node and all calls of the command line. Out: the declarations as data, one variable for each, the words behind `--`.
//! Never: a value that its declaration does not allow. A missing one has a stand-in: whether it is needed is known when steps are chosen.

use std::collections::HashMap;

use crate::base::diagnostic::{Class, Diagnostic, Span};
use crate::base::words;
use crate::plan::arg::{ArgDef, Arguments, Call, RESERVED, RestDef, is_reserved};
use crate::plan::basis;
use crate::plan::cx::{Cx, Met};
use crate::plan::expand::{Instance, free_name};
use crate::plan::matrix;
use crate::plan::names::Sort;
use crate::plan::param::ParamKind;
use crate::plan::value::Variable;
use crate::plan::value::bindings::FACTS;
use crate::plan::value::param::{Rule, kind};
use crate::syntax::document::{Node, Scalar, Value};

use super::params::as_written;
use super::view::{View, children, shown};

/// What a task takes and what it was given.
#[derive(Default)]
pub(in crate::plan) struct Taken {
    /// The declarations.
    pub declared: Arguments,
    /// One for each, named in the target's own frame and in that of the template that declares it.
    pub vars: Vec<Variable>,
    /// What was typed behind `--`.
    pub rest: Vec<String>,
}

/// A declaration that is in order.
struct Declared<'a> {
    node: &'a Node,
    rule: Rule,
    def: ArgDef,
}

/// The arguments of a target. Words behind a target that takes none are a fault.
pub(in crate::plan) fn arguments(cx: &Cx<'_>, instance: &Instance<'_>, calls: &[Call]) -> Taken {
    let locals = instance.locals();
    let view = View { cx, locals: &locals };
    let mut declared: Vec<Declared<'_>> = Vec::new();
    let nodes = instance.node.children.iter().flatten().filter(|node| matches!(node.name.text.as_str(), "arg" | "flag"));
    let written = nodes.clone().count();
    for node in nodes.filter(|node| instance.sort == Sort::Task && cx.is_good(node)) {
        declared.extend(declaration(&view, instance.node, node, &declared));
    }
    let complete = declared.len() == written;
    let rest = children(cx, instance.node, "rest").next().filter(|_| instance.sort == Sort::Task);
    let rest = rest.map(|node| RestDef { doc: view.prop(node, "doc").and_then(|value| view.text(value)).map(|(text, _)| text) });
    let mut taken = Taken { declared: Arguments { list: Vec::new(), rest }, ..Taken::default() };
    let mut typed: HashMap<String, String> = HashMap::new();
    for call in calls.iter().filter(|call| call.name() == instance.name.as_str()) {
        let asked = Asked { cx, target: instance.name.as_str(), declared: &declared, rest: taken.declared.rest.is_some(), complete };
        call.words.iter().for_each(|word| asked.word(word, &mut typed));
        match (&call.rest, &taken.declared.rest) {
            (Some(words), Some(_)) => taken.rest.extend(words.iter().cloned()),
            (Some(words), None) if !words.is_empty() => asked.no_rest(words),
            _ => {}
        }
    }
    let owner = instance.node.name.span.frame;
    for Declared { node, rule, mut def } in declared {
        let known = format!("arg {} {}", instance.name, def.name);
        if let Some(former) = cx.facts.basis.former(&known) {
            typed.insert(def.name.clone(), former.as_str().unwrap_or_default().to_owned());
        }
        let (value, met) = value(&view, instance.name.as_str(), node, &rule, &def, typed.get(&def.name));
        if let Some(value) = value.as_ref().filter(|_| met.is_empty()) {
            cx.facts.basis.note(&known, || Some(basis::text(value)));
        }
        def.value = value.clone().filter(|_| met.is_empty());
        let value = value.unwrap_or_default();
        cx.taint(&def.span, met);
        let var = Variable { name: def.name.clone(), value, kind: def.kind, span: def.span.clone() };
        if def.span.frame != owner {
            taken.vars.push(Variable { span: Span { frame: owner, ..def.span.clone() }, ..var.clone() });
        }
        taken.vars.push(var);
        taken.declared.list.push(def);
    }
    taken
}

/// Reads one `arg` or `flag`; `None` when something about it is wrong, which is reported.
fn declaration<'n>(view: &View<'_, '_>, target: &Node, node: &'n Node, before: &[Declared<'_>]) -> Option<Declared<'n>> {
    let cx = view.cx;
    let Some(Value { scalar: Scalar::String(name), span, .. }) = node.args.first().filter(|value| cx.is_good_value(value)) else {
        return None;
    };
    if !FACTS.contains(&name.as_str()) {
        free_name(view, name, span)?;
    }
    let duplicate = |first: &Span, what: &str| {
        let fault = Diagnostic::plan("plan::duplicate-name", format!("`{name}` {what}"), span, "declared again here");
        cx.fault(fault.label(first, "first declared here").help("rename one of them, so that `${…}` can mean only one"));
    };
    if let Some(first) = before.iter().find(|one| one.def.name == *name) {
        duplicate(&first.def.span, "is declared twice in this task");
        return None;
    }
    if let Some((_, axis)) = matrix::variables(target).find(|(variable, _)| variable == name) {
        duplicate(axis, "is a variable of the matrix already");
        return None;
    }
    let doc = view.prop(node, "doc").and_then(|value| view.text(value)).or_else(|| view.child_text(node, "doc"));
    let flag = node.name.text == "flag";
    let rule = if flag { Rule::of(ParamKind::Bool) } else { cx.rule(node, name)? };
    let default = view.prop(node, "default").map(as_written);
    let def = ArgDef {
        name: name.clone(),
        kind: if flag { ParamKind::Bool } else { kind(node) },
        flag,
        short: if flag { short(view, node, before) } else { None },
        doc: doc.map(|(text, _)| text),
        default: if flag { Some("false".to_owned()) } else { default },
        choices: rule.choices.clone(),
        value: None,
        span: span.clone(),
    };
    if flag && is_reserved(name) {
        let message = format!("`--{}` is an option of kiln itself", name.replace('_', "-"));
        let fault = Diagnostic::plan("plan::reserved-flag", message, span, "never typed for the task");
        cx.fault(fault.help(format!("type `{name}=true` behind the task, or rename the flag")).warning());
    }
    Some(Declared { node, rule, def })
}

/// The letter of a flag.
fn short(view: &View<'_, '_>, node: &Node, before: &[Declared<'_>]) -> Option<char> {
    let (text, span) = view.text(view.prop(node, "short")?)?;
    let mut letters = text.chars();
    let (Some(letter), None) = (letters.next().filter(char::is_ascii_alphabetic), letters.next()) else {
        let fault = Diagnostic::plan("plan::bad-value", format!("`short=` is one letter, not `{}`", shown(&text)), &span, "not a letter");
        view.cx.fault(fault.help("`short=\"r\"` is typed as `-r`; the long form is the flag's name"));
        return None;
    };
    if let Some(first) = before.iter().find(|one| one.def.short == Some(letter)) {
        let fault = Diagnostic::plan("plan::duplicate-name", format!("two flags of this task are `-{letter}`"), &span, "again here");
        view.cx.fault(fault.label(&first.def.span, "the first one").help("give one of them another letter"));
        return None;
    }
    if let Some((option, _)) = RESERVED.iter().find(|(_, short)| *short == Some(letter)) {
        let message = format!("`-{letter}` is kiln's own `--{option}`");
        let fault = Diagnostic::plan("plan::reserved-flag", message, &span, "never typed for the task");
        view.cx.fault(fault.help("choose another letter").warning());
    }
    Some(letter)
}

/// The value of an argument, with the stand-ins that it rests on.
fn value(view: &View<'_, '_>, target: &str, node: &Node, rule: &Rule, def: &ArgDef, typed: Option<&String>) -> (Option<String>, Met) {
    let cx = view.cx;
    let standing = || Some(rule.stand_in_text());
    // The default is held against its rule also when it is not in force.
    let default = view.prop(node, "default").filter(|_| !def.flag);
    let (fallback, met) = cx.watch(|| {
        let value = default?;
        let (text, span) = view.text(value)?;
        if cx.taint_of(&value.span).is_some() {
            return Some(rule.text_of(&text).unwrap_or_else(|_| rule.stand_in_text()));
        }
        cx.allowed("arg", &def.name, rule, &span, &text)
    });
    if let Some(text) = typed {
        return match rule.text_of(text) {
            Ok(text) => (Some(text), Met::new()),
            Err((code, why, help)) => {
                let message = format!("`{}` of `{target}` cannot be `{}`{why}", def.name, words::shorten(&words::visible(text), 80));
                let fault = Diagnostic::new(Class::Usage, code, message).label(&def.span, "declared here");
                cx.fault(help.into_iter().fold(fault, Diagnostic::help));
                (standing(), Met::from([def.name.clone()]))
            }
        };
    }
    match (def.flag, default) {
        (true, _) => (Some("false".to_owned()), Met::new()),
        (false, Some(_)) => (fallback, met),
        (false, None) => (standing(), Met::from([def.name.clone()])),
    }
}

/// One call of a target.
struct Asked<'c, 'a, 'd> {
    cx: &'c Cx<'a>,
    target: &'c str,
    declared: &'c [Declared<'d>],
    rest: bool,
    /// Whether all that is written could be read; a word that names nothing may mean what could not.
    complete: bool,
}

impl Asked<'_, '_, '_> {
    fn fault(&self, code: &'static str, message: String, help: String) {
        self.cx.fault(Diagnostic::new(Class::Usage, code, message).help(help));
    }

    /// Reads one word.
    fn word(&self, word: &str, typed: &mut HashMap<String, String>) {
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
            let off = name.strip_prefix("no-").and_then(|name| self.find(name)).filter(|def| def.flag && value.is_none());
            match (self.find(name), value, off) {
                (Some(def), Some(value), _) => self.give(def, value, typed),
                (Some(def), None, _) if def.flag => self.give(def, "true", typed),
                (Some(def), None, _) => {
                    let message = format!("`--{}` of `{}` needs a value", shown(name), self.target);
                    self.fault("plan::bad-arg", message, format!("write it in one word: `{}`", def.form()));
                }
                (None, _, Some(def)) => self.give(def, "false", typed),
                (None, _, None) => self.unknown(word, name),
            }
        } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            for letter in letters.chars() {
                match self.declared.iter().find(|one| one.def.short == Some(letter)) {
                    Some(one) => self.give(&one.def, "true", typed),
                    None => {
                        self.unknown(word, letters);
                        return;
                    }
                }
            }
        } else if let Some((name, value)) = word.split_once('=') {
            match self.find(name) {
                Some(def) => self.give(def, value, typed),
                None => self.unknown(word, name),
            }
        }
    }

    fn find(&self, name: &str) -> Option<&ArgDef> {
        let name = name.replace('-', "_");
        self.declared.iter().map(|one| &one.def).find(|def| def.name == name)
    }

    fn give(&self, def: &ArgDef, value: &str, typed: &mut HashMap<String, String>) {
        if let Some(first) = typed.get(&def.name).filter(|first| *first != value) {
            let message = format!("`{}` of `{}` is given twice: `{}` and `{}`", def.name, self.target, shown(first), shown(value));
            self.fault("plan::bad-arg", message, "a task runs once in a run; leave one of them out".to_owned());
        }
        typed.insert(def.name.clone(), value.to_owned());
    }

    fn unknown(&self, word: &str, name: &str) {
        if !self.complete {
            return;
        }
        let forms: Vec<String> = self.declared.iter().map(|one| format!("`{}`", one.def.form())).collect();
        let own = self.declared.iter().map(|one| one.def.name.as_str());
        let options = RESERVED.iter().map(|(option, _)| *option).filter(|_| word.starts_with("--"));
        let near = words::closest(&name.replace('-', "_"), own).or_else(|| words::closest(name, options));
        let help = match near {
            Some(near) => match self.find(near) {
                Some(def) => format!("did you mean `{}`?", def.form()),
                None => format!("did you mean kiln's own `--{near}`?"),
            },
            None if !forms.is_empty() => format!("it takes {}; `kiln {} --help` tells more", forms.join(", "), self.target),
            None if self.rest => format!("it takes any words behind `--`: `kiln {} -- {}`", self.target, shown(word)),
            None => "a task takes words that it declares with `arg`, `flag` or `rest`".to_owned(),
        };
        let message = format!("`{}` takes no `{}`", self.target, shown(word));
        self.fault("plan::unknown-arg", message, help);
    }

    fn no_rest(&self, words: &[String]) {
        let first = words.first().map_or("", String::as_str);
        let message = format!("`{}` takes no words behind `--`: `{}`", self.target, shown(first));
        let help = "a task that hands them on says `rest`: they are `\"$@\"` in its `run`, and the last words of its last `exec`";
        self.fault("plan::unknown-arg", message, help.to_owned());
    }
}
