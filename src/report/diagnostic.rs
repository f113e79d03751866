//! Diagnostics on a screen: every fault with its place, its mark and the next act, all at once.
//! In: diagnostics. Out: text for people, drawn or plain, or JSON lines for programs. Never: a class or an exit code on
//! the screen, more than [`SHOWN`] faults at once, a character of a source that could act on a terminal.

use std::collections::BTreeSet;
use std::fmt;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};
use serde_json::{Value, json};

use crate::base::diagnostic::{Class, Diagnostic, Severity};
use crate::base::words::{count, list, visible};

use super::excerpt::{Excerpt, LineIndex, Mark, excerpts, visible_lines};
use super::json::SCHEMA;
use super::paint::{Ink, columns};
use super::style::Style;

/// How many diagnostics are shown; the others are counted.
pub const SHOWN: usize = 20;
/// The widest text that is still read with ease.
const WIDEST: usize = 120;

/// All of them for a person: in order of place, then how many there are and in which files.
///
/// With `style.unicode` they are drawn; without, they are told as compilers do (`build.kdl:4:10: error: …`), which
/// editors and screen readers follow.
#[must_use]
pub fn screen(diagnostics: &[Diagnostic], style: Style) -> String {
    let mut index = LineIndex::default();
    let mut text = String::new();
    for diagnostic in chosen(diagnostics) {
        if style.unicode {
            drawn(&mut text, diagnostic, style, &mut index)
        } else {
            told(&mut text, diagnostic, &mut index)
        }
        text.push('\n');
    }
    if diagnostics.len() > SHOWN {
        text.push_str(&format!("and {} more\n", diagnostics.len() - SHOWN));
    }
    if let Some(last) = last_line(diagnostics) {
        text.push_str(&style.paint(Ink::Bold, &last));
        text.push('\n');
    } else if text.ends_with("\n\n") {
        text.pop();
    }
    text
}

/// All of them for a program: one JSON object per line.
#[must_use]
pub fn json_lines(diagnostics: &[Diagnostic]) -> String {
    let mut index = LineIndex::default();
    let mut text = String::new();
    for diagnostic in sorted(diagnostics) {
        text.push_str(&object(diagnostic, &mut index).to_string());
        text.push('\n');
    }
    text
}

fn sorted(diagnostics: &[Diagnostic]) -> Vec<&Diagnostic> {
    let mut sorted: Vec<&Diagnostic> = diagnostics.iter().collect();
    sorted.sort_by_key(|diagnostic| diagnostic.place());
    sorted
}

/// Those that are shown. Where there are too many, warnings give way to errors.
fn chosen(diagnostics: &[Diagnostic]) -> Vec<&Diagnostic> {
    let mut chosen = sorted(diagnostics);
    if chosen.len() > SHOWN {
        chosen.sort_by_key(|diagnostic| diagnostic.severity != Severity::Error);
        chosen.truncate(SHOWN);
        chosen.sort_by_key(|diagnostic| diagnostic.place());
    }
    chosen
}

/// `5 faults and 1 warning in build.kdl`; nothing when there is only one and it has no place.
fn last_line(diagnostics: &[Diagnostic]) -> Option<String> {
    let files: BTreeSet<String> =
        diagnostics.iter().filter_map(|diagnostic| Some(visible(&diagnostic.labels.first()?.span.source.name))).collect();
    if files.is_empty() && diagnostics.len() < 2 {
        return None;
    }
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
    let warnings = diagnostics.len() - errors;
    let what = match (errors, warnings) {
        (errors, 0) => count(errors, "fault"),
        (0, warnings) => count(warnings, "warning"),
        (errors, warnings) => format!("{} and {}", count(errors, "fault"), count(warnings, "warning")),
    };
    let files: Vec<String> = files.into_iter().collect();
    Some(match files.len() {
        0 => what,
        1..=3 => format!("{what} in {}", list(&files, "and").replace('`', "")),
        many => format!("{what} in {many} files"),
    })
}

/// What miette is given: everything in it can be shown.
#[derive(Debug)]
struct Drawn {
    message: String,
    help: Option<String>,
    severity: Severity,
    /// The excerpts with the place where each begins in the one text that miette believes in.
    excerpts: Vec<(usize, Excerpt)>,
}

impl Drawn {
    fn new(diagnostic: &Diagnostic, index: &mut LineIndex) -> Self {
        let mut base = 0;
        let mut placed = Vec::new();
        for excerpt in excerpts(diagnostic, index) {
            let next = base + excerpt.text.len() + 1;
            placed.push((base, excerpt));
            base = next;
        }
        Self {
            message: visible_lines(&diagnostic.message),
            help: diagnostic.help.as_deref().map(visible_lines),
            severity: diagnostic.severity,
            excerpts: placed,
        }
    }
}

impl fmt::Display for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Drawn {}

impl miette::Diagnostic for Drawn {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.excerpts.iter().flat_map(|(base, excerpt)| {
            excerpt.marks.iter().map(move |mark| {
                let text = (!mark.text.is_empty()).then(|| mark.text.clone());
                let span = (base + mark.start, mark.len);
                if mark.first { LabeledSpan::new_primary_with_span(text, span) } else { LabeledSpan::new_with_span(text, span) }
            })
        })))
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self)
    }
}

/// The excerpts, side by side with one byte between them that belongs to none: so no two are ever joined.
impl SourceCode for Drawn {
    fn read_span<'a>(&'a self, span: &SourceSpan, before: usize, _after: usize) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let inside = |base: usize, excerpt: &Excerpt| base <= span.offset() && span.offset() + span.len() <= base + excerpt.text.len();
        let (base, excerpt) = self.excerpts.iter().find(|(base, excerpt)| inside(*base, excerpt)).ok_or(MietteError::OutOfBounds)?;
        let start = span.offset() - base;
        // With context, miette wants the lines; without, it wants the place for the headline.
        let (from, len, (line, column)) = if before > 0 {
            (0, excerpt.text.len(), (excerpt.first_line, 0))
        } else {
            let place = excerpt.marks.iter().find(|mark| mark.start == start).map_or((excerpt.first_line, 0), |mark| mark.place);
            (start, span.len(), place)
        };
        let data = &excerpt.text.as_bytes()[from..from + len];
        let lines = data.iter().filter(|byte| **byte == b'\n').count();
        let span = SourceSpan::from((base + from, len));
        Ok(Box::new(MietteSpanContents::new_named(excerpt.name.clone(), data, span, line, column, lines)))
    }
}

fn drawn(text: &mut String, diagnostic: &Diagnostic, style: Style, index: &mut LineIndex) {
    let theme = if style.colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let ink = if diagnostic.severity == Severity::Error { Ink::Bad } else { Ink::Warn };
    text.push_str(&style.paint(ink, diagnostic.code));
    text.push('\n');
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(style.width.clamp(20, WIDEST))
        .with_links(false)
        .with_break_words(false)
        .without_syntax_highlighting();
    let before = text.len();
    if handler.render_report(text, &Drawn::new(diagnostic, index)).is_err() {
        // A fault that cannot be drawn is told.
        text.truncate(before);
        told(text, diagnostic, index);
    }
}

/// One fault as compilers tell it.
fn told(text: &mut String, diagnostic: &Diagnostic, index: &mut LineIndex) {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let excerpts = excerpts(diagnostic, index);
    let mut marks: Vec<_> = excerpts.iter().flat_map(|excerpt| excerpt.marks.iter().map(move |mark| (excerpt, mark))).collect();
    let place = |excerpt: &Excerpt, mark: &Mark| format!("{}:{}:{}: ", excerpt.name, mark.place.0 + 1, mark.place.1 + 1);
    let first = marks.iter().find(|(_, mark)| mark.first).map_or_else(String::new, |(excerpt, mark)| place(excerpt, mark));
    text.push_str(&format!("{first}{severity}: {} [{}]\n", visible_lines(&diagnostic.message), diagnostic.code));
    marks.sort_by_key(|(_, mark)| !mark.first);
    for (excerpt, mark) in marks {
        if !mark.first {
            text.push_str(&format!("{}note: {}\n", place(excerpt, mark), if mark.text.is_empty() { "here too" } else { &mark.text }));
        }
        pointed(text, excerpt, mark);
    }
    if let Some(help) = &diagnostic.help {
        text.push_str(&format!("  help: {}\n", visible_lines(help)));
    }
}

/// The first marked line with carets under the mark.
fn pointed(text: &mut String, excerpt: &Excerpt, mark: &Mark) {
    let start = excerpt.text[..mark.start].rfind('\n').map_or(0, |feed| feed + 1);
    let line = excerpt.text[start..].lines().next().unwrap_or_default();
    let marked = &line[mark.start - start..(mark.start - start + mark.len).min(line.len())];
    let spaces = |text: &str| text.replace('\t', "    ");
    let number = (mark.place.0 + 1).to_string();
    let before = columns(&spaces(&line[..mark.start - start]));
    let carets = "^".repeat(columns(&spaces(marked)).max(1));
    let words = if mark.first { mark.text.as_str() } else { "" };
    text.push_str(format!("  {number} | {}", spaces(line)).trim_end());
    text.push('\n');
    text.push_str(format!("  {} | {}{carets} {words}", " ".repeat(number.len()), " ".repeat(before)).trim_end());
    text.push('\n');
}

fn object(diagnostic: &Diagnostic, index: &mut LineIndex) -> Value {
    let labels: Vec<Value> = diagnostic
        .labels
        .iter()
        .map(|label| {
            let (line, column) = index.place(&label.span.source, label.span.start);
            json!({
                "source": label.span.source.name, "line": line + 1, "column": column + 1,
                "start": label.span.start, "len": label.span.len, "text": label.text,
            })
        })
        .collect();
    json!({
        "schema": SCHEMA,
        "code": diagnostic.code,
        "severity": match diagnostic.severity { Severity::Error => "error", Severity::Warning => "warning" },
        "class": class(diagnostic.class),
        "message": diagnostic.message,
        "help": diagnostic.help,
        "labels": labels,
    })
}

const fn class(class: Class) -> &'static str {
    match class {
        Class::Step => "step",
        Class::Usage => "usage",
        Class::Plan => "plan",
        Class::Policy => "policy",
        Class::Environment => "environment",
        Class::Internal => "internal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::diagnostic::{Source, Span};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn source(name: &str, text: &str) -> Arc<Source> {
        Arc::new(Source { name: name.into(), text: text.into() })
    }

    fn many(n: usize, text: &str) -> Vec<Diagnostic> {
        let source = source("build.kdl", text);
        (0..n).map(|at| Diagnostic::plan("plan::x", format!("fault {at:04}"), &Span::new(&source, at * 10, 1), "here")).collect()
    }

    #[test]
    fn the_screen_is_the_one_of_the_style_guide() {
        let source = source("build.kdl", "kiln 1\n\nimage web {\n    step scna { policy \"release\" }\n}\n");
        let fault = Diagnostic::plan(
            "plan::unknown-step",
            "target `web` has an unknown step kind `scna`",
            &Span::new(&source, 29, 4),
            "not a step kind",
        )
        .help("did you mean `scan`? step kinds are: build, scan, tag, push, run");
        let expected = "\
plan::unknown-step
  × target `web` has an unknown step kind `scna`
   ╭─[build.kdl:4:10]
 3 │ image web {
 4 │     step scna { policy \"release\" }
   ·          ──┬─
   ·            ╰── not a step kind
 5 │ }
   ╰────
  help: did you mean `scan`? step kinds are: build, scan, tag, push, run

1 fault in build.kdl
";
        assert_eq!(screen(std::slice::from_ref(&fault), Style::PLAIN), expected);
        let told = "\
build.kdl:4:10: error: target `web` has an unknown step kind `scna` [plan::unknown-step]
  4 |     step scna { policy \"release\" }
    |          ^^^^ not a step kind
  help: did you mean `scan`? step kinds are: build, scan, tag, push, run

1 fault in build.kdl
";
        assert_eq!(screen(&[fault], Style { unicode: false, ..Style::PLAIN }), told);
    }

    #[test]
    fn a_fault_of_the_world_has_no_place_and_no_count() {
        let fault = Diagnostic::new(Class::Environment, "registry::refused", "push of `web` stopped").help("run it again");
        assert_eq!(screen(&[fault], Style::PLAIN), "registry::refused\n  × push of `web` stopped\n  help: run it again\n");
    }

    #[test]
    fn places_in_two_files_are_both_shown() {
        let (a, b) = (source("build.kdl", "a 1\n"), source("lib.kdl", "x\ny\nb 2\n"));
        let fault =
            Diagnostic::plan("plan::twice", "two targets", &Span::new(&a, 0, 1), "the first").label(&Span::new(&b, 4, 1), "the second");
        let text = screen(&[fault], Style::PLAIN);
        assert!(text.contains("[build.kdl:1:1]") && text.contains("[lib.kdl:3:1]"), "{text}");
    }

    #[test]
    fn twenty_are_shown_the_rest_is_counted_and_errors_come_before_warnings() {
        let mut faults: Vec<Diagnostic> = many(30, &"x".repeat(10_000)).into_iter().map(Diagnostic::warning).collect();
        faults[29].severity = Severity::Error;
        let text = screen(&faults, Style::PLAIN);
        assert!(text.ends_with("and 10 more\n1 fault and 29 warnings in build.kdl\n"), "{text}");
        assert!(text.contains("fault 0029") && text.contains("fault 0018") && !text.contains("fault 0019"));
        assert_eq!(json_lines(&faults).lines().count(), 30);
    }

    #[test]
    fn a_hostile_source_cannot_act_on_the_terminal() {
        let source = source("b\u{1b}]0;x\u{7}.kdl", "\u{1b}[2J\u{202e}task\u{7}\n");
        let fault = Diagnostic::plan("plan::x", "bad\u{1b}[31m", &Span::new(&source, 0, 3), "la\u{1b}bel").help("he\rlp");
        for unicode in [true, false] {
            let text = screen(std::slice::from_ref(&fault), Style { unicode, ..Style::PLAIN });
            assert!(!text.chars().any(|c| c != '\n' && crate::base::words::is_hidden(c)), "{text:?}");
        }
    }

    #[test]
    fn json_has_a_line_for_each_fault_with_places_counted_from_one() {
        let source = source("build.kdl", "é x\n");
        let lines = json_lines(&[Diagnostic::plan("plan::x", "m", &Span::new(&source, 3, 1), "l")]);
        let value: Value = serde_json::from_str(&lines).unwrap();
        let label = json!({"source": "build.kdl", "line": 1, "column": 3, "start": 3, "len": 1, "text": "l"});
        let expected =
            json!({"schema": 1, "code": "plan::x", "severity": "error", "class": "plan", "message": "m", "help": null, "labels": [label]});
        assert_eq!(value, expected);
    }

    #[test]
    fn the_work_does_not_grow_with_the_place_in_a_large_source() {
        let text = "x\n".repeat(2_000_000);
        let source = source("build.kdl", &text);
        let faults: Vec<Diagnostic> =
            (0..2_000).map(|n| Diagnostic::plan("plan::x", "m", &Span::new(&source, text.len() - 2 * n - 2, 1), "")).collect();
        // With a scan of the source per label this would be 8 GB of bytes to look at.
        assert_eq!(json_lines(&faults).lines().count(), 2_000);
        assert!(screen(&faults, Style::PLAIN).contains("build.kdl:1998"));
    }

    proptest! {
        #[test]
        fn any_diagnostic_can_be_drawn(
            text in "[a\u{1b}é日\r\n\t ]{0,80}",
            spans in proptest::collection::vec((0_usize..100, 0_usize..100, "[a\n\u{1b}]{0,4}"), 0..5),
            width in 0_usize..200,
            colour in any::<bool>(),
        ) {
            let source = source("f", &text);
            let mut fault = Diagnostic::new(Class::Plan, "a::b", text.clone());
            for (start, len, label) in spans {
                fault = fault.label(&Span::new(&source, start, len), label);
            }
            let told = screen(std::slice::from_ref(&fault), Style { colour, unicode: false, width });
            prop_assert!(told.contains("error: "));
            let text = screen(&[fault], Style { colour, unicode: true, width });
            prop_assert!(text.contains("a::b") && !text.contains("Failed to read") && !text.contains("error: "), "{}", text);
        }
    }
}
