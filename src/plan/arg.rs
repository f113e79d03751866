//! Arguments of tasks: what is declared, and what was typed behind a target.
//! In: words as they were typed. Out: data for help, lists and completion. Never: looks anything up.

use serde::{Deserialize, Serialize};

use crate::base::diagnostic::Span;

use super::param::ParamKind;

/// What was typed behind one target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The target or step as it was typed: `deploy`, `web/build@arm64`. Empty when the words stand before every target.
    pub target: String,
    /// `name=value`, `--name`, `--name=value` and `-x`, in order.
    pub words: Vec<String>,
    /// What follows `--`; `None` without one.
    pub rest: Option<Vec<String>>,
}

impl Call {
    /// The name of the target, without cell, kind and platform.
    #[must_use]
    pub fn name(&self) -> &str {
        self.target.split(['[', '/', '@']).next().unwrap_or_default()
    }
}

/// What a task takes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Arguments {
    /// Its `arg` and `flag` nodes, in order of declaration.
    pub list: Vec<ArgDef>,
    /// Its `rest` node.
    pub rest: Option<RestDef>,
}

/// An `arg` or a `flag`, with its value in this plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ArgDef {
    /// Its name, which is that of a variable.
    pub name: String,
    /// What its value must be; a flag's is `true` or `false`.
    pub kind: ParamKind,
    /// Whether it is a flag: `--name` turns it on.
    pub flag: bool,
    /// The letter of a flag, for `-r`.
    pub short: Option<char>,
    /// One line about it.
    pub doc: Option<String>,
    /// The value when none is typed, as it is written; `None` when one must be typed.
    pub default: Option<String>,
    /// The only values that it may have; empty when there is no such list.
    pub choices: Vec<String>,
    /// The value; `None` when none was given.
    pub value: Option<String>,
    /// The name in the source.
    pub span: Span,
}

/// A `rest` node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RestDef {
    /// One line about it.
    pub doc: Option<String>,
}

impl Arguments {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty() && self.rest.is_none()
    }
}

impl ArgDef {
    /// How it is typed: `env=dev|prod`, `--dry-run`.
    #[must_use]
    pub fn form(&self) -> String {
        if self.flag {
            // What kiln reads itself can still be said by name.
            return if is_reserved(&self.name) { format!("{}=true", self.name) } else { format!("--{}", self.name.replace('_', "-")) };
        }
        let value = if self.choices.is_empty() { self.kind.word().to_uppercase() } else { self.choices.join("|") };
        format!("{}={value}", self.name)
    }
}

/// The options that `kiln run` reads itself, with their letters: a word that is one of these never reaches a task.
pub const RESERVED: &[(&str, Option<char>)] = &[
    ("cache-dir", None),
    ("color", None),
    ("directory", Some('C')),
    ("file", Some('f')),
    ("force", None),
    ("frozen", None),
    ("help", Some('h')),
    ("jobs", Some('j')),
    ("json", None),
    ("keep-going", Some('k')),
    ("offline", None),
    ("profile", None),
    ("report", None),
    ("set", None),
    ("verbose", Some('v')),
];

/// Whether `--name` is an option of kiln itself.
pub(super) fn is_reserved(name: &str) -> bool {
    RESERVED.iter().any(|(known, _)| *known == name.replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_target_ends_where_a_step_begins() {
        for (typed, name) in
            [("deploy", "deploy"), ("web/build@arm64", "web"), ("compile[bin=a/b]", "compile"), ("ci:test@arm64", "ci:test")]
        {
            assert_eq!(Call { target: typed.to_owned(), ..Call::default() }.name(), name);
        }
    }
}
