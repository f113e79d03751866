//! Broken plans that carry in place the faults they must give.
//!
//! A line `// error[CODE] LINE:COL..COL | message | help` in `fixtures/diagnostics/syntax` names one fault: its code, the place of its
//! first mark (columns count characters from one, the end is the first column after it; `..LINE:COL` when the mark ends on another line),
//! and a part of its message and of its help. The faults of a file must be exactly those, in their order; a file without such lines
//! must be read.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use kiln::base::diagnostic::{Diagnostic, Span};
use kiln::syntax;

struct Expected {
    head: String,
    message: String,
    help: String,
}

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/diagnostics/syntax");
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

fn expected(text: &str) -> Vec<Expected> {
    let notes = text.lines().filter_map(|line| line.trim_start_matches('\u{feff}').strip_prefix("// error"));
    notes
        .map(|note| {
            let mut parts = note.splitn(3, " | ").map(str::trim);
            let mut next = || parts.next().unwrap_or_else(|| panic!("not a note: {note}")).to_owned();
            Expected { head: next(), message: next(), help: next() }
        })
        .collect()
}

fn faults(name: &str, bytes: &[u8]) -> Vec<Diagnostic> {
    match syntax::check_file_bytes(name, bytes).map(syntax::parse) {
        Ok(Ok(_)) => Vec::new(),
        Ok(Err(faults)) => faults.into_iter().collect(),
        Err(fault) => vec![fault],
    }
}

/// The code and the first mark of a fault, as a note writes them.
fn head(fault: &Diagnostic) -> String {
    let Some(label) = fault.labels.first() else { return format!("[{}]", fault.code) };
    let (line, column) = label.span.line_column();
    let (last_line, last_column) = Span::new(&label.span.source, label.span.start + label.span.len, 0).line_column();
    let end = if last_line == line { last_column.to_string() } else { format!("{last_line}:{last_column}") };
    format!("[{}] {line}:{column}..{end}", fault.code)
}

#[test]
fn every_broken_plan_gives_the_faults_it_carries() {
    let mut wrong = String::new();
    for path in fixtures() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = std::fs::read(&path).unwrap();
        let expected = expected(&String::from_utf8_lossy(&bytes));
        let found = faults(&name, &bytes);
        let agree = expected.len() == found.len()
            && expected.iter().zip(&found).all(|(note, fault)| {
                let help = fault.help.as_deref().unwrap_or_default();
                note.head == head(fault) && fault.message.contains(&note.message) && help.contains(&note.help)
            });
        if !agree {
            let _ = writeln!(wrong, "{name} gives:");
            for fault in &found {
                let _ = writeln!(wrong, "// error{} | {} | {}", head(fault), fault.message, fault.help.as_deref().unwrap_or_default());
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_code_of_a_fixture_is_explained_and_every_explained_code_has_a_fixture() {
    // These need a file too large to keep, a broken machine, or a bug.
    let rare = ["syntax::too-large", "syntax::no-thread", "syntax::parser-stopped", "syntax::refused", "syntax::format-changed"];
    let given: BTreeSet<&str> =
        fixtures().iter().flat_map(|path| faults("a", &std::fs::read(path).unwrap())).map(|fault| fault.code).collect();
    let explained: BTreeSet<&str> = syntax::explain::EXPLANATIONS.iter().map(|one| one.code).filter(|code| !rare.contains(code)).collect();
    assert_eq!(given, explained);
}

#[test]
fn no_message_sends_a_character_that_a_terminal_would_obey() {
    for path in fixtures() {
        for fault in faults("a", &std::fs::read(path).unwrap()) {
            let labels = fault.labels.iter().map(|label| label.text.as_str());
            for text in labels.chain([fault.message.as_str(), fault.help.as_deref().unwrap_or_default()]) {
                assert!(!text.chars().any(kiln::base::words::is_hidden), "{text:?}");
            }
        }
    }
}

#[test]
fn messages_keep_the_house_style() {
    for path in fixtures() {
        for fault in faults("a", &std::fs::read(path).unwrap()) {
            let first = fault.message.chars().next().unwrap();
            assert!(!first.is_uppercase() && !fault.message.ends_with('.'), "{}", fault.message);
            assert!(!fault.help.as_deref().unwrap().ends_with('.'), "{:?}", fault.help);
        }
    }
}
