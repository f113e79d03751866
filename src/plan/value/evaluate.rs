//! A written value → its text, list or map: looks every name up, asks the facts that are needed, keeps to the size limits.

use std::collections::BTreeMap;

use minijinja::value::ValueKind;
use minijinja::{ErrorKind, Value as Resolved};

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::size::ByteSize;
use crate::base::words;
use crate::plan::cx::{Cx, Met};
use crate::plan::facts::{Recorder, STAND_IN};
use crate::plan::param::ParamKind;
use crate::syntax::document::{Node, Scalar, Value};

use super::absent::{no_platform, undefined};
use super::bindings::{FACTS, Origin, ROOTS, State};
use super::compare::by_precedence;
use super::engine::{PLAN_LIMIT, PlatformValue, VALUE_LIMIT, display, settle};
use super::habits;
use super::template::{Compiled, Dotted, Piece, Template};
use super::{Locals, Variable};

/// How many names that stand for others are followed.
const ALIASES: usize = 16;

/// What a name was found to be.
enum Found {
    /// The whole value of its first part.
    Whole(Resolved),
    /// The value of its second part.
    Part(Resolved),
    /// A fact that does not exist here.
    Absent,
}

/// The variable that a name is, as the innermost of its own frame; `env.HOME` is the fact, also where an argument is named `env`.
fn variable<'l>(locals: &'l Locals, name: &Dotted) -> Option<&'l Variable> {
    if FACTS.contains(&name.root()) && name.second().is_some() {
        return None;
    }
    locals.vars.iter().rev().find(|var| var.name == name.root() && var.span.frame == name.span.frame)
}

impl Cx<'_> {
    /// The text of a value; `None` when it has none, which is reported.
    pub(in crate::plan) fn text(&self, locals: &Locals, written: &Value) -> Option<String> {
        match &written.scalar {
            Scalar::String(text) if !text.contains("${") => self.verbatim(written, text),
            Scalar::String(_) => {
                let value = self.value(locals, written)?;
                display(&value).map_err(|why| self.not_a_text(&written.span, why)).ok()
            }
            other => number_text(other, written),
        }
    }

    /// A text as it was written, nothing in it resolved.
    pub(in crate::plan) fn verbatim(&self, written: &Value, text: &str) -> Option<String> {
        self.count(text.len(), &written.span).then(|| text.to_owned())
    }

    /// The texts of a value that may stand for several: `"${list}"` stands for the items of the list.
    pub(in crate::plan) fn texts(&self, locals: &Locals, written: &Value) -> Option<Vec<String>> {
        if !matches!(&written.scalar, Scalar::String(text) if text.contains("${")) {
            return self.text(locals, written).map(|text| vec![text]);
        }
        let value = self.value(locals, written)?;
        let items = if value.kind() == ValueKind::Seq { value.try_iter().ok()?.collect() } else { vec![value] };
        let texts: Result<Vec<String>, &str> = items.iter().map(display).collect();
        texts.map_err(|why| self.not_a_text(&written.span, why)).ok()
    }

    fn not_a_text(&self, span: &Span, why: &str) {
        self.fault(Diagnostic::plan("plan::wrong-type", "a text is needed here", span, "is not a text").help(why));
    }

    /// The value as written, with its names resolved.
    pub(in crate::plan) fn value(&self, locals: &Locals, written: &Value) -> Option<Resolved> {
        let text = match &written.scalar {
            Scalar::String(text) => text,
            Scalar::Integer(number) if written.span.text() == number.to_string() => return Some(Resolved::from(*number)),
            Scalar::Bool(flag) => return Some(Resolved::from(*flag)),
            other => return number_text(other, written).map(Resolved::from),
        };
        let template = self.template(written, text)?;
        let (value, met) = self.watch(|| self.pieces(locals, written, &template));
        self.taint(&written.span, met);
        self.spend(&value?, &written.span)
    }

    fn pieces(&self, locals: &Locals, written: &Value, template: &Template<'_>) -> Option<Resolved> {
        Some(match template.pieces.as_slice() {
            [Piece::Text(text)] => Resolved::from(text.as_str()),
            [Piece::Expression(compiled)] => self.expression(locals, compiled)?,
            pieces => {
                let mut whole = Some(String::new());
                for piece in pieces {
                    // Every expression is looked at, so that all faults of one text are found at once.
                    let part = match piece {
                        Piece::Text(text) => Some(text.clone()),
                        Piece::Expression(compiled) => self
                            .expression(locals, compiled)
                            .and_then(|value| display(&value).map_err(|why| self.not_a_text(&compiled.span, why)).ok()),
                    };
                    whole = whole.zip(part).map(|(whole, part)| whole + &part);
                    if whole.as_ref().is_some_and(|whole| whole.len() > VALUE_LIMIT) {
                        self.too_large(&written.span);
                        return None;
                    }
                }
                Resolved::from(whole?)
            }
        })
    }

    /// The text of a value that is no list and no map; nothing is reported of one that is.
    pub(in crate::plan) fn plain(&self, locals: &Locals, written: &Value) -> Option<String> {
        display(&self.value(locals, written)?).ok()
    }

    fn too_large(&self, span: &Span) {
        let message = format!("a value grows beyond {}", ByteSize(VALUE_LIMIT as u64));
        self.fault(Diagnostic::plan("plan::too-large", message, span, "").help("a plan holds names and paths; put large texts into files"));
    }

    /// Counts what a value takes, and refuses it when that is too much.
    fn spend(&self, value: &Resolved, span: &Span) -> Option<Resolved> {
        let mut room = VALUE_LIMIT;
        let Some(settled) = settle(value, &mut room) else {
            self.too_large(span);
            return None;
        };
        self.count(VALUE_LIMIT - room, span).then_some(settled)
    }

    /// Counts bytes of text; false, and reported once, when the plan has too many.
    fn count(&self, bytes: usize, span: &Span) -> bool {
        let before = self.shared.spent.get();
        let after = before.saturating_add(bytes);
        self.shared.spent.set(after);
        if before <= PLAN_LIMIT && after > PLAN_LIMIT {
            let message = format!("the texts of this plan grow beyond {}", ByteSize(PLAN_LIMIT as u64));
            self.fault(Diagnostic::plan("plan::too-large", message, span, "here").help("split the plan, or make its matrix smaller"));
        }
        after <= PLAN_LIMIT
    }

    /// The value of a `let`, a `param` or a property of `project`; `None` when it has none, which is reported.
    pub(in crate::plan) fn binding(&self, name: &str) -> Option<Resolved> {
        let binding = self.bindings.get()?.0.get(name)?;
        let basis = &self.facts.basis;
        if let State::Done(value, met, used) = &*binding.state.borrow() {
            self.meet_all(met);
            basis.note_all(used);
            return value.clone();
        }
        let top = Locals::top();
        let known = binding.origin.known_as(&self.full(name));
        let own = || match &binding.origin {
            Origin::Nothing => None,
            Origin::Written(value) => self.value(&top, value),
            Origin::File(path) => self.file_value(name, path),
            Origin::Command(script) => self.command_value(name, script),
            Origin::Param(param) => self.param(name, param),
            Origin::Let(node) => self.tree(&top, &node.args[1..], node.children.as_deref()),
        };
        let ((value, met), used) = basis.during(|| {
            let (value, met) = match basis.former(&known) {
                Some(former) => (Some(Resolved::from_serialize(&former)), Met::new()),
                None => self.watch(own),
            };
            let value = value.and_then(|value| self.spend(&value, &binding.span));
            if let Some(value) = value.as_ref().filter(|_| met.is_empty()) {
                basis.note(&known, || serde_json::to_string(value).ok());
            }
            (value, met)
        });
        *binding.state.borrow_mut() = State::Done(value.clone(), met, used);
        value
    }

    /// One argument is a text, several are a list, a block is a map.
    fn tree(&self, top: &Locals, args: &[Value], children: Option<&[Node]>) -> Option<Resolved> {
        if let Some(children) = children {
            let entries: Option<BTreeMap<String, Resolved>> =
                children.iter().map(|node| Some((node.name.text.clone(), self.tree(top, &node.args, node.children.as_deref())?))).collect();
            return entries.map(|entries| entries.into_iter().collect());
        }
        match args {
            [only] => self.value(top, only),
            several => several.iter().map(|value| self.value(top, value)).collect::<Option<Vec<_>>>().map(Resolved::from),
        }
    }

    /// Finds the faults that the names of a value have, without asking for a fact.
    pub(in crate::plan) fn check_names(&self, locals: &Locals, written: &Value) {
        let Scalar::String(text) = &written.scalar else { return };
        let Some(template) = self.template(written, text) else { return };
        for name in template.names() {
            if let Some(fault) = self.judge(locals, name) {
                self.tell(fault);
            }
        }
    }

    fn expression(&self, locals: &Locals, compiled: &Compiled<'_>) -> Option<Resolved> {
        let mut whole: BTreeMap<String, Resolved> = BTreeMap::new();
        let mut parts: BTreeMap<String, BTreeMap<String, Resolved>> = BTreeMap::new();
        let (mut absent, mut complete) = (None, true);
        for name in &compiled.names {
            if let Some(fault) = self.judge(locals, name) {
                self.tell(fault);
                complete = false;
                continue;
            }
            let root = name.root().to_owned();
            match self.look_up(locals, name) {
                None => complete = false,
                Some(Found::Whole(value)) => {
                    whole.insert(root, value);
                }
                Some(Found::Part(value)) => {
                    parts.entry(root).or_default().insert(name.second().unwrap_or_default().to_owned(), value);
                }
                Some(Found::Absent) => {
                    if name.second().is_some() {
                        parts.entry(root).or_default();
                    }
                    absent = absent.or(Some(name));
                }
            }
        }
        if !complete {
            return None;
        }
        if let Some(root) = parts.keys().find(|root| whole.contains_key(*root)) {
            let message = format!("`{root}` is an argument and `{root}.…` a fact; one expression can use only one of them");
            let fault = Diagnostic::plan("plan::bad-expression", message, &compiled.span, "uses both");
            self.fault(fault.help("give one of them another name with `let`, or rename the argument"));
            return None;
        }
        whole.extend(parts.into_iter().map(|(root, words)| (root, words.into_iter().collect())));
        let is_version = |name: &str| self.is_version(locals, compiled, name, ALIASES);
        let versions = match compiled.compares.as_ref().map(|text| by_precedence(text, is_version)).transpose() {
            Ok(rewritten) => rewritten.flatten().and_then(|text| self.engine.compile_expression_owned(text).ok()),
            Err(why) => {
                self.fault(Diagnostic::plan("plan::bad-expression", why, &compiled.span, "").help("put the other side into a `let`"));
                return None;
            }
        };
        let expression = versions.as_ref().unwrap_or(&*compiled.expression);
        match expression.eval(whole.iter().map(|(name, value)| (name.as_str(), value.clone())).collect::<Resolved>()) {
            Ok(value) if !value.is_undefined() => match settle(&value, &mut { VALUE_LIMIT }) {
                Some(settled) => Some(settled),
                None => {
                    self.too_large(&compiled.span);
                    None
                }
            },
            // Wrong whatever the values are.
            Err(error) if matches!(error.kind(), ErrorKind::MissingArgument | ErrorKind::TooManyArguments) => {
                self.unreadable(compiled, &error);
                None
            }
            // What a stand-in does not fit may fit the true value.
            _ if self.has_met() => Some(Resolved::from(STAND_IN)),
            Err(error) if error.kind() != ErrorKind::UndefinedError => {
                self.unreadable(compiled, &error);
                None
            }
            _ => {
                self.fault(undefined(compiled, absent, &whole));
                None
            }
        }
    }

    /// Whether a name of an expression stands for nothing but a `semver` param.
    fn is_version(&self, locals: &Locals, compiled: &Compiled<'_>, name: &str, depth: usize) -> bool {
        let Some(name) = compiled.names.iter().find(|known| known.text == name) else { return false };
        if let Some(var) = variable(locals, name) {
            return var.kind == ParamKind::Semver;
        }
        let value = match self.frames().arg(name.span.frame, name.root()) {
            Some(value) => value,
            None => match self.bindings.get().and_then(|bindings| bindings.0.get(&name.text)).map(|binding| &binding.origin) {
                Some(Origin::Param(param)) => return param.kind() == ParamKind::Semver,
                Some(Origin::Let(node)) if node.children.is_none() && node.args.len() == 2 => node.args.get(1),
                _ => None,
            },
        };
        let Some(value @ Value { scalar: Scalar::String(text), .. }) = value.filter(|_| depth > 0) else { return false };
        let template = if self.is_good_value(value) { self.template(value, text) } else { None };
        match template.as_deref().map(|template| template.pieces.as_slice()) {
            Some([Piece::Expression(inner)]) => self.is_version(locals, inner, inner.span.text().trim(), depth - 1),
            _ => false,
        }
    }

    fn unreadable(&self, compiled: &Compiled<'_>, error: &minijinja::Error) {
        let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        let message = format!("`{}` has no value: {}", words::visible(compiled.span.text()), words::visible(&detail));
        let fault = Diagnostic::plan("plan::bad-expression", words::shorten(&message, 300), &compiled.span, "");
        self.fault(match error.kind() {
            ErrorKind::MissingArgument => fault.help("the filter needs more values between its parentheses"),
            ErrorKind::TooManyArguments => fault.help("the filter takes fewer values between its parentheses"),
            _ if compiled.span.text().contains('+') => fault.help("texts are put together with `~`"),
            _ => fault,
        });
    }

    /// Takes a fault about a name in, unless the name's declaration is itself at fault.
    fn tell(&self, fault: Diagnostic) {
        if fault.code != "plan::unknown-name" || !self.may_lack(&["let", "param", "each"]) {
            self.fault(fault);
        }
    }

    /// What is wrong with a name, as far as that can be said without asking for a fact.
    fn judge(&self, locals: &Locals, name: &Dotted) -> Option<Diagnostic> {
        let root = name.root();
        let bindings = self.bindings.get();
        let frame = name.span.frame;
        if variable(locals, name).is_some()
            || self.frames().arg(frame, root).is_some()
            || bindings.is_some_and(|bindings| bindings.0.contains_key(root))
        {
            return None;
        }
        if locals.hidden.iter().any(|hidden| hidden == root) {
            let message = format!("`{root}` differs from cell to cell, and this holds for the whole target");
            let fault = Diagnostic::plan("plan::undefined", message, &name.span, "has no one value here");
            return Some(fault.help("for one target per value, write `each` around it instead of `matrix` in it"));
        }
        if locals.elsewhere.iter().any(|known| known == root) {
            return None;
        }
        if !ROOTS.contains(&root) {
            let fault = Diagnostic::plan("plan::unknown-name", format!("nothing is called `{root}`"), &name.span, "unknown name");
            if !self.may_search(locals.vars.len() + bindings.map_or(0, |bindings| bindings.0.len())) {
                return Some(fault);
            }
            let own = locals.vars.iter().filter(|var| var.span.frame == frame).map(|var| var.name.as_str());
            let params = self.frames().get(frame).into_iter().flat_map(|frame| &frame.args).map(|(name, ..)| name.as_str());
            let mut names: Vec<&str> = own.chain(params).collect();
            names
                .extend(bindings.into_iter().flat_map(|bindings| bindings.0.keys()).map(String::as_str).filter(|name| !name.contains('.')));
            let near = words::closest(root, names.iter().chain(ROOTS).copied());
            return Some(match near {
                _ if let Some(help) =
                    habits::name(name, &names, |word| self.secrets.get().is_some_and(|secrets| secrets.contains_key(word))) =>
                {
                    fault.help(help)
                }
                _ if frame > 0 && locals.vars.iter().any(|var| var.name == root) => {
                    fault.help(format!("a template sees only its own params; hand it in: `use … {root}=\"${{{root}}}\"`"))
                }
                Some(near) => fault.help(format!("did you mean `{near}`?")),
                None if ["true", "false", "none"].contains(&root) => fault,
                None if root.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_') => {
                    fault.help(format!("for a variable of the environment write `${{env.{root}}}`"))
                }
                None => fault.help(format!(
                    "declare it with `let {root} \"…\"`, or use one of: {}",
                    words::shorten(&[names.as_slice(), ROOTS].concat().join(", "), 300)
                )),
            });
        }
        if root == "profile" {
            let word = name.second()?;
            let fault = Diagnostic::plan("plan::unknown-name", format!("`profile` has no `{word}`"), &name.span, "unknown name");
            return Some(fault.help("`${profile}` is the name of the chosen profile, and an empty text when none was chosen"));
        }
        if let ("platform", Err(why)) = (root, &locals.platform) {
            return Some(no_platform(*why, &name.span));
        }
        let words = Recorder::words(root);
        let offered = if words.is_empty() {
            format!("`{root}.NAME`")
        } else {
            words.iter().map(|word| format!("`{root}.{word}`")).collect::<Vec<_>>().join(", ")
        };
        match name.second() {
            None if root == "platform" => None,
            None => {
                let message = format!("`{root}` holds several values");
                Some(Diagnostic::plan("plan::unknown-name", message, &name.span, "which one?").help(format!("name one: {offered}")))
            }
            Some(word) if words.is_empty() || words.contains(&word) => None,
            Some(word) => {
                let fault = Diagnostic::plan("plan::unknown-name", format!("`{root}` has no `{word}`"), &name.span, "unknown name");
                let near = words::closest(word, words.iter().copied());
                Some(fault.help(near.map_or_else(|| format!("it has: {offered}"), |near| format!("did you mean `{root}.{near}`?"))))
            }
        }
    }

    /// The value of a name that [`Cx::judge`] found nothing wrong with; `None` when it has none, which is reported.
    fn look_up(&self, locals: &Locals, name: &Dotted) -> Option<Found> {
        let root = name.root();
        let frame = name.span.frame;
        if let Some(var) = variable(locals, name) {
            if let Some(met) = self.taint_of(&var.span) {
                self.meet_all(&met);
            }
            return Some(Found::Whole(var.resolved()));
        }
        if let Some(value) = self.frames().arg(frame, root) {
            return self.value(locals, value?).map(Found::Whole);
        }
        if self.bindings.get().is_some_and(|bindings| bindings.0.contains_key(root)) {
            return self.binding(root).map(Found::Whole);
        }
        if locals.elsewhere.iter().any(|known| known == root) {
            return Some(Found::Absent);
        }
        match (root, name.second().unwrap_or_default()) {
            ("platform", _) => {
                let platform = locals.platform.clone().ok()?;
                Some(Found::Whole(Resolved::from_object(PlatformValue(platform))))
            }
            ("profile", _) => Some(Found::Whole(Resolved::from(self.shared.chosen.borrow().join(",")))),
            ("project", word) => {
                let full = format!("project.{word}");
                if !self.bindings.get()?.0.contains_key(&full) {
                    return Some(Found::Absent);
                }
                self.binding(&full).map(Found::Part)
            }
            ("git", _) if !self.facts.may_ask() => {
                self.meet("git");
                let stand_in = self.facts.named(root, name.second().unwrap_or_default())?.ok().flatten()?;
                Some(Found::Part(Resolved::from(stand_in)))
            }
            (root, word) => match self.facts.named(root, word)? {
                Ok(Some(text)) => Some(Found::Part(Resolved::from(text))),
                Ok(None) => Some(Found::Absent),
                Err(error) => {
                    let message = format!("`{root}.{word}` cannot be read: {}", words::visible(&error.to_string()));
                    self.fault(Diagnostic::plan("plan::fact", message, &name.span, "needed here"));
                    None
                }
            },
        }
    }
}

/// Numbers stand as they were written: `1.10` is not `1.1`, and `0755` keeps its zero.
fn number_text(scalar: &Scalar, written: &Value) -> Option<String> {
    let raw = written.span.text();
    match scalar {
        Scalar::Integer(_) if !raw.is_empty() && raw.bytes().all(|byte| byte.is_ascii_digit()) => Some(raw.to_owned()),
        Scalar::Integer(number) => Some(number.to_string()),
        Scalar::Float(_) => Some(raw.to_owned()),
        Scalar::Bool(flag) => Some(flag.to_string()),
        Scalar::String(text) => Some(text.clone()),
        Scalar::Null => None,
    }
}
