//! `kiln diff`: two plans side by side, for a person, for a review, for a program.
//! In: a [`DiffView`]. Out: text, Markdown, or one JSON value. Never: finds anything out itself.

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::words::{count, visible};

use super::paint::Ink;
use super::style::Style;
use super::told::Told;

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StepChange {
    /// Only this plan has it.
    Added,
    /// Only the other plan has it.
    Removed,
    /// Its definition or its sources are others: it is built again.
    Changed,
    /// It is the same and waits for steps that are not; it is built again if they make something else.
    Follows,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DiffStep {
    /// The printed name.
    pub step: String,
    /// Its target.
    pub target: String,
    /// What became of it.
    pub change: StepChange,
    /// What differs in what it takes in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Told>,
    /// The steps that it follows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
}

/// Tags of one image in one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MovedTags {
    /// `ghcr.io/acme/web`, `oci:dist/web`.
    pub place: String,
    /// The tags that the other plan moves.
    pub old: Vec<String>,
    /// The tags that this plan moves.
    pub new: Vec<String>,
}

/// A base that was exchanged for another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BaseChange {
    /// The steps that fetch it.
    pub steps: Vec<String>,
    /// The base in the other plan.
    pub old: String,
    /// The base in this plan.
    pub new: String,
}

/// All that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DiffView {
    /// The other plan, as it was named.
    pub other: String,
    /// The commit that it was read from, in full; absent when it was a file or a folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// How many steps are the same.
    pub same: usize,
    /// The others, in the order in which they could run; those that are gone come last.
    pub steps: Vec<DiffStep>,
    /// Tags that are not the same.
    pub tags: Vec<MovedTags>,
    /// Bases that are not the same.
    pub bases: Vec<BaseChange>,
}

impl DiffView {
    /// Whether the plans are the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.tags.is_empty() && self.bases.is_empty()
    }

    fn of(&self, change: StepChange) -> impl Iterator<Item = &DiffStep> {
        self.steps.iter().filter(move |step| step.change == change)
    }

    /// `2 steps added, 1 changed, 4 follow, 12 the same`.
    fn sum(&self) -> String {
        let parts = [
            (StepChange::Added, "added"),
            (StepChange::Removed, "removed"),
            (StepChange::Changed, "changed"),
            (StepChange::Follows, "follow"),
        ];
        let mut said: Vec<String> = parts
            .into_iter()
            .map(|(change, word)| (self.of(change).count(), word))
            .filter(|(n, _)| *n > 0)
            .map(|(n, word)| format!("{n} {}", if n == 1 && word == "follow" { "follows" } else { word }))
            .collect();
        if self.same > 0 {
            said.push(format!("{} the same", self.same));
        }
        said.join(", ")
    }

    /// Changed steps, those together that changed in the same way: platforms and cells of one target mostly do.
    fn alike(&self) -> Vec<(Vec<&str>, &[Told])> {
        let mut found: Vec<(Vec<&str>, &[Told])> = Vec::new();
        for step in self.of(StepChange::Changed) {
            match found.iter_mut().find(|(_, differences)| *differences == step.differences) {
                Some((names, _)) => names.push(&step.step),
                None => found.push((vec![&step.step], &step.differences)),
            }
        }
        found
    }

    /// Steps that only follow, by target, in short: `build@linux/amd64`.
    fn followers(&self) -> Vec<(&str, Vec<&str>)> {
        let mut found: Vec<(&str, Vec<&str>)> = Vec::new();
        for step in self.of(StepChange::Follows) {
            let short = step.step.strip_prefix(&step.target).and_then(|rest| rest.strip_prefix('/')).unwrap_or(&step.step);
            match found.iter_mut().find(|(target, _)| *target == step.target) {
                Some((_, steps)) => steps.push(short),
                None => found.push((&step.target, vec![short])),
            }
        }
        found
    }

    fn name(&self) -> String {
        let commit = self.commit.as_deref().and_then(|commit| commit.get(..12)).filter(|short| !self.other.starts_with(short));
        commit.map_or_else(|| visible(&self.other), |commit| format!("{} ({commit})", visible(&self.other)))
    }
}

/// For a person.
#[must_use]
pub fn screen(view: &DiffView, style: Style) -> String {
    if view.is_empty() {
        return format!("the plan is the same as in {}: {}\n", view.name(), count(view.same, "step"));
    }
    let mut lines = vec![style.paint(Ink::Bold, &format!("compared with {}: {}", view.name(), view.sum()))];
    lines.extend(view.of(StepChange::Added).map(|step| style.paint(Ink::Good, &format!("+ {}", visible(&step.step)))));
    lines.extend(view.of(StepChange::Removed).map(|step| style.paint(Ink::Bad, &format!("- {}", visible(&step.step)))));
    for (names, differences) in view.alike() {
        for (at, line) in wrapped(&names, style.width.saturating_sub(2)).into_iter().enumerate() {
            let mark = if at == 0 { style.paint(Ink::Warn, "~") } else { " ".to_owned() };
            lines.push(format!("{mark} {}", style.paint(Ink::Bold, &line)));
        }
        lines.extend(differences.iter().flat_map(|one| one.lines("    ", style)));
    }
    for (target, steps) in view.followers() {
        let target_name = visible(target);
        if steps == [target] {
            lines.push(format!("{} {target_name}  {}", style.arrow(), style.paint(Ink::Dim, "follows")));
            continue;
        }
        lines.push(format!("{} {target_name}  {}", style.arrow(), style.paint(Ink::Dim, "follows with")));
        lines
            .extend(wrapped(&steps, style.width.saturating_sub(4)).into_iter().map(|line| format!("    {}", style.paint(Ink::Dim, &line))));
    }
    if !view.tags.is_empty() {
        lines.extend([String::new(), style.paint(Ink::Bold, "tags")]);
        for tags in &view.tags {
            lines.push(format!(
                "  {}: {} {} {}",
                style.paint(Ink::Name, &visible(&tags.place)),
                list(&tags.old),
                style.arrow(),
                list(&tags.new)
            ));
        }
    }
    if !view.bases.is_empty() {
        lines.extend([String::new(), style.paint(Ink::Bold, "bases")]);
        for base in &view.bases {
            lines.push(format!("  {} {} {}", visible(&base.old), style.arrow(), visible(&base.new)));
            let steps: Vec<&str> = base.steps.iter().map(String::as_str).collect();
            lines.extend(
                wrapped(&steps, style.width.saturating_sub(4)).into_iter().map(|line| format!("    {}", style.paint(Ink::Dim, &line))),
            );
        }
    }
    lines.join("\n") + "\n"
}

/// Names with commas between them, in lines of at most `width` columns where a name allows it.
fn wrapped(names: &[&str], width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let name = format!("{}{}", visible(name), if at + 1 < names.len() { "," } else { "" });
        match lines.last_mut() {
            Some(line) if super::paint::columns(line) + 1 + super::paint::columns(&name) <= width => {
                line.push(' ');
                line.push_str(&name);
            }
            _ => lines.push(name),
        }
    }
    lines
}

fn list(tags: &[String]) -> String {
    if tags.is_empty() { "none".to_owned() } else { visible(&tags.join(", ")) }
}

/// For a comment on a review.
#[must_use]
pub fn markdown(view: &DiffView) -> String {
    let mut text = format!("### Plan compared with {}\n\n", code(&view.other));
    if view.is_empty() {
        text.push_str(&format!("The plan is the same: {}.\n", count(view.same, "step")));
        return text;
    }
    text.push_str(&format!("{}.\n", view.sum()));
    let section = |text: &mut String, title: &str, rows: Vec<String>| {
        if !rows.is_empty() {
            text.push_str(&format!("\n**{title}**\n\n{}\n", rows.join("\n")));
        }
    };
    section(&mut text, "Added", view.of(StepChange::Added).map(|step| format!("- {}", code(&step.step))).collect());
    section(&mut text, "Removed", view.of(StepChange::Removed).map(|step| format!("- {}", code(&step.step))).collect());
    let changed = view.alike().into_iter().map(|(names, differences)| {
        let names: Vec<String> = names.into_iter().map(code).collect();
        let differences = differences.iter().map(|one| format!("\n  - {}", escaped(&one.words)));
        format!("- {}{}", names.join(", "), differences.collect::<String>())
    });
    section(&mut text, "Changed", changed.collect());
    if !view.tags.is_empty() {
        text.push_str("\n| image | tags before | tags now |\n| --- | --- | --- |\n");
        for tags in &view.tags {
            let cell = |tags: &[String]| tags.iter().map(|tag| code(tag)).collect::<Vec<_>>().join(" ");
            text.push_str(&format!("| {} | {} | {} |\n", code(&tags.place), cell(&tags.old), cell(&tags.new)));
        }
    }
    if !view.bases.is_empty() {
        text.push_str("\n| base before | base now | in |\n| --- | --- | --- |\n");
        for base in &view.bases {
            let steps: Vec<String> = base.steps.iter().map(|step| code(step)).collect();
            text.push_str(&format!("| {} | {} | {} |\n", code(&base.old), code(&base.new), steps.join(" ")));
        }
    }
    let follows: Vec<String> = view.of(StepChange::Follows).map(|step| format!("- {}", code(&step.step))).collect();
    if !follows.is_empty() {
        let title = format!(
            "{} waiting for these",
            if follows.len() == 1 { "1 step is".to_owned() } else { format!("{} steps are", follows.len()) }
        );
        text.push_str(&format!("\n<details><summary>{title}</summary>\n\n{}\n\n</details>\n", follows.join("\n")));
    }
    text
}

/// Code that nothing inside can end, also in a table.
fn code(text: &str) -> String {
    let text = visible(text).replace('|', "\\|");
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}

/// Text without the signs that Markdown and HTML read.
fn escaped(text: &str) -> String {
    visible(text).chars().fold(String::new(), |mut shown, c| {
        if matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '~' | '&' | '@') {
            shown.push('\\');
        }
        shown.push(c);
        shown
    })
}

/// For a program: one JSON value on one line.
#[must_use]
pub fn json(view: &DiffView) -> String {
    super::json::document(view)
}
