//! Bare `kiln`: what can be run here, by kind, with a line about each.
//! In: a [`ListView`]. Out: text for people or one JSON value for programs. Never: a target without its name.

use serde::Serialize;

use crate::base::words::{closest, list, visible};

use super::paint::Ink;
use super::style::Style;
use super::table::Table;

/// Names that are offered when none is near to the one that was typed.
const OFFERED: usize = 12;

/// The kinds of targets, in the order in which they are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListedKind {
    /// Commands.
    Task,
    /// A container image.
    Image,
    /// A container that stays.
    Service,
    /// A name for several targets.
    Group,
}

/// One target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedTarget {
    /// The name.
    pub name: String,
    /// What it is.
    pub kind: ListedKind,
    /// One line about it.
    pub doc: Option<String>,
    /// A group's members.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
    /// Whether it is run when none is named.
    pub default: bool,
}

/// All targets of a project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ListView {
    /// The project's name.
    pub project: String,
    /// Its version.
    pub version: Option<String>,
    /// One line about it.
    pub doc: Option<String>,
    /// The targets, in order of declaration.
    pub targets: Vec<ListedTarget>,
}

/// The targets by kind.
#[must_use]
pub fn screen(view: &ListView, style: Style) -> String {
    let mut lines = Vec::new();
    let version = view.version.as_deref().map_or_else(String::new, |version| format!(" {}", visible(version)));
    let doc = view.doc.as_deref().map_or_else(String::new, |doc| format!("  {}", style.paint(Ink::Dim, &visible(doc))));
    lines.push(format!("{}{version}{doc}", style.paint(Ink::Bold, &visible(&view.project))));
    // One width for all kinds, so that the eye finds one column.
    let name = |target: &ListedTarget| visible(&target.name);
    let width = view.targets.iter().map(|target| super::paint::columns(&name(target))).max().unwrap_or(0).min(style.width / 2);
    for (kind, title) in
        [(ListedKind::Task, "tasks"), (ListedKind::Image, "images"), (ListedKind::Service, "services"), (ListedKind::Group, "groups")]
    {
        let mut table = Table::new(&[1, 0], &[]);
        for target in view.targets.iter().filter(|target| target.kind == kind) {
            let padded = super::paint::pad(&name(target), width);
            table.row([style.paint(Ink::Name, &padded), about(target, style)]);
        }
        let rows = table.lines(style, "  ");
        if !rows.is_empty() {
            lines.push(String::new());
            lines.push(style.paint(Ink::Bold, title));
            lines.extend(rows);
        }
    }
    lines.push(String::new());
    lines.push(style.paint(Ink::Dim, if view.targets.is_empty() { "no target is declared yet" } else { hint(view) }));
    lines.join("\n") + "\n"
}

/// The targets as one JSON value on one line.
#[must_use]
pub fn json(view: &ListView) -> String {
    super::json::document(view)
}

/// What to say about a name that is not a target: the nearest one, or what there is.
#[must_use]
pub fn instead(typed: &str, names: &[&str]) -> String {
    if let Some(near) = closest(typed, names.iter().copied()) {
        return format!("did you mean `{near}`?");
    }
    match names.len() {
        0 => "no target is declared yet".to_owned(),
        many if many > OFFERED => {
            format!("targets are: {} and {} more; `kiln list` has them all", names[..OFFERED].join(", "), many - OFFERED)
        }
        _ => format!("targets are: {}", list(names, "and").replace('`', "")),
    }
}

fn about(target: &ListedTarget, style: Style) -> String {
    let members = (!target.members.is_empty()).then(|| visible(&target.members.join(", ")));
    let doc = target.doc.as_deref().map(visible).or(members).unwrap_or_default();
    match (target.default, doc.is_empty()) {
        (false, _) => doc,
        (true, true) => style.paint(Ink::Dim, "(default)"),
        (true, false) => format!("{doc} {}", style.paint(Ink::Dim, "(default)")),
    }
}

fn hint(view: &ListView) -> &'static str {
    if view.targets.iter().any(|target| target.default) {
        "run one with `kiln NAME`, the default with `kiln run`"
    } else {
        "run one with `kiln NAME`"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_name_is_answered_with_what_was_meant() {
        let many: Vec<String> = (0..20).map(|n| format!("target-number-{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for (typed, names, expected) in [
            ("tset", &["test", "lint"][..], "did you mean `test`?"),
            ("zzz", &["test", "lint"], "targets are: test and lint"),
            ("zzz", &[], "no target is declared yet"),
        ] {
            assert_eq!(instead(typed, names), expected);
        }
        assert!(instead("zzz", &many).ends_with("target-number-11 and 8 more; `kiln list` has them all"));
    }
}
