//! `kiln affected`: what a change can touch, and by which way.
//! In: an [`AffectedView`]. Out: text for people, names, or one JSON value. Never: finds anything out itself.

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::words::{count, visible};

use super::paint::Ink;
use super::style::Style;
use super::table::Table;

/// Why a step is affected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "cause", rename_all = "kebab-case")]
pub enum Cause {
    /// A file that it reads.
    File {
        /// Where, below the project.
        path: String,
        /// How it changed, for people.
        words: String,
    },
    /// What the plan says of it.
    Definition {
        /// How it changed, for people.
        words: String,
    },
    /// It was not in the plan.
    New,
    /// It waits for a step that is affected.
    After {
        /// That step.
        step: String,
        /// Its target.
        target: String,
    },
}

impl Cause {
    fn words(&self) -> String {
        match self {
            Self::File { words, .. } | Self::Definition { words } => visible(words),
            Self::New => "new in the plan".to_owned(),
            Self::After { step, .. } => format!("after {}", visible(step)),
        }
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AffectedStep {
    /// The printed name.
    pub step: String,
    /// Why.
    pub because: Vec<Cause>,
}

/// One target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AffectedTarget {
    /// The name.
    pub name: String,
    /// `task`, `image`, `group`, …
    pub kind: String,
    /// Its affected steps, in the order in which they could run.
    pub steps: Vec<AffectedStep>,
}

/// All that is affected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AffectedView {
    /// The commit as it was named.
    pub since: String,
    /// The commit in full.
    pub commit: String,
    /// The targets, each after those that it waits for.
    pub targets: Vec<AffectedTarget>,
    /// Tasks that are not affected, but declare no inputs and so run every time.
    pub always: Vec<String>,
}

/// The targets, or their steps, each with why.
#[must_use]
pub fn screen(view: &AffectedView, steps: bool, style: Style) -> String {
    let since = format!("{} ({})", visible(&view.since), view.commit.get(..12).unwrap_or(&view.commit));
    let rows: Vec<(&str, Vec<String>)> = view
        .targets
        .iter()
        .flat_map(|target| {
            if steps {
                let words = |step: &AffectedStep| step.because.iter().map(Cause::words).collect();
                return target.steps.iter().map(|step| (step.step.as_str(), words(step))).collect::<Vec<_>>();
            }
            vec![(target.name.as_str(), own(target))]
        })
        .collect();
    let noun = if steps { "step" } else { "target" };
    let is = if rows.len() == 1 { "is" } else { "are" };
    let head = if rows.is_empty() { "nothing is".to_owned() } else { format!("{} {is}", count(rows.len(), noun)) };
    let mut lines = vec![style.paint(Ink::Bold, &format!("{head} affected since {since}"))];
    let mut table = Table::new(&[1], &[]);
    for (name, causes) in rows {
        let more = if causes.len() > 1 { format!(" and {} more", causes.len() - 1) } else { String::new() };
        let why = causes.first().map_or_else(String::new, |cause| format!("{cause}{more}"));
        table.row([style.paint(Ink::Name, &visible(name)), why]);
    }
    lines.extend(table.lines(style, "  "));
    if !view.always.is_empty() {
        let names = visible(&view.always.join(", "));
        let declare = if view.always.len() == 1 { "declares" } else { "declare" };
        lines.push(
            style.paint(Ink::Dim, &format!("{} {declare} no inputs and run every time: {names}", count(view.always.len(), "more task"))),
        );
    }
    lines.join("\n") + "\n"
}

/// Why a target is affected: causes of its own before other targets, each once; its own steps are no cause.
fn own(target: &AffectedTarget) -> Vec<String> {
    let (mut causes, mut after): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for cause in target.steps.iter().flat_map(|step| &step.because) {
        let (list, words) = match cause {
            Cause::After { target: other, .. } if *other == target.name => continue,
            Cause::After { target: other, .. } => (&mut after, format!("after {}", visible(other))),
            cause => (&mut causes, cause.words()),
        };
        if !list.contains(&words) {
            list.push(words);
        }
    }
    causes.extend(after);
    causes
}

/// The names alone, one a line.
#[must_use]
pub fn names(view: &AffectedView, steps: bool) -> String {
    let names = view
        .targets
        .iter()
        .flat_map(|target| if steps { target.steps.iter().map(|step| step.step.as_str()).collect() } else { vec![target.name.as_str()] });
    names.fold(String::new(), |text, name| text + name + "\n")
}

/// One JSON value on one line.
#[must_use]
pub fn json(view: &AffectedView) -> String {
    super::json::document(view)
}
