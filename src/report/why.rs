//! `kiln why STEP`: whether a step would run, and what makes its key another one, in words.
//! In: a [`WhyView`]. Out: text for people or one JSON value for programs. Never: finds anything out itself.

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::words::{count, visible};

use super::paint::{Ink, wrap};
use super::style::Style;
use super::told::Told;

/// Differences that are shown.
const SHOWN: usize = 40;

/// What would happen to the step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// Nothing: its outputs stand in place.
    InPlace {
        /// The run that made them.
        made_by: String,
    },
    /// Its outputs would be written back from the store.
    Restore {
        /// The run that made them.
        made_by: String,
    },
    /// It would run.
    Runs {
        /// Why, in one clause.
        because: String,
    },
    /// That is known when others have run.
    Waits {
        /// Those that must run first and wait for nothing themselves.
        on: Vec<Cause>,
    },
    /// Only definitions and sources were compared, with another plan.
    Compared {
        /// Its name: `main`, `../other`.
        other: String,
        /// What it needs, directly or not, and what itself differs.
        on: Vec<Cause>,
    },
}

/// A step that must run first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Cause {
    /// The step.
    pub step: String,
    /// Why it would run, in one clause.
    pub because: String,
    /// What changed in what it takes in since it last ran.
    pub differences: Vec<Told>,
}

/// All that is known of one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WhyView {
    /// The printed name.
    pub step: String,
    /// What would happen.
    #[serde(flatten)]
    pub answer: Answer,
    /// What it is compared with: `the run of 2026-11-22T06:00:00Z (20261122-060000-000-0001)`, `main`; absent when there is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// How it failed in the run that it is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// What changed in what it takes in.
    pub differences: Vec<Told>,
}

/// The answer for a person.
#[must_use]
pub fn screen(view: &WhyView, style: Style) -> String {
    let mut lines = vec![wrap(&headline(view, style), style.width, "  ")];
    list(&view.differences, "  ", style, &mut lines);
    let (on, verb, noun) = match &view.answer {
        Answer::Waits { on } => (on.as_slice(), " runs", "change"),
        Answer::Compared { on, .. } => (on.as_slice(), "", "difference"),
        _ => (&[][..], "", ""),
    };
    for cause in on {
        let name = style.paint(Ink::Bold, &visible(&cause.step));
        let what = if cause.differences.is_empty() { visible(&cause.because) } else { count(cause.differences.len(), noun) };
        lines.push(wrap(&format!("  {name}{verb}: {what}"), style.width, "    "));
        list(&cause.differences, "    ", style, &mut lines);
    }
    lines.join("\n") + "\n"
}

/// The answer for a program: one JSON value on one line.
#[must_use]
pub fn json(view: &WhyView) -> String {
    super::json::document(view)
}

fn headline(view: &WhyView, style: Style) -> String {
    let name = style.paint(Ink::Bold, &visible(&view.step));
    let changes = match (&view.since, view.differences.len()) {
        (None, _) => String::new(),
        (Some(since), 0) => format!("nothing changed since {}", visible(since)),
        (Some(since), n) => format!("{} since {}", count(n, "change"), visible(since)),
    };
    let with = |start: String| if changes.is_empty() { start } else { format!("{start}; {changes}") };
    match &view.answer {
        Answer::InPlace { made_by } if view.differences.is_empty() => {
            format!("{name} is up to date: run {} made it, and nothing changed since", visible(made_by))
        }
        Answer::InPlace { made_by } => with(format!("{name} is up to date: run {} made the same before", visible(made_by))),
        Answer::Restore { made_by } => with(format!("{name} would be restored from the store: run {} made it", visible(made_by))),
        Answer::Waits { .. } => with(format!("{name} waits for what must run first")),
        Answer::Compared { other, on } => {
            let other = visible(other);
            match (view.differences.len(), on.len()) {
                _ if view.since.is_none() => format!("{name} is new: {other} has no such step"),
                (0, 0) => format!("{name} is the same in {other}"),
                (0, n) => format!("{name} is the same in {other}, but not {} that it needs", count(n, "step")),
                (n, _) => format!("{name}: {} from {other}", count(n, "difference")),
            }
        }
        Answer::Runs { because } => match &view.failed {
            Some(failed) => with(format!("{name} runs: it failed last time ({})", visible(failed))),
            None if view.differences.is_empty() => format!("{name} runs: {}", visible(because)),
            None => format!("{name} runs: {changes}"),
        },
    }
}

fn list(differences: &[Told], indent: &str, style: Style, lines: &mut Vec<String>) {
    for difference in differences.iter().take(SHOWN) {
        lines.extend(difference.lines(indent, style));
    }
    if differences.len() > SHOWN {
        lines.push(format!("{indent}and {} more", differences.len() - SHOWN));
    }
}
