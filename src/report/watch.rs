//! What `kiln watch` says between runs.

use std::time::Duration;

use serde::Serialize;

use crate::base::time::Span;
use crate::base::words::{self, count, visible};

use super::paint::{Ink, Mark};
use super::style::Style;

/// The most files that are named.
const NAMED: usize = 5;

/// A file that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangedFile {
    /// Where.
    pub path: String,
    /// `changed`, `is new` or `is gone`.
    pub became: &'static str,
    /// The steps that read it; none for a file of the plan itself.
    pub steps: Vec<String>,
}

/// What changed, a line for each file, and which steps read it.
#[must_use]
pub fn changed(style: Style, files: &[ChangedFile]) -> String {
    let mut text = String::new();
    let arrow = if style.unicode { "→" } else { "->" };
    for file in files.iter().take(NAMED) {
        let steps = match file.steps.as_slice() {
            [] => "the plan".to_owned(),
            steps if steps.len() > 3 => format!("{}, {} and {}", steps[0], steps[1], count(steps.len() - 2, "more step")),
            steps => words::list(steps, "and"),
        };
        let tail = style.paint(Ink::Dim, &format!("{arrow} {steps}"));
        text.push_str(&format!("{} {} {}  {tail}\n", style.mark(Mark::Restored), visible(&file.path), file.became));
    }
    if files.len() > NAMED {
        text.push_str(&style.paint(Ink::Dim, &format!("  and {}", count(files.len() - NAMED, "more file"))));
        text.push('\n');
    }
    text
}

/// What is waited for: a change of so many files, or, for `None`, of a plan with faults.
#[must_use]
pub fn waiting(style: Style, files: Option<usize>, targets: &[String], looks: Option<Duration>) -> String {
    let mut text = match files {
        None => "waiting for the plan to change".to_owned(),
        Some(files) => format!("watching {} for {}", count(files, "file"), words::list(&shown(targets), "and")),
    };
    if let Some(every) = looks {
        text.push_str(&format!(", looking every {}", Span(every)));
    }
    text.push_str("; Ctrl-C ends");
    format!("{}\n", style.paint(Ink::Dim, &text))
}

fn shown(targets: &[String]) -> Vec<String> {
    targets.iter().map(|target| visible(target)).collect()
}

/// One thing to know.
#[must_use]
pub fn notice(style: Style, text: &str) -> String {
    format!("{} {}\n", style.mark(Mark::Warning), visible(text))
}
