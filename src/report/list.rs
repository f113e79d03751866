//! Bare `kiln`: what can be run here, by kind, with a line about each.
//! In: a [`ListView`]. Out: text for people or one JSON value for programs. Never: a target without its name.

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::words::{closest, list, visible};

use super::paint::Ink;
use super::style::Style;
use super::table::Table;

/// Names that are offered when none is near to the one that was typed.
const OFFERED: usize = 12;

/// The kinds of targets, in the order in which they are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
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
    /// What may be typed behind it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<ListedArg>,
    /// Whether it takes words behind `--`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rest: bool,
    /// Whether it is run when none is named.
    pub default: bool,
    /// The condition, as it is written, by which it takes no part in this plan.
    #[serde(default, rename = "left-out", skip_serializing_if = "Option::is_none")]
    pub left_out: Option<String>,
}

impl ListedTarget {
    /// What stands before the last `:` of its name: the name under which its file is included.
    fn namespace(&self) -> &str {
        self.name.rsplit_once(':').map_or("", |(space, _)| space)
    }
}

/// What may be typed behind a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ListedArg {
    /// The name.
    pub name: String,
    /// `text`, `int`, `number`, `bool`, `path` or `semver`.
    #[serde(rename = "type")]
    pub sort: String,
    /// How it is typed: `env=dev|prod`, `--release`.
    pub form: String,
    /// Whether it is a flag.
    pub flag: bool,
    /// The letter of a flag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short: Option<char>,
    /// One line about it.
    pub doc: Option<String>,
    /// Its value when none is typed; null when one must be.
    pub default: Option<String>,
    /// The only values that it may have; empty when there is no such list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
}

/// A parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ListedParam {
    /// The name.
    pub name: String,
    /// `text`, `int`, `number`, `bool`, `path` or `semver`.
    #[serde(rename = "type")]
    pub sort: String,
    /// One line about it.
    pub doc: Option<String>,
    /// Its value when nobody sets it; null when one must be set.
    pub default: Option<String>,
    /// The only values that it may have; empty when there is no such list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
}

/// A profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ListedProfile {
    /// The name.
    pub name: String,
    /// One line about it.
    pub doc: Option<String>,
}

/// All targets of a project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ListView {
    /// The project's name.
    pub project: String,
    /// Its version.
    pub version: Option<String>,
    /// One line about it.
    pub doc: Option<String>,
    /// The targets, in order of declaration.
    pub targets: Vec<ListedTarget>,
    /// The parameters, in order of declaration.
    pub params: Vec<ListedParam>,
    /// The profiles, in order of declaration.
    pub profiles: Vec<ListedProfile>,
}

/// The targets by kind.
#[must_use]
pub fn screen(view: &ListView, style: Style) -> String {
    let mut lines = Vec::new();
    let version = view.version.as_deref().map_or_else(String::new, |version| format!(" {}", visible(version)));
    let doc = view.doc.as_deref().map_or_else(String::new, |doc| format!("  {}", style.paint(Ink::Dim, &visible(doc))));
    if !(view.project.is_empty() && version.is_empty() && doc.is_empty()) {
        lines.push(format!("{}{version}{doc}", style.paint(Ink::Bold, &visible(&view.project))));
    }
    // One width for all kinds, so that the eye finds one column.
    let name = |target: &ListedTarget| visible(&target.name);
    let width = view.targets.iter().map(|target| super::paint::columns(&name(target))).max().unwrap_or(0).min(style.width / 2);
    let mut section = |title: String, rows: Vec<String>| {
        if !rows.is_empty() {
            if !lines.is_empty() {
                lines.push(String::new());
            }
            lines.push(style.paint(Ink::Bold, &title));
            lines.extend(rows);
        }
    };
    // What an included file declares stands together, behind what the plan declares itself.
    let mut spaces: Vec<&str> = view.targets.iter().map(ListedTarget::namespace).collect();
    spaces.sort_unstable();
    spaces.dedup();
    for space in spaces {
        for (kind, title) in
            [(ListedKind::Task, "tasks"), (ListedKind::Image, "images"), (ListedKind::Service, "services"), (ListedKind::Group, "groups")]
        {
            let mut table = Table::new(&[1, 0], &[]);
            for target in view.targets.iter().filter(|target| target.kind == kind && target.namespace() == space) {
                let padded = super::paint::pad(&name(target), width);
                let ink = if target.left_out.is_some() { Ink::Dim } else { Ink::Name };
                table.row([style.paint(ink, &padded), about(target, style)]);
            }
            let title = if space.is_empty() { title.to_owned() } else { format!("{title} of {}", visible(space)) };
            section(title, table.lines(style, "  "));
        }
    }
    let mut table = Table::new(&[1, 0], &[]);
    for param in &view.params {
        let value = param.default.as_ref().map_or_else(|| "(must be set)".to_owned(), |value| format!("= {}", visible(value)));
        let choices = if param.choices.is_empty() { param.sort.clone() } else { visible(&param.choices.join(" | ")) };
        let doc = param.doc.as_deref().map_or_else(String::new, |doc| format!("{}  ", visible(doc)));
        let left = super::paint::pad(&format!("{} {value}", visible(&param.name)), width);
        table.row([style.paint(Ink::Name, &left), format!("{doc}{}", style.paint(Ink::Dim, &choices))]);
    }
    section("params, set with --set NAME=VALUE".to_owned(), table.lines(style, "  "));
    let mut table = Table::new(&[1, 0], &[]);
    for profile in &view.profiles {
        let left = super::paint::pad(&visible(&profile.name), width);
        table.row([style.paint(Ink::Name, &left), profile.doc.as_deref().map(visible).unwrap_or_default()]);
    }
    section("profiles, chosen with --profile NAME".to_owned(), table.lines(style, "  "));
    if !lines.is_empty() {
        lines.push(String::new());
    }
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
    let mut doc = target.doc.as_deref().map(visible).or(members).unwrap_or_default();
    let forms = target.args.iter().map(|arg| arg.form.as_str()).chain(target.rest.then_some("-- …"));
    let forms = visible(&forms.collect::<Vec<_>>().join(" "));
    if !forms.is_empty() {
        doc = format!("{doc}{}{}", if doc.is_empty() { "" } else { "  " }, style.paint(Ink::Dim, &forms));
    }
    if let Some(condition) = &target.left_out {
        let why = format!("(left out: when {})", visible(condition));
        return style.paint(Ink::Dim, &if doc.is_empty() { why } else { format!("{doc} {why}") });
    }
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
