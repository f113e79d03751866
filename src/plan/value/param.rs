//! `param` nodes: who gives the value, what it may be, and the value in its type.
//! In: a node, what was set from outside, the chosen profiles. Out: a typed value, or a fault that says who gave the wrong one.
//! Never: a value that its declaration does not allow.

use indexmap::IndexSet;
use minijinja::Value as Resolved;
use regex::{Regex, RegexBuilder};

use crate::base::diagnostic::{Class, Diagnostic, Span};
use crate::base::words;
use crate::plan::Overrides;
use crate::plan::cx::Cx;
use crate::plan::param::{ParamKind, ParamOrigin, Typed};
use crate::syntax::document::{Node, Prop, Scalar, Value};

use super::Locals;

/// The most memory that a compiled `pattern=` may take, in bytes.
const PATTERN_LIMIT: usize = 1 << 20;

/// A `param` node with the value that it was given.
pub(in crate::plan) struct Param<'a> {
    node: &'a Node,
    given: Given<'a>,
}

/// The value of a parameter before it is read in its type.
enum Given<'a> {
    /// From outside: a text as it is.
    Text(ParamOrigin, String),
    /// In the plan.
    Written(ParamOrigin, &'a Value),
    /// Nobody gave one.
    Nothing,
    /// The one in force is at fault, which is reported.
    Bad,
}

impl<'a> Param<'a> {
    /// The value as written, where the plan holds it.
    pub(super) fn written(&self) -> Option<&'a Value> {
        if let Given::Written(_, value) = &self.given { Some(value) } else { None }
    }

    /// What its value must be.
    pub(super) fn kind(&self) -> ParamKind {
        kind(self.node)
    }

    /// Who gave the value.
    pub(in crate::plan) fn origin(&self) -> ParamOrigin {
        match &self.given {
            Given::Text(origin, _) | Given::Written(origin, _) => origin.clone(),
            Given::Nothing | Given::Bad => ParamOrigin::Missing,
        }
    }
}

/// The `name=value` properties of all `set` nodes of a profile.
pub(in crate::plan) fn set_by<'n>(cx: &Cx<'_>, profile: &'n Node) -> impl Iterator<Item = &'n Prop> {
    let sets = profile.children.iter().flatten().filter(|child| child.name.text == "set" && cx.is_good(child));
    sets.flat_map(|child| &child.props).collect::<Vec<_>>().into_iter()
}

/// The value in force: `--set`, then what an including file sets or, in the main document, `KILN_PARAM_NAME`, then the last chosen profile that sets it, then the default.
pub(super) fn declared<'a>(cx: &Cx<'a>, node: &'a Node, name: &str, overrides: &Overrides) -> Param<'a> {
    let written = |origin, value: &'a Value| if cx.is_good_value(value) { Given::Written(origin, value) } else { Given::Bad };
    let variable = format!("KILN_PARAM_{}", name.to_uppercase());
    let mut set = overrides.set.iter().filter(|(set, _)| set == name);
    let handed = cx.handed.borrow().contains_key(name);
    let given = if let Some((_, value)) = set.next_back() {
        // What was typed comes after what the including file sets.
        let typed = set.next().is_some() || !handed;
        Given::Text(if typed { ParamOrigin::CommandLine } else { ParamOrigin::Include }, value.clone())
    } else if let Some(value) = cx.prefix.is_empty().then(|| cx.facts.env(&variable)).flatten() {
        Given::Text(ParamOrigin::Environment(variable), value)
    } else {
        let profiles = cx.profiles.get().into_iter().flatten();
        let set = profiles.flat_map(|(profile, node)| set_by(cx, node).map(move |prop| (*profile, prop)));
        let by_profile = set.filter(|(_, prop)| prop.name.text == name).last();
        match (by_profile, property(node, "default")) {
            (Some((profile, prop)), _) => written(ParamOrigin::Profile(profile.to_owned()), &prop.value),
            (None, Some(value)) => written(ParamOrigin::Default, value),
            (None, None) => Given::Nothing,
        }
    };
    Param { node, given }
}

fn property<'n>(node: &'n Node, name: &str) -> Option<&'n Value> {
    node.props.iter().find(|prop| prop.name.text == name).map(|prop| &prop.value)
}

/// The type of a parameter: what `type=` says, else that of a default which is a whole number or a truth value.
pub(in crate::plan) fn kind(node: &Node) -> ParamKind {
    let default = property(node, "default");
    match property(node, "type").map(|value| &value.scalar) {
        Some(Scalar::String(word)) => ParamKind::WORDS.iter().find(|(_, known)| known == word).map_or(ParamKind::Text, |(kind, _)| *kind),
        Some(_) => ParamKind::Text,
        None => match default.map(|value| (&value.scalar, value.span.text())) {
            Some((Scalar::Bool(_), _)) => ParamKind::Bool,
            Some((Scalar::Integer(number), raw)) if number.to_string() == raw => ParamKind::Int,
            _ => ParamKind::Text,
        },
    }
}

/// A limit as a number and as it is written.
type Limit = (f64, String);

/// What a value must be, read from the node.
pub(in crate::plan) struct Rule {
    kind: ParamKind,
    min: Option<Limit>,
    max: Option<Limit>,
    pattern: Option<(Regex, String)>,
    /// The texts that it may be; empty for any.
    pub(in crate::plan) choices: Vec<String>,
}

/// Why a value is refused: the code, what follows its name in the message, what to do.
pub(in crate::plan) type Refusal = (&'static str, String, Option<String>);

impl Rule {
    /// Any value of a type.
    pub(in crate::plan) const fn of(kind: ParamKind) -> Self {
        Self { kind, min: None, max: None, pattern: None, choices: Vec::new() }
    }

    /// A text as the declaration allows it, in the type's own form.
    ///
    /// # Errors
    /// Why it is refused.
    pub(in crate::plan) fn text_of(&self, text: &str) -> Result<String, Refusal> {
        self.read(text).map(|typed| typed.text(text))
    }

    /// A text of the right form for a value that nobody gave.
    pub(in crate::plan) fn stand_in_text(&self) -> String {
        let texts = self.choices.first().or(self.min.as_ref().map(|(_, text)| text)).or(self.max.as_ref().map(|(_, text)| text));
        texts.cloned().unwrap_or_else(|| self.kind.stand_in().text("0"))
    }

    /// A text as a value that the declaration allows.
    fn read(&self, text: &str) -> Result<Typed, Refusal> {
        let value = self.kind.read(text).map_err(|(why, help)| ("plan::bad-param", format!(", which {why}"), help))?;
        let number = value.number();
        if let (Some(number), Some((min, shown))) = (number, &self.min)
            && number < *min
        {
            return Err(("plan::bad-param", format!(": it is at least {shown}"), None));
        }
        if let (Some(number), Some((max, shown))) = (number, &self.max)
            && number > *max
        {
            return Err(("plan::bad-param", format!(": it is at most {shown}"), None));
        }
        if let Some((pattern, shown)) = &self.pattern
            && !pattern.is_match(text)
        {
            return Err(("plan::bad-param", format!(", which `{shown}` does not match"), None));
        }
        if !self.choices.is_empty() && !self.choices.iter().any(|choice| self.kind.read(choice).ok().as_ref() == Some(&value)) {
            let near = words::closest(text, self.choices.iter().map(String::as_str));
            let help = near.map_or_else(
                || format!("its choices are: {}", words::shorten(&self.choices.join(", "), 300)),
                |near| format!("did you mean `{near}`?"),
            );
            return Err(("plan::bad-choice", String::new(), Some(help)));
        }
        Ok(value)
    }

    fn stand_in(&self) -> Typed {
        let texts = self.choices.first().or(self.min.as_ref().map(|(_, text)| text)).or(self.max.as_ref().map(|(_, text)| text));
        texts.and_then(|text| self.kind.read(text).ok()).unwrap_or_else(|| self.kind.stand_in())
    }
}

impl<'a> Cx<'a> {
    /// The value of a parameter in its type; `None` when it has none, which is reported.
    pub(super) fn param(&self, name: &str, param: &Param<'a>) -> Option<Resolved> {
        let rule = self.rule(param.node, name)?;
        let span = &param.node.args.first()?.span;
        let node_is_wrong = param.node.args.iter().any(|value| !self.is_good_value(value));
        let read = |text: &str| rule.read(text).map(resolved);
        match &param.given {
            Given::Bad => None,
            Given::Text(ParamOrigin::Include, text) => {
                let handed = self.handed.borrow();
                let (place, met) = handed.get(name)?;
                self.meet_all(met);
                if !met.is_empty() {
                    return Some(read(text).unwrap_or_else(|_| resolved(rule.stand_in())));
                }
                self.written_param(name, &rule, place, text).map(resolved)
            }
            Given::Text(origin, text) => {
                let refuse = |(code, why, help): Refusal| {
                    let message = format!("param `{name}` cannot be `{}`{why}", words::shorten(&words::visible(text), 80));
                    let fault = Diagnostic::new(Class::Usage, code, format!("{message} (from {origin})")).label(span, "declared here");
                    self.fault(match help {
                        Some(help) => fault.help(help),
                        None => fault,
                    });
                };
                read(text).map_err(refuse).ok()
            }
            Given::Written(_, value) => {
                let text = self.text(&Locals::top(), value)?;
                if self.taint_of(&value.span).is_some() {
                    return Some(read(&text).unwrap_or_else(|_| resolved(rule.stand_in())));
                }
                self.written_param(name, &rule, &value.span, &text).map(resolved)
            }
            Given::Nothing if node_is_wrong => None,
            Given::Nothing if self.facts.may_ask_for(&self.full(name)) => {
                let fault = Diagnostic::plan("plan::missing-param", format!("param `{name}` has no value"), span, "must be set");
                let variable = format!("KILN_PARAM_{}", name.to_uppercase());
                self.fault(fault.help(if self.prefix.is_empty() {
                    format!("run kiln with `--set {name}=…`, set {variable}, or give it a `default=`")
                } else {
                    format!("set it where the file is included, in the block of `include`: `set {name}=…`; or give it a `default=`")
                }));
                None
            }
            Given::Nothing => {
                self.meet(&self.full(name));
                Some(resolved(rule.stand_in()))
            }
        }
    }

    fn written_param(&self, name: &str, rule: &Rule, span: &Span, text: &str) -> Option<Typed> {
        self.held("param", name, rule, span, text)
    }

    /// A written text that its rule allows, in the type's own form; a fault otherwise.
    pub(in crate::plan) fn allowed(&self, noun: &str, name: &str, rule: &Rule, span: &Span, text: &str) -> Option<String> {
        self.held(noun, name, rule, span, text).map(|typed| typed.text(text))
    }

    fn held(&self, noun: &str, name: &str, rule: &Rule, span: &Span, text: &str) -> Option<Typed> {
        let refuse = |(code, why, help): Refusal| {
            let message = format!("{noun} `{name}` cannot be `{}`{why}", words::shorten(&words::visible(text), 80));
            let fault = Diagnostic::plan(code, message, span, "not allowed");
            self.fault(match help {
                Some(help) => fault.help(help),
                None => fault,
            });
        };
        rule.read(text).map_err(refuse).ok()
    }

    /// Checks a value that is not in force, as far as its text says what it is.
    pub(in crate::plan) fn check_param(&self, name: &str, rule: &Rule, value: &Value) {
        let plain = !matches!(&value.scalar, Scalar::String(text) if text.contains("${"));
        if plain
            && self.is_good_value(value)
            && let Some(text) = self.text(&Locals::top(), value)
        {
            self.written_param(name, rule, &value.span, &text);
        }
    }

    /// What a parameter may be; `None` when its declaration contradicts itself, which is reported.
    pub(in crate::plan) fn rule(&self, node: &Node, name: &str) -> Option<Rule> {
        let noun = &node.name.text;
        let kind = kind(node);
        let limits = self.limits(node, name, kind);
        let pattern = self.pattern(node, name, kind);
        let choices = self.choices(node, name, kind);
        let flag = property(node, "required").filter(|flag| flag.scalar == Scalar::Bool(true));
        if let (Some(word), Some(default)) = (node.args.get(1).or(flag), property(node, "default")) {
            let message = format!("{noun} `{name}` is `required` and has a default");
            let fault = Diagnostic::plan("plan::bad-param", message, &word.span, "must be set");
            self.fault(fault.label(&default.span, "holds when it is not set").help("leave one of them out"));
            return None;
        }
        let [min, max] = limits?;
        Some(Rule { kind, min, max, pattern: pattern?, choices: choices? })
    }

    fn bad_rule(&self, message: String, span: &Span, label: &str, help: impl Into<String>) {
        self.fault(Diagnostic::plan("plan::bad-param", message, span, label).help(help));
    }

    /// `min=` and `max=`.
    fn limits(&self, node: &Node, name: &str, kind: ParamKind) -> Option<[Option<Limit>; 2]> {
        let noun = &node.name.text;
        let mut limits = [None, None];
        let mut good = true;
        for (word, limit) in ["min", "max"].iter().zip(&mut limits) {
            let Some(value) = property(node, word).filter(|value| self.is_good_value(value)) else { continue };
            let text = self.text(&Locals::top(), value)?;
            match kind.read(&text) {
                _ if !kind.has_range() => {
                    let message = format!("`{word}=` is a limit for numbers, and {noun} `{name}` is of type `{}`", kind.word());
                    let help = format!("give it `type=\"int\"` or `type=\"number\"`, or leave `{word}=` out");
                    self.bad_rule(message, &value.span, "no number", help);
                    good = false;
                }
                Ok(typed) => *limit = typed.number().map(|number| (number, text)),
                Err((why, _)) => {
                    let message = format!("`{word}=` cannot be `{}`, which {why}", words::visible(&text));
                    self.bad_rule(message, &value.span, "not a limit", format!("it has the type of the {noun}"));
                    good = false;
                }
            }
        }
        if let ([Some((min, low)), Some((max, high))], Some(value)) = (&limits, property(node, "max"))
            && min > max
        {
            let message = format!("{noun} `{name}` can have no value: at least {low} and at most {high}");
            self.bad_rule(message, &value.span, "below `min=`", "mend one of them");
            good = false;
        }
        good.then_some(limits)
    }

    /// `pattern=`, ready to be held against a whole text.
    fn pattern(&self, node: &Node, name: &str, kind: ParamKind) -> Option<Option<(Regex, String)>> {
        let noun = &node.name.text;
        let value = property(node, "pattern").filter(|value| self.is_good_value(value));
        let Some(Value { scalar: Scalar::String(text), span, .. }) = value else { return Some(None) };
        if kind.has_range() || kind == ParamKind::Bool {
            let message = format!("`pattern=` is for texts, and {noun} `{name}` is of type `{}`", kind.word());
            self.bad_rule(message, span, "no text", "leave it out; the type says it already");
            return None;
        }
        match RegexBuilder::new(&format!("^(?:{text})$")).size_limit(PATTERN_LIMIT).dfa_size_limit(PATTERN_LIMIT).build() {
            Ok(pattern) => Some(Some((pattern, words::shorten(&words::visible(text), 80)))),
            Err(error) => {
                let why = match error {
                    regex::Error::CompiledTooBig(_) => "it grows too large".to_owned(),
                    other => words::visible(other.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ")),
                };
                let help = "the syntax is that of https://docs.rs/regex; it must match the whole text";
                self.bad_rule(format!("`pattern=` of {noun} `{name}` cannot be read: {why}"), span, "not a pattern", help);
                None
            }
        }
    }

    /// `choices`, each a value of the type.
    fn choices(&self, node: &Node, name: &str, kind: ParamKind) -> Option<Vec<String>> {
        let noun = &node.name.text;
        let list = node.children.iter().flatten().find(|child| child.name.text == "choices" && self.is_good(child));
        let mut choices: IndexSet<String> = IndexSet::new();
        let mut good = true;
        for value in list.into_iter().flat_map(|list| &list.args).filter(|value| self.is_good_value(value)) {
            for text in self.texts(&Locals::top(), value)? {
                if let Err((why, _)) = kind.read(&text) {
                    let message = format!("{noun} `{name}` is of type `{}`, and `{}` {why}", kind.word(), words::visible(&text));
                    self.bad_rule(message, &value.span, "not a choice", "mend it, or the `type=`");
                    good = false;
                } else if choices.contains(&text) {
                    let message = format!("`{}` is a choice of {noun} `{name}` twice", words::visible(&text));
                    self.fault(Diagnostic::plan("plan::repeated", message, &value.span, "again here").help("leave one of them out"));
                } else {
                    choices.insert(text);
                }
            }
        }
        good.then(|| choices.into_iter().collect())
    }
}

/// The value for expressions.
pub(in crate::plan) fn resolved(value: Typed) -> Resolved {
    match value {
        Typed::Text(text) => Resolved::from(text),
        Typed::Int(number) => Resolved::from(number),
        Typed::Number(number) => Resolved::from(number),
        Typed::Bool(flag) => Resolved::from(flag),
    }
}
