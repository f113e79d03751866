//! `let` values that stand outside the plan: the text of a file, what a command prints.
//! In: the node, answers of [`crate::plan::facts::Facts`]. Out: a text, or a stand-in where nothing may be asked.
//! Never: the same question twice, a question whose answer nobody uses.

use indexmap::IndexMap;
use minijinja::Value as Resolved;

use crate::base::diagnostic::{Class, Diagnostic, Span};
use crate::base::words;
use crate::plan::cx::Cx;
use crate::plan::facts::STAND_IN;
use crate::syntax::document::{Node, Scalar, Value};

use super::Locals;
use super::bindings::{Origin, State};
use super::engine::VALUE_LIMIT;

/// Where the value of a `let` node comes from; `None` when it says two things at once, which is reported.
pub(super) fn of_let<'a>(cx: &Cx<'_>, node: &'a Node) -> Option<Origin<'a>> {
    let mut given = node.props.iter();
    let Some(source) = given.next() else { return Some(Origin::Let(node)) };
    let block = node.children.iter().flatten().next().map(|child| &child.name.span);
    let other = given.next().map(|prop| &prop.name.span).or_else(|| node.args.get(1).map(|value| &value.span)).or(block);
    if let Some(other) = other {
        let message = format!("`let` has `{}=` and another value", source.name.text);
        let fault = Diagnostic::plan("plan::arguments", message, other, "another value").label(&source.name.span, "one value");
        cx.fault(fault.help("leave one of them out"));
        return None;
    }
    if !cx.is_good_value(&source.value) {
        return None;
    }
    Some(if source.name.text == "file" { Origin::File(&source.value) } else { Origin::Command(&source.value) })
}

impl Cx<'_> {
    /// The text of a file, without the newlines at its end.
    pub(super) fn file_value(&self, name: &str, written: &Value) -> Option<Resolved> {
        let path = self.text(&Locals::top(), written)?;
        let fault = |message: String, help: &str| {
            self.fault(Diagnostic::plan("plan::let-file", message, &written.span, "read for its value").help(help));
        };
        let shown = words::shorten(&words::visible(&path), 80);
        let place = match self.folder.join(&path) {
            Ok(place) if !place.is_root() => place,
            outside => {
                let why = outside.err().map_or_else(|| "is the project itself".to_owned(), |why| why.to_string());
                let fault = Diagnostic::plan("plan::bad-path", format!("`{shown}` {why}"), &written.span, "not a file of the project");
                self.fault(fault.help("name a file below the plan's folder"));
                return None;
            }
        };
        if !self.facts.may_ask_for(&self.full(name)) {
            return Some(self.stand_in(name));
        }
        match self.facts.file(&place, VALUE_LIMIT as u64) {
            Ok(Some(content)) => self.text_of(content, &format!("the file `{shown}` holds"), "plan::let-file", &written.span),
            Ok(None) => {
                fault(format!("the file `{shown}` does not exist"), "write the file, or mend the path; it is taken from the plan's folder");
                None
            }
            Err(error) => {
                fault(format!("the file `{shown}` cannot be read: {}", words::visible(&error.to_string())), "a value has at most 64 KiB");
                None
            }
        }
    }

    /// What a command prints, without the newlines at its end.
    pub(super) fn command_value(&self, name: &str, written: &Value) -> Option<Resolved> {
        let Scalar::String(script) = &written.scalar else { return None };
        let script = self.verbatim(written, script)?;
        if !self.facts.may_ask_for(&self.full(name)) {
            return Some(self.stand_in(name));
        }
        let shown = words::shorten(&words::visible(&script), 60);
        match self.facts.command(&script, VALUE_LIMIT as u64) {
            Ok(content) => self.text_of(content, &format!("the command `{shown}` prints"), "plan::let-command", &written.span),
            Err(error) => {
                let message = format!("the command `{shown}` {}", words::visible(&error.reason));
                let fault = Diagnostic::new(Class::Environment, "plan::let-command", message);
                let fault = fault.label(&written.span, format!("gives `{name}` its value"));
                let said: Vec<String> = error.tail.lines().map(words::visible).collect();
                self.fault(match said.as_slice() {
                    [] => fault.help("run it in the plan's folder to see what is wrong; it printed no error"),
                    [line] => fault.help(format!("it said: {line}")),
                    lines => fault.help(format!("it said:\n{}", lines.join("\n"))),
                });
                None
            }
        }
    }

    fn stand_in(&self, name: &str) -> Resolved {
        self.meet(&self.full(name));
        Resolved::from(STAND_IN)
    }

    fn text_of(&self, content: Vec<u8>, what: &str, code: &'static str, span: &Span) -> Option<Resolved> {
        let text = String::from_utf8(content).ok().filter(|text| !text.contains('\0'));
        if text.is_none() {
            let fault = Diagnostic::plan(code, format!("{what} something else than text"), span, "needed here");
            self.fault(fault.help("a value is UTF-8 text without NUL bytes"));
        }
        let text = text?;
        Some(Resolved::from(text.trim_end_matches(['\n', '\r'])))
    }

    /// The values that files and commands gave, by name, in order of declaration.
    pub(in crate::plan) fn asked_values(&self) -> IndexMap<String, String> {
        let bindings = self.bindings.get().into_iter().flat_map(|bindings| &bindings.0);
        let outside = bindings.filter(|(_, binding)| matches!(binding.origin, Origin::File(_) | Origin::Command(_)));
        let known = outside.filter_map(|(name, binding)| match &*binding.state.borrow() {
            State::Done(Some(value), met, _) if met.is_empty() => Some((self.full(name), value.to_string())),
            _ => None,
        });
        known.collect()
    }
}
