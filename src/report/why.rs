//! `kiln why STEP`: what makes its key another one than last time, in words.
//! In: two key manifests, as [`crate::base::canon::LineSink`] writes them. Out: one [`Difference`] for each thing that
//! changed, in the manifest's order. Never: two bare digests without saying what they are of.
//!
//! A manifest's line is `group › name › attribute` and a value. The groups that have words of their own are `inputs`
//! (`inputs › src/main.rs › content`, `… › executable`), `env` and `pass-env` (`env › CFLAGS`), `tools`, and `needs`
//! (`needs › compile › dist/app`). Every other line is told by its name. Lines with the same name are a list.

use indexmap::IndexMap;

use crate::base::words::{count, shorten, visible};

use super::diff::{self, DiffLine};
use super::paint::Ink;
use super::style::Style;

/// Differences that are shown.
const SHOWN: usize = 40;
/// The longest value shown on one line, in characters.
const LONGEST_VALUE: usize = 60;
/// What [`crate::base::canon::LineSink`] puts between the parts of a name.
const BETWEEN: &str = " › ";

/// One thing that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What: `src/main.rs`, `env CFLAGS`, `output of compile: dist/app`.
    pub subject: String,
    /// How.
    pub change: Change,
}

/// How a thing changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is there now.
    Added(Option<String>),
    /// It is gone.
    Removed(Option<String>),
    /// Bytes that are only known by their digests.
    Content(String, String),
    /// Permission bits.
    Mode(&'static str, &'static str),
    /// A short value.
    Value(String, String),
    /// A value of several lines.
    Text(Vec<DiffLine>),
    /// Members of a list: those that went, those that came.
    Members(Vec<String>, Vec<String>),
    /// The same members in another order.
    Order,
}

/// A thing's attributes, each with its values in order.
type Attributes = IndexMap<String, Vec<String>>;

/// What differs between two manifests.
#[must_use]
pub fn differences(old: &[(String, String)], new: &[(String, String)]) -> Vec<Difference> {
    let (mut old, new) = (subjects(old), subjects(new));
    let mut found = Vec::new();
    for (subject, now) in new {
        match old.shift_remove(&subject) {
            None => found.push(Difference { change: Change::Added(only_value(&now)), subject }),
            Some(before) => compare(&subject, &before, &now, &mut found),
        }
    }
    found.extend(old.into_iter().map(|(subject, before)| Difference { change: Change::Removed(only_value(&before)), subject }));
    found
}

fn subjects(manifest: &[(String, String)]) -> IndexMap<String, Attributes> {
    let mut subjects: IndexMap<String, Attributes> = IndexMap::new();
    for (name, value) in manifest {
        let (subject, attribute) = subject(name);
        subjects.entry(subject).or_default().entry(attribute).or_default().push(value.clone());
    }
    subjects
}

/// The thing that a line is about, and which of its attributes.
fn subject(name: &str) -> (String, String) {
    let parts: Vec<&str> = name.split(BETWEEN).collect();
    match parts.as_slice() {
        ["inputs" | "input", path @ .., attribute @ ("content" | "executable" | "kind" | "link" | "mode" | "size")] if !path.is_empty() => {
            (path.join(BETWEEN), (*attribute).to_owned())
        }
        ["inputs" | "input", path @ ..] if !path.is_empty() => (path.join(BETWEEN), "content".to_owned()),
        ["env" | "pass-env", name @ ..] if !name.is_empty() => (format!("env {}", name.join(BETWEEN)), String::new()),
        ["tools" | "tool", name @ ..] if !name.is_empty() => (format!("tool {}", name.join(BETWEEN)), String::new()),
        ["needs" | "need", step] => (format!("output of {step}"), String::new()),
        ["needs" | "need", step, path @ .., attribute @ ("content" | "executable" | "kind" | "link" | "mode" | "size")]
            if !path.is_empty() =>
        {
            (format!("output of {step}: {}", path.join(BETWEEN)), (*attribute).to_owned())
        }
        ["needs" | "need", step, path @ ..] => (format!("output of {step}: {}", path.join(BETWEEN)), String::new()),
        parts => (parts.join(" "), String::new()),
    }
}

/// A value worth showing when its thing came or went: not a digest, not a flag among others.
fn only_value(attributes: &Attributes) -> Option<String> {
    let (name, values) = attributes.first()?;
    match values.as_slice() {
        [value] if attributes.len() == 1 && name.is_empty() && short_digest(value).is_none() && !value.contains('\n') => {
            Some(value.clone())
        }
        _ => None,
    }
}

fn compare(subject: &str, before: &Attributes, now: &Attributes, found: &mut Vec<Difference>) {
    let none = Vec::new();
    let names = now.keys().chain(before.keys().filter(|name| !now.contains_key(*name)));
    for name in names {
        let (old, new) = (before.get(name).unwrap_or(&none), now.get(name).unwrap_or(&none));
        if old == new {
            continue;
        }
        let change = change(name, old, new);
        // The size of a file says nothing that its content has not said.
        if name != "size" || found.last().is_none_or(|last| last.subject != subject) {
            let named = matches!(name.as_str(), "" | "content" | "executable" | "mode" | "size");
            let subject = if named { subject.to_owned() } else { format!("{subject} {name}") };
            found.push(Difference { subject, change });
        }
    }
}

fn change(attribute: &str, old: &[String], new: &[String]) -> Change {
    let ([old], [new]) = (old, new) else {
        let gone = without(old, new);
        let came = without(new, old);
        return if gone.is_empty() && came.is_empty() { Change::Order } else { Change::Members(gone, came) };
    };
    if attribute == "executable" {
        let mode = |flag: &str| if flag == "yes" { "755" } else { "644" };
        return Change::Mode(mode(old), mode(new));
    }
    if let (Some(old), Some(new)) = (short_digest(old), short_digest(new)) {
        return Change::Content(old, new);
    }
    if old.contains('\n') || new.contains('\n') {
        return Change::Text(diff::lines(old, new));
    }
    Change::Value(old.clone(), new.clone())
}

/// The members of a list that another one lacks; each counts as often as it stands there.
fn without(list: &[String], other: &[String]) -> Vec<String> {
    let mut other: Vec<&String> = other.iter().collect();
    let mut left = Vec::new();
    for member in list {
        match other.iter().position(|one| *one == member) {
            Some(at) => drop(other.swap_remove(at)),
            None => left.push(member.clone()),
        }
    }
    left
}

/// The first digits of a digest; `None` for everything that is not one.
fn short_digest(value: &str) -> Option<String> {
    let hex = value.strip_prefix("blake3:").or_else(|| value.strip_prefix("sha256:")).unwrap_or(value);
    (hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| hex[..8].to_owned())
}

/// The differences for a person. `step` is the printed name; `when` tells the run that is compared with, if there was one.
#[must_use]
pub fn screen(step: &str, when: Option<&str>, differences: &[Difference], style: Style) -> String {
    let name = style.paint(Ink::Bold, &visible(step));
    let Some(when) = when else {
        return format!("{name} runs: no earlier result of it is known here\n");
    };
    if differences.is_empty() {
        return format!("{name}: nothing changed since {}\n", visible(when));
    }
    let mut text = format!("{name}: {} since {}\n", count(differences.len(), "change"), visible(when));
    for difference in differences.iter().take(SHOWN) {
        told(&mut text, difference, style);
    }
    if differences.len() > SHOWN {
        text.push_str(&format!("  and {} more\n", differences.len() - SHOWN));
    }
    text
}

/// The differences for a program: one JSON value on one line.
#[must_use]
pub fn json(step: &str, when: Option<&str>, differences: &[Difference]) -> String {
    let words: Vec<serde_json::Value> = differences
        .iter()
        .map(|difference| {
            let (subject, kind) = (&difference.subject, kind(&difference.change));
            serde_json::json!({ "subject": subject, "kind": kind, "words": words(&difference.change, Style::PLAIN) })
        })
        .collect();
    super::json::document(&serde_json::json!({ "step": step, "since": when, "differences": words }))
}

/// The word that stands for a kind of change in JSON.
const fn kind(change: &Change) -> &'static str {
    match change {
        Change::Added(_) => "added",
        Change::Removed(_) => "removed",
        Change::Content(..) => "content",
        Change::Mode(..) => "mode",
        Change::Value(..) => "value",
        Change::Text(_) => "text",
        Change::Members(..) => "members",
        Change::Order => "order",
    }
}

fn told(text: &mut String, difference: &Difference, style: Style) {
    let subject = style.paint(Ink::Name, &visible(&difference.subject));
    text.push_str(&format!("  {subject}: {}\n", words(&difference.change, style)));
    let Change::Text(lines) = &difference.change else { return };
    for line in lines {
        let line = match line {
            DiffLine::Same(line) => format!("      {}", visible(line)),
            DiffLine::Gone(line) => format!("    {}", style.paint(Ink::Bad, &format!("- {}", visible(line)))),
            DiffLine::New(line) => format!("    {}", style.paint(Ink::Good, &format!("+ {}", visible(line)))),
            DiffLine::Left(n) => format!("    {}", style.paint(Ink::Dim, &format!("{} {}", style.ellipsis(), count(*n, "line")))),
        };
        text.push_str(super::paint::fit(line.trim_end(), style.width, style).as_str());
        text.push('\n');
    }
}

/// How a thing changed, in one clause.
fn words(change: &Change, style: Style) -> String {
    let (arrow, dots) = (style.arrow(), style.ellipsis());
    let value = |value: &str| format!("\"{}\"", shorten(&visible(value), LONGEST_VALUE));
    let members = |mark: &str, list: &[String]| list.iter().map(|one| format!("{mark}{}", value(one))).collect::<Vec<_>>().join(", ");
    match change {
        Change::Added(None) => "added".to_owned(),
        Change::Added(Some(now)) => format!("added, {}", value(now)),
        Change::Removed(None) => "removed".to_owned(),
        Change::Removed(Some(before)) => format!("removed, was {}", value(before)),
        Change::Content(old, new) => format!("content changed ({old}{dots} {arrow} {new}{dots})"),
        Change::Mode(old, new) => format!("mode {old} {arrow} {new}"),
        Change::Value(old, new) => format!("{} {arrow} {}", value(old), value(new)),
        Change::Text(_) => "text changed".to_owned(),
        Change::Members(gone, came) if gone.is_empty() => members("+", came),
        Change::Members(gone, came) if came.is_empty() => members("-", gone),
        Change::Members(gone, came) => format!("{}, {}", members("-", gone), members("+", came)),
        Change::Order => "order changed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(old: &[(&str, &str)], new: &[(&str, &str)]) -> Vec<String> {
        let owned =
            |lines: &[(&str, &str)]| lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>();
        let found = differences(&owned(old), &owned(new));
        found.iter().map(|one| format!("{}: {}", one.subject, words(&one.change, Style::PLAIN))).collect()
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
            (&[("inputs › x › executable", "no")], &[("inputs › x › executable", "yes")], "x: mode 644 → 755"),
            (&[("inputs › x › kind", "file")], &[("inputs › x › kind", "link")], "x kind: \"file\" → \"link\""),
            (&[], &[("inputs › new.rs › content", &a), ("inputs › new.rs › executable", "no")], "new.rs: added"),
            (&[("inputs › old.rs › content", &a)], &[], "old.rs: removed"),
            (&[("env › CFLAGS", "-O1")], &[("env › CFLAGS", "-O2")], "env CFLAGS: \"-O1\" → \"-O2\""),
            (&[], &[("env › X", "1")], "env X: added, \"1\""),
            (&[("env › X", "1\x1b")], &[], "env X: removed, was \"1\\u{1b}\""),
            (
                &[("needs › compile › dist/app", &a)],
                &[("needs › compile › dist/app", &b)],
                "output of compile: dist/app: content changed (aaaaaaaa… → bbbbbbbb…)",
            ),
            (&[("tools › go", "1.24")], &[("tools › go", "1.25")], "tool go: \"1.24\" → \"1.25\""),
            (&[("outputs", "a"), ("outputs", "b")], &[("outputs", "a"), ("outputs", "c")], "outputs: -\"b\", +\"c\""),
            (&[("exec", "a"), ("exec", "b")], &[("exec", "b"), ("exec", "a")], "exec: order changed"),
            (&[("script", "a\nb")], &[("script", "a\nc")], "script: text changed"),
        ] {
            assert_eq!(told(old, new), [expected]);
        }
        assert_eq!(told(&[("a", "1")], &[("a", "1")]), Vec::<String>::new());
    }
}
