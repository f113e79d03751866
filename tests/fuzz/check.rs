//! One case: all stages before a step runs, and what must hold of each.

use std::sync::Arc;

use kiln::base::diagnostic::{Class, Diagnostic, Source};
use kiln::base::path::RelPath;
use kiln::base::time::Day;
use kiln::graph::lower;
use kiln::plan::facts::{CiFact, CommandError, FactError, Facts, GitFact};
use kiln::plan::include::{self, IncludeSource, Sources, Unavailable};
use kiln::plan::{Overrides, resolve};
use kiln::report::diagnostic;
use kiln::report::style::Style;
use kiln::syntax::document::Document;
use kiln::syntax::{self, format};

/// How far a case came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Bytes,
    Document,
    Plan,
}

/// A world that has an answer to everything.
struct World;

impl Facts for World {
    fn git(&self, what: GitFact) -> Result<Option<String>, FactError> {
        let word = GitFact::ALL.iter().find(|(fact, _, _)| *fact == what).map_or("", |(_, word, _)| word);
        match word {
            "sha" => Ok(Some("1a2b3c4d5e6f708192a3b4c5d6e7f80911223344".to_owned())),
            "time" => Ok(Some("1700000000".to_owned())),
            "version" => Ok(Some("1.4.2".to_owned())),
            "branch" => Err(FactError("fatal: bad object HEAD".to_owned())),
            _ => Ok(None),
        }
    }
    fn env(&self, name: &str) -> Option<String> {
        name.len().is_multiple_of(2).then(|| "$(value)".to_owned())
    }
    fn today(&self) -> Day {
        "2026-11-22".parse().unwrap()
    }
    fn host_os(&self) -> String {
        "linux".to_owned()
    }
    fn host_arch(&self) -> String {
        "amd64".to_owned()
    }
    fn ci(&self, _: CiFact) -> Option<String> {
        None
    }
    fn file(&self, path: &RelPath, _: u64) -> Result<Option<Vec<u8>>, FactError> {
        Ok((!path.to_string().contains('.')).then(|| b"1.4.2\n\xff".to_vec()))
    }
    fn command(&self, script: &str, _: u64) -> Result<Vec<u8>, CommandError> {
        let failed = || CommandError { reason: "failed: exit code 1".to_owned(), tail: script.to_owned() };
        script.len().is_multiple_of(2).then(|| script.as_bytes().to_vec()).ok_or_else(failed)
    }
}

/// Every include gives the case itself, once as a file and never from far.
struct Mirror<'a>(&'a Document);

impl Sources for Mirror<'_> {
    fn document(&self, place: &IncludeSource) -> Result<Document, Unavailable> {
        match place {
            IncludeSource::Local(_) => Ok(self.0.clone()),
            _ => Err(Unavailable::Missing),
        }
    }
}

/// Every mark lies in its text, between characters; every fault can be shown, and is no bug.
fn sound(faults: &[Diagnostic]) -> Result<(), String> {
    for fault in faults {
        if fault.class == Class::Internal {
            return Err(format!("a bug: {fault:?}"));
        }
        if fault.message.is_empty() || fault.message.chars().any(|c| c != '\n' && kiln::base::words::is_hidden(c)) {
            return Err(format!("a message that cannot be shown: {fault:?}"));
        }
        for label in &fault.labels {
            let (start, end) = (label.span.start, label.span.start + label.span.len);
            if label.span.source.text.get(start..end).is_none() {
                return Err(format!("a mark outside the text: {fault:?}"));
            }
        }
    }
    for style in [Style { colour: true, unicode: true, width: 80 }, Style { colour: false, unicode: false, width: 20 }] {
        if faults.is_empty() != diagnostic::screen(faults, style).is_empty() {
            return Err("an empty screen".to_owned());
        }
    }
    if diagnostic::json_lines(faults).lines().count() != faults.len() {
        return Err("a fault that programs do not see".to_owned());
    }
    Ok(())
}

/// What formatting must keep to, for a text that could be read.
fn formats(source: &Arc<Source>) -> Result<(), String> {
    let again = |text: String| Arc::new(Source { name: source.name.clone(), text });
    match format::format(source) {
        Ok(once) => match format::format(&again(once.clone())) {
            Ok(twice) if twice == once => Ok(()),
            other => Err(format!("formatting is not done after once: {once:?} {other:?}")),
        },
        Err(faults) => sound(faults.as_slice()),
    }
}

/// Takes a case as far as it goes.
///
/// # Errors
/// What does not hold.
pub fn check(bytes: &[u8]) -> Result<Outcome, String> {
    let source = match syntax::check_file_bytes("build.kdl", bytes) {
        Ok(source) => source,
        Err(fault) => return sound(&[fault]).map(|()| Outcome::Bytes),
    };
    let document = match syntax::parse(Arc::clone(&source)) {
        Ok(document) => document,
        Err(faults) => return sound(faults.as_slice()).map(|()| Outcome::Bytes),
    };
    formats(&source)?;
    let loaded = include::load(document.clone(), RelPath::new(b"build.kdl").ok(), &Mirror(&document));
    let resolved = match resolve(&loaded, &World, &Overrides::default()) {
        Ok(resolved) => resolved,
        Err(faults) => return sound(&faults.sorted()).map(|()| Outcome::Document),
    };
    sound(&resolved.warnings)?;
    match lower::lower(&resolved.plan) {
        Ok(_) => Ok(Outcome::Plan),
        Err(faults) => sound(faults.as_slice()).map(|()| Outcome::Document),
    }
}
