//! `kiln plan`: what each step would do, why, and how long it should take.
//! In: a [`PlanView`]. Out: text for people or one JSON value for programs. Never: finds anything out itself.

use serde::Serialize;

use crate::base::words::{count, visible};

use super::line;
use super::paint::{Ink, Mark};
use super::style::Style;
use super::table::Table;

/// What a step would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlanStatus {
    /// Nothing: its outputs stand in place.
    Cached,
    /// Its outputs would be written back, from here: `the store`, `cache.example.org`.
    Restore(String),
    /// It would run.
    Run,
    /// That is known when this step has run.
    DependsOn(String),
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanRow {
    /// The printed name.
    pub step: String,
    /// What it would do.
    pub status: PlanStatus,
    /// Why, in one clause; may be empty.
    pub why: String,
    /// How long it took before, in milliseconds.
    pub expected_ms: Option<u64>,
}

/// A whole plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PlanView {
    /// The plan digest.
    pub digest: String,
    /// Values that the plan took from commands, files and the environment, in order of declaration.
    pub values: Vec<(String, String)>,
    /// The steps, in the order in which they could run.
    pub steps: Vec<PlanRow>,
    /// How long the whole run should take, in milliseconds, where history knows.
    pub expected_ms: Option<u64>,
}

/// The plan as a table, with the sum below.
#[must_use]
pub fn screen(view: &PlanView, style: Style) -> String {
    let mut lines = Vec::new();
    for (name, value) in &view.values {
        lines.push(format!("{} = {}", style.paint(Ink::Name, &visible(name)), visible(value)));
    }
    if !view.values.is_empty() {
        lines.push(String::new());
    }
    let mut table = Table::new(&[2, 0], &[3]);
    for row in &view.steps {
        let (mark, word, ink) = match &row.status {
            PlanStatus::Cached => (Mark::Cached, "cached", Ink::Dim),
            PlanStatus::Restore(_) => (Mark::Restored, "restore", Ink::Name),
            PlanStatus::Run => (Mark::Running, "run", Ink::Good),
            PlanStatus::DependsOn(_) => (Mark::Open, "depends", Ink::Warn),
        };
        let takes = match (&row.status, row.expected_ms) {
            (PlanStatus::Run | PlanStatus::DependsOn(_), Some(millis)) => line::time(millis),
            _ => String::new(),
        };
        let step = format!("{} {}", style.mark(mark), visible(&row.step));
        table.row([step, style.paint(ink, word), style.paint(Ink::Dim, &visible(&reason(row))), takes]);
    }
    lines.extend(table.lines(style, ""));
    if !view.steps.is_empty() {
        lines.push(String::new());
    }
    lines.push(sum(view, style));
    lines.push(style.paint(Ink::Dim, &format!("plan {}", visible(&view.digest))));
    lines.join("\n") + "\n"
}

/// The plan as one JSON value on one line.
#[must_use]
pub fn json(view: &PlanView) -> String {
    super::json::document(view)
}

fn reason(row: &PlanRow) -> String {
    let start = match &row.status {
        PlanStatus::Restore(from) => format!("from {from}"),
        PlanStatus::DependsOn(step) => format!("on {step}"),
        PlanStatus::Cached | PlanStatus::Run => return row.why.clone(),
    };
    if row.why.is_empty() { start } else { format!("{start}: {}", row.why) }
}

/// `14 steps: 2 to run, 1 depends on others, 11 cached; about 12 s`.
fn sum(view: &PlanView, style: Style) -> String {
    let of = |test: fn(&PlanStatus) -> bool| view.steps.iter().filter(|row| test(&row.status)).count();
    let run = of(|status| *status == PlanStatus::Run);
    let depend = of(|status| matches!(status, PlanStatus::DependsOn(_)));
    let parts = [
        (run, "to run"),
        (depend, if depend == 1 { "depends on others" } else { "depend on others" }),
        (of(|status| matches!(status, PlanStatus::Restore(_))), "to restore"),
        (of(|status| *status == PlanStatus::Cached), "cached"),
    ];
    let said: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let all = count(view.steps.len(), "step");
    let start = if said.is_empty() { all } else { format!("{all}: {}", said.join(", ")) };
    let time = match view.expected_ms {
        Some(millis) if run + depend > 0 => format!("; about {}", line::rough(millis)),
        _ => String::new(),
    };
    style.paint(Ink::Bold, &format!("{start}{time}"))
}
