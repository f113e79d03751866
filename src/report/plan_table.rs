//! `kiln plan`: what each step would do, why, and how long it should take.
//! In: a [`PlanView`]. Out: text for people or one JSON value for programs. Never: finds anything out itself.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::words::{count, visible};

use super::line;
use super::moves::{self, PlaceMoves};
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
    /// The plan digest; `None` when targets that take no part rest on values that were not asked for.
    pub digest: Option<String>,
    /// Values that the plan took from commands, files and the environment, in order of declaration.
    pub values: Vec<(String, String)>,
    /// The steps, in the order in which they could run.
    pub steps: Vec<PlanRow>,
    /// How long the whole run should take, in milliseconds, where history knows.
    pub expected_ms: Option<u64>,
    /// What would become of tags, place by place.
    pub tags: Vec<PlaceMoves>,
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
    let moved = moves::lines(&view.tags, style);
    if !moved.is_empty() {
        lines.extend(moved);
        lines.push(String::new());
    }
    lines.push(sum(view, style));
    lines.push(style.paint(
        Ink::Dim,
        &match &view.digest {
            Some(digest) => format!("plan {}", visible(digest)),
            None => "plan not known as a whole: values of other targets were not asked for (`kiln plan --digest` does)".to_owned(),
        },
    ));
    lines.join("\n") + "\n"
}

/// The key of a step, and all that goes into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepKey {
    /// The key.
    pub key: String,
    /// Names and values.
    pub manifest: Vec<(String, String)>,
}

/// What a step would do, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StatusWord {
    /// Nothing: its outputs stand in place.
    Cached,
    /// Its outputs would be written back; `from` says from where.
    Restore,
    /// It would run; `why` says why.
    Run,
    /// That is known when the step in `on` has run.
    Depends,
}

/// One step, for programs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PlanStep<'a> {
    /// The printed name.
    pub step: &'a str,
    /// What it would do.
    pub status: StatusWord,
    /// Where its result would come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<&'a str>,
    /// The step that must run before more is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<&'a str>,
    /// Why, in one clause; may be empty.
    pub why: &'a str,
    /// How long it took before, in milliseconds; null where that is not known.
    pub expected_ms: Option<u64>,
    /// Its key, with `--keys`, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<&'a str>,
    /// All that goes into the key, with `--keys`: pairs of a name and a value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<&'a [(String, String)]>,
}

/// A value that the plan took from outside or from its params.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PlanValue<'a> {
    /// Its name.
    pub name: &'a str,
    /// The value.
    pub value: &'a str,
}

/// A whole plan, for programs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PlanDocument<'a> {
    /// The digest of definitions and sources alone: equal on every machine; null when targets that take no part rest on values that were not asked for.
    pub digest: Option<&'a str>,
    /// Values that the plan took from commands, files and the environment.
    pub values: Vec<PlanValue<'a>>,
    /// The steps, in the order in which they could run.
    pub steps: Vec<PlanStep<'a>>,
    /// How long the whole run should take, in milliseconds; null where history does not know.
    pub expected_ms: Option<u64>,
    /// What would become of tags, place by place.
    pub tags: &'a [PlaceMoves],
}

/// The plan as one JSON value on one line; `keys` by step.
#[must_use]
pub fn json(view: &PlanView, keys: &BTreeMap<String, StepKey>) -> String {
    let steps = view.steps.iter().map(|row| {
        let (status, from, on) = match &row.status {
            PlanStatus::Cached => (StatusWord::Cached, None, None),
            PlanStatus::Restore(from) => (StatusWord::Restore, Some(from.as_str()), None),
            PlanStatus::Run => (StatusWord::Run, None, None),
            PlanStatus::DependsOn(step) => (StatusWord::Depends, None, Some(step.as_str())),
        };
        let key = keys.get(&row.step);
        PlanStep {
            step: &row.step,
            status,
            from,
            on,
            why: &row.why,
            expected_ms: row.expected_ms,
            key: key.map(|key| key.key.as_str()),
            manifest: key.map(|key| key.manifest.as_slice()),
        }
    });
    super::json::document(&PlanDocument {
        digest: view.digest.as_deref(),
        values: view.values.iter().map(|(name, value)| PlanValue { name, value }).collect(),
        steps: steps.collect(),
        expected_ms: view.expected_ms,
        tags: &view.tags,
    })
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
