//! One difference between two keys, for people and for programs.
//! In: a [`Difference`]. Out: a clause, the lines below it, or a JSON value. Never: two bare digests without saying what
//! they are of.

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::words::{count, shorten, visible};
use crate::key::explain::{Change, Difference, Sort, short_digest};

use super::diff::{self, DiffLine};
use super::paint::{self, Ink};
use super::style::Style;

/// The longest value shown on one line, in characters.
const LONGEST_VALUE: usize = 60;

/// How a thing changed, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It is there now: `new`, where its value is worth a line.
    Added,
    /// It is gone: `old`.
    Removed,
    /// It is otherwise the same: `old` is its former name.
    Renamed,
    /// `old` and `new` are digests of its bytes.
    Content,
    /// `old` and `new` are 644 or 755.
    Mode,
    /// `old` and `new` are values.
    Value,
    /// `gone` and `came` are members of a list.
    Members,
    /// The same members in another order.
    Order,
}

/// One thing that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Told {
    /// What it is.
    pub sort: Sort,
    /// Which one: a path, a variable, a step; empty where a step has only one.
    pub name: String,
    /// How it changed.
    pub change: Kind,
    /// The value before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// The value now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
    /// Members that went.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<String>,
    /// Members that came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub came: Vec<String>,
    /// What it changed in the definition of the step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<Told>,
    /// The step that makes the file, if one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_by: Option<String>,
    /// The same for people: `src/main.rs: content changed (aaaaaaaa… → bbbbbbbb…)`.
    pub words: String,
    /// What `words` begin with.
    #[serde(skip)]
    subject: String,
}

impl Told {
    /// Tells a difference; `made_by` names the step that makes the file.
    #[must_use]
    pub fn new(difference: &Difference, made_by: Option<String>) -> Self {
        let mut told = Self {
            sort: difference.thing.sort,
            name: difference.thing.name.clone(),
            change: Kind::Order,
            old: None,
            new: None,
            gone: Vec::new(),
            came: Vec::new(),
            effects: Vec::new(),
            made_by,
            words: String::new(),
            subject: match (difference.thing.sort, &difference.change) {
                (Sort::Need, Change::Added(_) | Change::Removed(_)) => format!("needs {}", difference.thing.name),
                _ => difference.thing.words(),
            },
        };
        let pair = |told: &mut Self, kind, old: &str, new: &str| {
            (told.change, told.old, told.new) = (kind, Some(old.to_owned()), Some(new.to_owned()));
        };
        match &difference.change {
            Change::Added(now) => (told.change, told.new) = (Kind::Added, now.clone()),
            Change::Removed(before) => (told.change, told.old) = (Kind::Removed, before.clone()),
            Change::Renamed(before) => (told.change, told.old) = (Kind::Renamed, Some(before.clone())),
            Change::Content(old, new) => pair(&mut told, Kind::Content, old, new),
            Change::Mode(old, new) => pair(&mut told, Kind::Mode, old, new),
            Change::Value(old, new) => pair(&mut told, Kind::Value, old, new),
            Change::Members(gone, came) => (told.change, told.gone, told.came) = (Kind::Members, gone.clone(), came.clone()),
            Change::Order => {}
        }
        told.words = format!("{}: {}", told.subject, told.clause(Style::PLAIN));
        told
    }

    /// With what it changed in the definition of the step.
    #[must_use]
    pub fn with(self, effects: Vec<Self>) -> Self {
        Self { effects, ..self }
    }

    /// How it changed, in one clause.
    #[must_use]
    pub fn clause(&self, style: Style) -> String {
        let (arrow, dots) = (style.arrow(), style.ellipsis());
        let value = |value: &str| format!("\"{}\"", shorten(&visible(value), LONGEST_VALUE));
        let members = |mark: &str, list: &[String]| list.iter().map(|one| format!("{mark}{}", value(one))).collect::<Vec<_>>().join(", ");
        let digest = |value: &str| short_digest(value).unwrap_or_else(|| visible(value));
        let (old, new) = (self.old.as_deref().unwrap_or_default(), self.new.as_deref().unwrap_or_default());
        match self.change {
            Kind::Added if self.new.is_none() => "added".to_owned(),
            Kind::Added => format!("added, {}", value(new)),
            Kind::Removed if self.old.is_none() => "removed".to_owned(),
            Kind::Removed => format!("removed, was {}", value(old)),
            Kind::Renamed => format!("renamed, was {}", visible(old)),
            Kind::Content => {
                let what = if self.sort == Sort::File { "content changed" } else { "changed" };
                format!("{what} ({}{dots} {arrow} {}{dots})", digest(old), digest(new))
            }
            Kind::Mode => format!("mode {old} {arrow} {new}"),
            Kind::Value if self.is_text() => "changed".to_owned(),
            Kind::Value => format!("{} {arrow} {}", value(old), value(new)),
            Kind::Members if self.gone.is_empty() => members("+", &self.came),
            Kind::Members if self.came.is_empty() => members("-", &self.gone),
            Kind::Members => format!("{}, {}", members("-", &self.gone), members("+", &self.came)),
            Kind::Order => "in another order".to_owned(),
        }
    }

    fn is_text(&self) -> bool {
        self.change == Kind::Value && [&self.old, &self.new].iter().any(|value| value.as_ref().is_some_and(|value| value.contains('\n')))
    }

    /// The difference on a screen: a line, and the changed lines of a text below it.
    #[must_use]
    pub fn lines(&self, indent: &str, style: Style) -> Vec<String> {
        let from = self.made_by.as_ref().map_or_else(String::new, |step| style.paint(Ink::Dim, &format!(", made by {}", visible(step))));
        let first = format!("{indent}{}: {}{from}", style.paint(Ink::Name, &visible(&self.subject)), self.clause(style));
        let mut lines = vec![first];
        if self.is_text() {
            let (old, new) = (self.old.as_deref().unwrap_or_default(), self.new.as_deref().unwrap_or_default());
            lines.extend(diff::lines(old, new).iter().map(|line| {
                let line = match line {
                    DiffLine::Same(line) => format!("{indent}    {}", visible(line)),
                    DiffLine::Gone(line) => format!("{indent}  {}", style.paint(Ink::Bad, &format!("- {}", visible(line)))),
                    DiffLine::New(line) => format!("{indent}  {}", style.paint(Ink::Good, &format!("+ {}", visible(line)))),
                    DiffLine::Left(n) => {
                        format!("{indent}  {}", style.paint(Ink::Dim, &format!("{} {}", style.ellipsis(), count(*n, "line"))))
                    }
                };
                paint::fit(line.trim_end(), style.width, style)
            }));
        }
        let below = format!("{indent}  ");
        lines.extend(self.effects.iter().flat_map(|effect| effect.lines(&below, style)));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyManifest;
    use crate::key::explain::differences;

    fn told(old: &[(&str, &str)], new: &[(&str, &str)]) -> Vec<String> {
        let owned =
            |lines: &[(&str, &str)]| KeyManifest(lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect());
        differences(&owned(old), &owned(new)).iter().map(|one| Told::new(one, None).words).collect()
    }

    #[test]
    fn every_kind_of_change_has_words() {
        let (a, b) = (format!("blake3:{}", "a".repeat(64)), format!("blake3:{}", "b".repeat(64)));
        for (old, new, expected) in [
            (
                &[("inputs › src/main.rs › content", a.as_str())][..],
                &[("inputs › src/main.rs › content", b.as_str())][..],
                "src/main.rs: content changed (aaaaaaaa… → bbbbbbbb…)",
            ),
            (&[("inputs › x › mode", "644")], &[("inputs › x › mode", "755")], "x: mode 644 → 755"),
            (&[("inputs › x › content", &a)], &[("inputs › x › link", "y")], "x: \"a file\" → \"a link to y\""),
            (&[("inputs › x › link", "y")], &[("inputs › x › link", "z")], "x: \"a link to y\" → \"a link to z\""),
            (&[], &[("inputs › new.rs › content", &a), ("inputs › new.rs › mode", "644")], "new.rs: added"),
            (&[("copy › files › old.rs › content", &a)], &[], "old.rs: removed"),
            (&[("inputs › a › content", &a)], &[("inputs › b › content", &a)], "b: renamed, was a"),
            (&[("env › CFLAGS", "-O1")], &[("env › CFLAGS", "-O2")], "env CFLAGS: \"-O1\" → \"-O2\""),
            (&[], &[("env › X", "1")], "env X: added, \"1\""),
            (&[("env › X", "1\x1b")], &[], "env X: removed, was \"1\\u{1b}\""),
            (&[("pass-env › CI", "1")], &[("pass-env › CI", "2")], "variable CI: \"1\" → \"2\""),
            (&[("needs › compile", &a)], &[("needs › compile", &b)], "what compile made: changed (aaaaaaaa… → bbbbbbbb…)"),
            (&[("images › web/base", &a)], &[("images › web/base", &b)], "the image of web/base: changed (aaaaaaaa… → bbbbbbbb…)"),
            (&[("tool › go", &a)], &[("tool › go", &b)], "tool go: changed (aaaaaaaa… → bbbbbbbb…)"),
            (&[("platform", "linux/amd64")], &[("platform", "linux/arm64")], "the platform: \"linux/amd64\" → \"linux/arm64\""),
            (&[("patterns", "a"), ("patterns", "b")], &[("patterns", "a"), ("patterns", "c")], "its inputs: -\"b\", +\"c\""),
            (&[("shell", "a"), ("shell", "b")], &[("shell", "b"), ("shell", "a")], "the shell: in another order"),
            (&[("commands › run", "a\nb")], &[("commands › run", "a\nc")], "the command: changed"),
            (&[("tags", "1"), ("tags", "1.2")], &[("tags", "1")], "its tags: -\"1.2\""),
            (&[("timeout", "1")], &[("timeout", "2")], "timeout: \"1\" → \"2\""),
        ] {
            assert_eq!(told(old, new), [expected]);
        }
    }
}
