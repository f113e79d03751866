//! A run as Markdown, for the page that CI shows of a job: one line, what failed with its last words, a table.
//! In: an [`Outcome`]. Out: one document of at most a few hundred KiB. Never: text of a step that the page would take for
//! markup.

use std::fmt::Write as _;

use crate::base::words::{count, visible};
use crate::event::{Ended, Origin};

use super::line;
use super::outcome::{Outcome, StepOutcome};

/// Rows of the table; GitHub refuses a page above 1 MiB.
const ROWS: usize = 500;
/// Failures whose last lines are shown.
const FAILURES: usize = 10;
/// Lines of each.
const LINES: usize = 50;
/// The longest line, in bytes.
const LONGEST: usize = 400;

/// The document.
#[must_use]
pub fn document(outcome: &Outcome) -> String {
    let failed = outcome.failures().count();
    let sign = match outcome.exit {
        Some(0) => "✅",
        Some(_) => "❌",
        None => "⏹️",
    };
    let ran = outcome.steps.iter().filter(|step| step.began_ms.is_some()).count();
    let cached = outcome.count(|ended| matches!(ended, Ended::Cached { .. }));
    let saved = if outcome.saved_ms >= 100 { format!(", saved {}", line::time(outcome.saved_ms)) } else { String::new() };
    let bad = if failed > 0 { format!("{failed} failed, ") } else { String::new() };
    let targets: Vec<String> = outcome.targets.iter().map(|target| code(target)).collect();
    let mut text = format!(
        "### {sign} kiln {}\n\n{}: {bad}{ran} ran, {cached} cached, in {}{saved}\n",
        targets.join(" "),
        count(outcome.steps.len(), "step"),
        line::time(outcome.took_ms)
    );
    for step in outcome.failures().take(FAILURES) {
        failure(&mut text, step);
    }
    if failed > FAILURES {
        let _ = writeln!(text, "\nand {} more", count(failed - FAILURES, "failure"));
    }
    text.push_str("\n| step | result | time | |\n| --- | --- | ---: | --- |\n");
    // What failed and what ran says more than what was cached.
    let mut steps: Vec<&StepOutcome> = outcome.steps.iter().collect();
    steps.sort_by_key(|step| rank(&step.ended));
    for step in steps.iter().take(ROWS) {
        let took = if step.began_ms.is_some() { line::time(step.took_ms) } else { String::new() };
        let words = step.detail.as_deref().or(step.why.as_deref()).unwrap_or_default();
        let _ = writeln!(text, "| {} | {} | {took} | {} |", code(&step.name.to_string()), result(&step.ended), plain(words));
    }
    if steps.len() > ROWS {
        let _ = writeln!(text, "\nand {}", count(steps.len() - ROWS, "more step"));
    }
    for notice in outcome.notices.iter().take(FAILURES) {
        let _ = writeln!(text, "\n> ⚠️ {}", plain(notice));
    }
    let _ = writeln!(text, "\n<sub>run {}, plan {}</sub>", code(&outcome.run), code(&outcome.plan));
    text
}

fn rank(ended: &Ended) -> u8 {
    match ended {
        Ended::Failed { allowed: false, .. } => 0,
        Ended::Failed { .. } => 1,
        Ended::Done => 2,
        Ended::Cancelled => 3,
        Ended::Skipped { .. } => 4,
        Ended::Cached { from: Origin::Restored } => 5,
        Ended::Cached { from: Origin::InPlace } => 6,
    }
}

fn result(ended: &Ended) -> String {
    match ended {
        Ended::Done => "✅ done".to_owned(),
        Ended::Cached { from: Origin::InPlace } => "cached".to_owned(),
        Ended::Cached { from: Origin::Restored } => "restored".to_owned(),
        Ended::Failed { allowed: true, reason, .. } => format!("⚠️ {}, which the plan allows", plain(reason)),
        Ended::Failed { reason, .. } => format!("❌ {}", plain(reason)),
        Ended::Skipped { because } => format!("skipped: {} failed", code(&because.to_string())),
        Ended::Cancelled => "stopped".to_owned(),
    }
}

fn failure(text: &mut String, step: &StepOutcome) {
    let Ended::Failed { reason, help, .. } = &step.ended else { return };
    let _ = write!(text, "\n**{}**: {}", code(&step.name.to_string()), plain(reason));
    if let Some(help) = help {
        let _ = write!(text, " – {}", plain(help));
    }
    text.push('\n');
    if step.tail.is_empty() {
        return;
    }
    let from = step.tail.len().saturating_sub(LINES);
    let lines: Vec<String> = step.tail[from..].iter().map(|line| crate::base::words::shorten(line, LONGEST)).collect();
    let body = lines.join("\n");
    // A fence longer than any in the text cannot be closed by it.
    let longest = body.split(|c| c != '`').map(str::len).max().unwrap_or(0).max(2);
    let fence = "`".repeat(longest + 1);
    let _ = writeln!(
        text,
        "\n<details open><summary>last {}</summary>\n\n{fence}text\n{body}\n{fence}\n\n</details>",
        count(lines.len(), "line")
    );
}

/// A name as code, also in a cell of a table.
fn code(text: &str) -> String {
    let shown = visible(text).replace('|', "\\|");
    let longest = shown.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    if longest == 0 { format!("`{shown}`") } else { format!("{fence} {shown} {fence}") }
}

/// Words without a meaning in Markdown or HTML, on one line.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in visible(&crate::base::words::shorten(text, LONGEST)).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\n' => out.push(' '),
            '|' | '*' | '_' | '[' | ']' | '\\' | '#' | '~' | '@' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_step_is_no_markup() {
        assert_eq!(plain("a|b <img> *c* `d`"), "a\\|b &lt;img&gt; \\*c\\* `d`");
        assert_eq!(code("a`b|c"), "`` a`b\\|c ``");
        assert_eq!(code("web"), "`web`");
    }
}
