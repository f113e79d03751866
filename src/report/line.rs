//! One thing that happened, as one line: the words that the live screen, the plain log and the summary share.
//! In: parts of an event. Out: a line without line feed. Never: a control character, whatever the parts hold.

use std::time::Duration;

use crate::base::id::StepName;
use crate::base::time::Span;
use crate::base::words::visible;
use crate::event::{Ended, Origin};

use super::paint::{Ink, Mark};
use super::style::Style;

/// `4.2 s`.
#[must_use]
pub fn time(millis: u64) -> String {
    Span(Duration::from_millis(millis)).to_string()
}

/// An estimate, without a precision that it does not have: `24 s`, `3 m 07 s`.
#[must_use]
pub fn rough(millis: u64) -> String {
    if millis < 60_000 { format!("{} s", millis.div_ceil(1_000)) } else { time(millis) }
}

/// The step's name, fit to be shown.
#[must_use]
pub fn name(step: &StepName) -> String {
    visible(&step.to_string())
}

/// The step's name as a shell takes it.
#[must_use]
pub fn quoted(step: &StepName) -> String {
    let shown = name(step);
    if shown.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./:@=,+%".contains(&byte)) {
        shown
    } else {
        format!("'{}'", shown.replace('\'', r"'\''"))
    }
}

/// `✓ compile@linux/amd64  4.2 s  3 files`.
#[must_use]
pub fn ended(style: Style, step: &StepName, ended: &Ended, took_ms: u64, detail: Option<&str>) -> String {
    let (mark, ink, what) = match ended {
        Ended::Done => (Mark::Done, Ink::Dim, time(took_ms)),
        Ended::Cached { from: Origin::InPlace } => (Mark::Cached, Ink::Dim, "cached".to_owned()),
        Ended::Cached { from: Origin::Restored } => (Mark::Restored, Ink::Dim, "restored".to_owned()),
        Ended::Failed { reason, allowed, .. } => {
            let ink = if *allowed { Ink::Warn } else { Ink::Bad };
            let reason = style.paint(ink, &visible(reason));
            let took = style.paint(Ink::Dim, &time(took_ms));
            let may = if *allowed { ", which the plan allows" } else { "" };
            let mark = if *allowed { Mark::Warning } else { Mark::Failed };
            return format!("{} {}  {reason}{may}  {took}", style.mark(mark), name(step));
        }
        Ended::Skipped { because } => (Mark::Skipped, Ink::Dim, format!("skipped: {} failed", name(because))),
        Ended::Cancelled => (Mark::Stopped, Ink::Warn, "stopped".to_owned()),
    };
    let detail = detail.map_or_else(String::new, |detail| format!("  {}", visible(detail)));
    format!("{} {}  {}{detail}", style.mark(mark), name(step), style.paint(ink, &what))
}

/// `▸ compile@linux/amd64  src/main.rs changed`.
#[must_use]
pub fn started(style: Style, step: &StepName, why: &str) -> String {
    format!("{} {}  {}", style.mark(Mark::Running), name(step), style.paint(Ink::Dim, &visible(why)))
}

/// `! compile@linux/amd64  the output folder was not empty`.
#[must_use]
pub fn notice(style: Style, step: Option<&StepName>, text: &str) -> String {
    let text = style.paint(Ink::Warn, &visible(text));
    match step {
        Some(step) => format!("{} {}  {text}", style.mark(Mark::Warning), name(step)),
        None => format!("{} {text}", style.mark(Mark::Warning)),
    }
}

/// What stands before each line that the step wrote: `compile@linux/amd64 │ `.
#[must_use]
pub fn prefix(style: Style, step: &StepName) -> String {
    format!("{} {} ", style.paint(Ink::Name, &name(step)), style.paint(Ink::Dim, style.bar()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::{Cell, StepKind};
    use crate::event::FailureClass;

    #[test]
    fn each_end_has_its_words() {
        let step = |name: &str| StepName::new(name.parse().unwrap(), StepKind::Run);
        let failed = |allowed| Ended::Failed { class: FailureClass::Step, reason: "exit code 2".into(), help: None, allowed };
        for (how, detail, expected) in [
            (Ended::Done, None, "✓ web  4.2 s"),
            (Ended::Done, Some("3 layers"), "✓ web  4.2 s  3 layers"),
            (Ended::Cached { from: Origin::InPlace }, None, "● web  cached"),
            (Ended::Cached { from: Origin::Restored }, None, "↻ web  restored"),
            (failed(false), None, "✗ web  exit code 2  4.2 s"),
            (failed(true), None, "! web  exit code 2, which the plan allows  4.2 s"),
            (Ended::Skipped { because: step("test") }, None, "– web  skipped: test failed"),
            (Ended::Cancelled, None, "■ web  stopped"),
            (Ended::Done, Some("a\x1b[2J"), "✓ web  4.2 s  a\\u{1b}[2J"),
        ] {
            assert_eq!(ended(Style::PLAIN, &step("web"), &how, 4_200, detail), expected);
        }
    }

    #[test]
    fn names_that_a_shell_would_read_otherwise_are_quoted() {
        let mut cell = StepName::new("a".parse().unwrap(), StepKind::Run);
        cell.cell = Cell(vec![("bin".into(), "it's".into())]);
        assert_eq!(quoted(&cell), r"'a[bin=it'\''s]'");
        assert_eq!(quoted(&StepName::new("a-b.c".parse().unwrap(), StepKind::Run)), "a-b.c");
    }
}
