//! The table: a row for each case, a column for each tool.

use std::fmt::Write as _;

use crate::cases::Case;
use crate::world::End;
use crate::{Found, Verdict};

fn cell(verdict: Option<&Verdict>) -> String {
    match verdict.map(|verdict| &verdict.end) {
        Some(Ok(())) => "✓".into(),
        Some(Err(End::Wrong(word, _))) => format!("**{word}**"),
        Some(Err(End::Costs(word, _))) => (*word).into(),
        Some(Err(End::Cannot(_))) => "–".into(),
        Some(Err(End::Broken(_))) | None => "?".into(),
    }
}

/// The head of a table: names and versions.
fn head(found: &[Found]) -> String {
    let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let names = found.iter().map(|found| found.tool.name().to_owned());
    let versions = found.iter().map(|found| format!("*{}*", found.version));
    let mut text = row(std::iter::once(String::new()).chain(names).collect());
    text.push_str(&row(vec!["---".to_owned(); found.len() + 1]));
    text.push_str(&row(std::iter::once("*version*".to_owned()).chain(versions).collect()));
    text
}

/// Markdown: for each subject, in how many cases each tool was right, of those that it can be asked.
pub fn compact(found: &[Found], cases: &[(&str, &Case)], verdicts: &[Verdict]) -> String {
    let mut text = head(found);
    let mut subjects: Vec<&str> = cases.iter().map(|(subject, _)| *subject).collect();
    subjects.dedup();
    for subject in subjects {
        let _ = write!(text, "| {subject} |");
        for tool in 0..found.len() {
            let of = |verdict: &&Verdict| {
                verdict.tool == tool && cases[verdict.case].0 == subject && !matches!(verdict.end, Err(End::Cannot(_)))
            };
            let asked: Vec<&Verdict> = verdicts.iter().filter(of).collect();
            let right = asked.iter().filter(|verdict| verdict.end.is_ok()).count();
            let _ = write!(text, " {right} of {} |", asked.len());
        }
        text.push('\n');
    }
    text + &counts(found, verdicts)
}

/// Markdown: groups as rows of their own, then how often each tool was right.
pub fn table(found: &[Found], cases: &[(&str, &Case)], verdicts: &[Verdict]) -> String {
    let mut text = head(found);
    let of = |case: usize, tool: usize| verdicts.iter().find(|verdict| (verdict.case, verdict.tool) == (case, tool));
    let mut group = "";
    for (place, (subject, case)) in cases.iter().enumerate() {
        if (0..found.len()).all(|tool| of(place, tool).is_none()) {
            continue;
        }
        if *subject != group {
            group = subject;
            let _ = writeln!(text, "| **{group}** |{}", " |".repeat(found.len()));
        }
        let _ = write!(text, "| {} |", case.says);
        for tool in 0..found.len() {
            let _ = write!(text, " {} |", cell(of(place, tool)));
        }
        text.push('\n');
    }
    text + &counts(found, verdicts)
}

fn counts(found: &[Found], verdicts: &[Verdict]) -> String {
    let mut text = String::new();
    type Counts = fn(&Verdict) -> bool;
    let counts: [(&str, Counts); 4] = [
        ("right", |verdict| verdict.end.is_ok()),
        ("right, at the cost of work", |verdict| matches!(verdict.end, Err(End::Costs(..)))),
        ("wrong", |verdict| matches!(verdict.end, Err(End::Wrong(..)))),
        ("cannot be asked", |verdict| matches!(verdict.end, Err(End::Cannot(_)))),
    ];
    for (name, counts) in counts {
        let _ = write!(text, "| **{name}** |");
        for tool in 0..found.len() {
            let _ = write!(text, " {} |", verdicts.iter().filter(|verdict| verdict.tool == tool && counts(verdict)).count());
        }
        text.push('\n');
    }
    text
}
