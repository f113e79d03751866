//! A run as JUnit XML, which every CI server reads: a suite per run, a case per step.
//! In: an [`Outcome`]. Out: one XML document. Never: a character that XML 1.0 does not allow, a time in the reader's locale.
//!
//! Source: the schema of Jenkins' xUnit plugin (junit-10.xsd), which GitLab, Azure and Jenkins read.

use std::fmt::Write as _;

use crate::base::time::Moment;
use crate::event::{Ended, FailureClass};

use super::outcome::{Outcome, StepOutcome};

/// The document.
#[must_use]
pub fn document(outcome: &Outcome) -> String {
    let failures = outcome.count(|ended| matches!(kind(ended), Kind::Failure));
    let errors = outcome.count(|ended| matches!(kind(ended), Kind::Error));
    let skipped = outcome.count(|ended| matches!(kind(ended), Kind::Skipped));
    let counts = format!(
        "tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\" time=\"{}\"",
        outcome.steps.len(),
        seconds(outcome.took_ms)
    );
    // The schema has no zone: it is UTC.
    let at = outcome.at.unwrap_or(Moment(0)).to_string();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(text, "<testsuites name=\"kiln\" {counts}>");
    let _ = writeln!(text, "  <testsuite name=\"{}\" {counts} timestamp=\"{}\">", escaped(&outcome.plan), at.trim_end_matches('Z'));
    let _ = writeln!(text, "    <properties>");
    let _ = writeln!(text, "      <property name=\"run\" value=\"{}\"/>", escaped(&outcome.run));
    let _ = writeln!(text, "      <property name=\"targets\" value=\"{}\"/>", escaped(&outcome.targets.join(" ")));
    let _ = writeln!(text, "    </properties>");
    for step in &outcome.steps {
        case(&mut text, step);
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

enum Kind {
    Passed,
    Failure,
    Error,
    Skipped,
}

fn kind(ended: &Ended) -> Kind {
    match ended {
        Ended::Done | Ended::Cached { .. } => Kind::Passed,
        Ended::Failed { allowed: true, .. } | Ended::Skipped { .. } | Ended::Cancelled => Kind::Skipped,
        Ended::Failed { class: FailureClass::Step | FailureClass::Policy, .. } => Kind::Failure,
        Ended::Failed { class: FailureClass::Environment | FailureClass::Internal, .. } => Kind::Error,
    }
}

fn case(text: &mut String, step: &StepOutcome) {
    let took = if step.began_ms.is_some() { step.took_ms } else { 0 };
    let _ = writeln!(
        text,
        "    <testcase classname=\"{}\" name=\"{}\" time=\"{}\">",
        escaped(step.name.target.as_str()),
        escaped(&step.name.to_string()),
        seconds(took)
    );
    let log = step.tail.join("\n");
    match (&step.ended, kind(&step.ended)) {
        (Ended::Failed { reason, class, help, .. }, sort @ (Kind::Failure | Kind::Error)) => {
            let tag = if matches!(sort, Kind::Failure) { "failure" } else { "error" };
            let class = format!("{class:?}").to_lowercase();
            let help = help.as_deref().map_or_else(String::new, |help| format!("help: {help}\n"));
            let _ = writeln!(text, "      <{tag} type=\"{class}\" message=\"{}\">{}</{tag}>", escaped(reason), escaped(&(help + &log)));
        }
        (Ended::Failed { reason, .. }, _) => {
            let _ = writeln!(text, "      <skipped message=\"{}\"/>", escaped(&format!("failed, which the plan allows: {reason}")));
        }
        (Ended::Skipped { because }, _) => {
            let _ = writeln!(text, "      <skipped message=\"{}\"/>", escaped(&format!("{because} failed")));
        }
        (Ended::Cancelled, _) => text.push_str("      <skipped message=\"stopped\"/>\n"),
        (Ended::Done | Ended::Cached { .. }, _) => {}
    }
    if !log.is_empty() && matches!(kind(&step.ended), Kind::Passed | Kind::Skipped) {
        let _ = writeln!(text, "      <system-out>{}</system-out>", escaped(&log));
    }
    if !step.notices.is_empty() {
        let _ = writeln!(text, "      <system-err>{}</system-err>", escaped(&step.notices.join("\n")));
    }
    text.push_str("    </testcase>\n");
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03}", millis / 1_000, millis % 1_000)
}

/// Text for XML; what XML 1.0 cannot hold at all is shown as `\u{1b}`. Source: XML 1.0, production 2, `Char`.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => {
                let _ = write!(out, "{}", c.escape_unicode());
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
    fn nothing_that_xml_cannot_hold_comes_through() {
        assert_eq!(escaped("a<b>&\"c\"\u{1b}\u{0}\n\u{ffff}é"), "a&lt;b&gt;&amp;&quot;c&quot;\\u{1b}\\u{0}\n\\u{ffff}é");
        assert_eq!(seconds(61_005), "61.005");
    }
}
