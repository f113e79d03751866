//! Faults in one of many cells: a fault that rests on what differs from cell to cell names the cell, once for all of them.
//! In: the faults that were found while one definition was read. Out: the names of those cells, for their labels.
//! Never: a name beside a fault that every cell has.

use std::collections::BTreeSet;

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::id::{Cell, TargetName};
use crate::base::platform::Platform;

use super::cx::{Cx, FaultKey};
use super::value::{Locals, Variable};

/// How deep params of templates are followed.
const DEPTH: usize = 32;

/// One definition of a target, by all that may tell it from the others.
pub(super) struct CellName {
    /// The target.
    pub target: TargetName,
    /// The names of the `each` variables around it.
    pub each: Vec<String>,
    /// Its cell of the matrix.
    pub cell: Cell,
    /// Its platform.
    pub platform: Option<Platform>,
}

/// The cells that one fault was found in.
pub(super) struct Seen {
    first: String,
    last: String,
    more: usize,
}

impl Seen {
    /// Says where a fault holds, at its first place.
    pub(super) fn tell(&self, fault: &mut Diagnostic) {
        let Some(label) = fault.labels.first_mut() else { return };
        let more = if self.more > 0 { format!(" and {} more", self.more) } else { String::new() };
        let comma = if label.text.is_empty() { "" } else { ", " };
        label.text = format!("{}{comma}in `{}`{more}", label.text, self.first);
    }
}

impl CellName {
    /// What a fault that rests on these names calls it; `None` when all cells have it.
    fn told(&self, names: &BTreeSet<String>) -> Option<String> {
        let platform = self.platform.as_ref().filter(|_| names.contains("platform"));
        let in_cell = self.cell.0.iter().any(|(name, _)| names.contains(name)) || names.contains("");
        if platform.is_none() && !in_cell && !self.each.iter().any(|name| names.contains(name)) {
            return None;
        }
        let cell = if in_cell { self.cell.to_string() } else { String::new() };
        Some(format!("{}{cell}{}", self.target, platform.map_or_else(String::new, |platform| format!("@{platform}"))))
    }
}

impl Cx<'_> {
    /// Does the work for one definition; what it finds wrong names the definition if it rests on what is its own.
    pub(super) fn in_cell<T>(&self, locals: &Locals, name: impl FnOnce() -> CellName, work: impl FnOnce() -> T) -> T {
        if locals.vars.is_empty() && locals.platform.is_err() {
            return work();
        }
        let around = self.shared.recent.replace(Some(Vec::new()));
        let made = work();
        let recent = self.shared.recent.replace(around).unwrap_or_default();
        if !recent.is_empty() {
            let name = name();
            recent.into_iter().for_each(|(key, span)| self.note(&name, locals, key, &span));
        }
        made
    }

    fn note(&self, name: &CellName, locals: &Locals, key: FaultKey, span: &Span) {
        let mut names = BTreeSet::new();
        self.rests_on(locals, span, DEPTH, &mut names);
        let Some(told) = name.told(&names) else { return };
        let mut seen = self.shared.seen.borrow_mut();
        let seen = seen.entry(key).or_insert_with(|| Seen { first: told.clone(), last: told.clone(), more: 0 });
        if seen.last != told {
            seen.more += 1;
            seen.last = told;
        }
    }

    /// The variables of a cell, and `platform`, that the text at this place uses; an empty name for what `include` gives some cells.
    fn rests_on(&self, locals: &Locals, span: &Span, depth: usize, found: &mut BTreeSet<String>) {
        for word in words(span.text()) {
            let var: Option<&Variable> = locals.vars.iter().find(|var| var.name == word && var.span.frame == span.frame);
            if locals.elsewhere.iter().any(|name| name == word) {
                found.insert(String::new());
            } else if var.is_some() || word == "platform" {
                found.insert(word.to_owned());
            } else if let Some(Some(value)) = self.frames().arg(span.frame, word)
                && depth > 0
            {
                self.rests_on(locals, &value.span, depth - 1, found);
            }
        }
    }
}

/// The words in the expressions of a written value, or in a part of an expression.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let whole = !text.contains("${") && !text.starts_with(['"', '#']);
    let expressions = text.split("${").skip(usize::from(!whole));
    let inside = expressions.map(move |part| if whole { part } else { part.split('}').next().unwrap_or_default() });
    let names = inside.flat_map(|part| part.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '.')));
    names.map(|name| name.split('.').next().unwrap_or_default()).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_of_expressions_count() {
        for (text, expected) in [
            ("\"a ${os} b ${platform.arch|upper}\"", &["os", "platform", "upper"][..]),
            ("\"os\"", &[]),
            ("#\"os\"#", &[]),
            ("os", &["os"]),
            ("l[5]", &["l", "5"]),
        ] {
            assert_eq!(words(text).collect::<Vec<_>>(), expected, "{text}");
        }
    }
}
