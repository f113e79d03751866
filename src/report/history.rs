//! `kiln history`: the runs on record, newest first.
//! In: rows. Out: text for people or one JSON value for programs. Never: reads a journal.

use serde::Serialize;

use crate::base::words::{count, visible};

use super::cache::age;
use super::line;
use super::paint::{Ink, Mark};
use super::style::Style;
use super::table::Table;

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunRow {
    /// Its name.
    pub run: String,
    /// When it began, RFC 3339.
    pub at: String,
    /// Seconds since then.
    pub ago_s: u64,
    /// What was asked for.
    pub targets: Vec<String>,
    /// Steps that took part.
    pub steps: usize,
    /// Steps that ran.
    pub ran: usize,
    /// Steps that did not have to.
    pub cached: usize,
    /// Steps that failed, and may not.
    pub failed: usize,
    /// How long it took, in milliseconds; absent when it did not come to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// Its exit code, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<u8>,
    /// What cached steps took when they ran, in milliseconds.
    pub saved_ms: u64,
}

/// What a check of one record says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifyRow {
    /// The run.
    pub run: String,
    /// `whole`, `open` (killed, or still on its way), `broken`, `unreadable`.
    pub state: &'static str,
    /// Lines that were read.
    pub lines: usize,
    /// The first line that does not follow from the one before, counted from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broken_line: Option<usize>,
    /// Why it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The runs.
#[must_use]
pub fn screen(rows: &[RunRow], style: Style) -> String {
    if rows.is_empty() {
        return "no run is on record here\n".to_owned();
    }
    // The name is what other commands are given: it stays whole.
    let mut table = Table::new(&[2, 3], &[4]).sparing(&[5, 4, 1]);
    for row in rows {
        let mark = match row.exit {
            Some(0) => Mark::Done,
            Some(130 | 143 | 129) | None => Mark::Stopped,
            Some(_) => Mark::Failed,
        };
        let parts = [(row.failed, "failed"), (row.ran, "ran"), (row.cached, "cached")];
        let said: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        let end = match row.exit {
            None => "did not end".to_owned(),
            Some(_) if said.is_empty() => count(row.steps, "step"),
            Some(_) => said.join(", "),
        };
        let saved = if row.saved_ms >= 100 { format!("saved {}", line::time(row.saved_ms)) } else { String::new() };
        table.row([
            format!("{} {}", style.mark(mark), style.paint(Ink::Name, &visible(&row.run))),
            format!("{} ago", age(row.ago_s)),
            visible(&row.targets.join(" ")),
            end,
            row.took_ms.map(line::time).unwrap_or_default(),
            style.paint(Ink::Dim, &saved),
        ]);
    }
    table.lines(style, "").join("\n") + "\n"
}

/// What the checks say.
#[must_use]
pub fn verdicts(rows: &[VerifyRow], style: Style) -> String {
    let mut lines = Vec::new();
    for row in rows {
        let (mark, words) = match (row.state, row.broken_line) {
            ("whole", _) => (Mark::Done, format!("{} follow from each other", count(row.lines, "line"))),
            ("open", _) => (Mark::Stopped, format!("{} follow from each other, and the run has no end", count(row.lines, "line"))),
            (_, Some(at)) => (Mark::Failed, format!("line {at} does not follow from the one before: it or that one was changed")),
            _ => (Mark::Failed, visible(row.reason.as_deref().unwrap_or("it cannot be read"))),
        };
        lines.push(format!("{} {}  {words}", style.mark(mark), visible(&row.run)));
    }
    let bad = rows.iter().filter(|row| !matches!(row.state, "whole" | "open")).count();
    lines.push(match (rows.len(), bad) {
        (0, _) => "no run is on record here".to_owned(),
        (all, 0) => format!("{}: nothing was changed", count(all, "record")),
        (all, bad) => format!("{bad} of {} cannot be trusted", count(all, "record")),
    });
    lines.join("\n") + "\n"
}
