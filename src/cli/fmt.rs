//! `kiln fmt`: plans in their one form.

use std::cell::RefCell;
use std::sync::Arc;

use serde_json::json;

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics, Source};
use crate::base::path::AbsPath;
use crate::base::words::visible;
use crate::plan::include::{self, IncludeSource, Sources, Unavailable};
use crate::report::diff::{self, DiffLine};
use crate::report::json;
use crate::syntax;
use crate::syntax::document::Document;
use crate::sys::{env, file};

use super::args::{Fmt, Global};
use super::output::Output;
use super::settings::{self, Settings};
use super::sources::{self, Files};

/// A file that is to be formatted.
struct Asked {
    path: AbsPath,
    name: String,
}

/// Formats what was asked for, every file whatever became of the others, and gives the exit code.
pub fn fmt(global: &Global, output: &Output, asked: &Fmt) -> u8 {
    if asked.stdin {
        return stdin(output, asked);
    }
    let files = match files(global, asked) {
        Ok(files) => files,
        Err(fault) => return output.faults(fault.into()),
    };
    let mut faults = Diagnostics::default();
    let mut changed = false;
    for one in &files {
        match formatted(asked, one) {
            Ok((old, new)) if old != new => {
                changed = true;
                if let Err(fault) = change(output, asked, one, &old, &new) {
                    faults.push(fault);
                }
            }
            Ok(_) => {}
            Err(found) => faults.extend(found),
        }
    }
    if !faults.is_empty() {
        return output.faults(faults);
    }
    u8::from(asked.check && changed)
}

fn files(global: &Global, asked: &Fmt) -> Result<Vec<Asked>, Diagnostic> {
    if asked.files.is_empty() {
        return Ok(of_plan(&settings::resolve(global)?));
    }
    let here = env::current_dir().map_err(|error| {
        Diagnostic::new(Class::Environment, "cli::no-directory", format!("the working directory cannot be found: {error}"))
    })?;
    let named = |path: &std::path::PathBuf| Asked { path: here.join(path), name: path.to_string_lossy().into_owned() };
    Ok(asked.files.iter().map(named).collect())
}

/// The plan and the files of the project that it includes, directly or through others. What keeps one of them from being read is
/// told when it is formatted.
fn of_plan(settings: &Settings) -> Vec<Asked> {
    let main = Asked { path: settings.plan.clone(), name: settings.plan_name.clone() };
    let source =
        file::read(&settings.plan, syntax::LIMIT as u64 + 1).ok().and_then(|bytes| syntax::check_file_bytes(&main.name, &bytes).ok());
    let local = Local { files: Files { root: &settings.root, here: &settings.here }, found: RefCell::new(vec![main]) };
    if let Some(document) = source.and_then(|source| syntax::parse(source).ok()) {
        // Only the files are of interest here: circles and missing ones are for `kiln check` to say.
        let _ = include::load(document, settings.plan_place(), &local);
    }
    local.found.into_inner()
}

/// The files of the project, noting those that are there. Nothing else is asked for.
struct Local<'a> {
    files: Files<'a>,
    found: RefCell<Vec<Asked>>,
}

impl Sources for Local<'_> {
    fn document(&self, place: &IncludeSource) -> Result<Document, Unavailable> {
        let IncludeSource::Local(at) = place else { return Err(Unavailable::Missing) };
        let document = self.files.document(place);
        if matches!(document, Ok(_) | Err(Unavailable::Text(_))) {
            let path = self.files.root.at(at);
            let name = sources::shown(&path, self.files.here);
            self.found.borrow_mut().push(Asked { path, name });
        }
        document
    }
}

/// The text of a file and its one form.
fn formatted(asked: &Fmt, one: &Asked) -> Result<(String, String), Diagnostics> {
    let bytes = file::read(&one.path, syntax::LIMIT as u64 + 1).map_err(|error| {
        let class = if error.is_missing() { Class::Usage } else { Class::Plan };
        Diagnostic::new(class, "cli::unreadable-plan", error.to_string()).help("`kiln fmt` takes KDL files")
    })?;
    let source = syntax::check_file_bytes(&one.name, &bytes)?;
    let new = one_form(asked, &source)?;
    // The text of a source has no byte order mark; the file may have one.
    Ok((String::from_utf8_lossy(&bytes).into_owned(), new))
}

fn one_form(asked: &Fmt, source: &Arc<Source>) -> Result<String, Diagnostics> {
    if asked.upgrade { syntax::upgrade::upgrade(source) } else { syntax::format::format(source) }
}

/// Writes the new text, or shows what it would change.
fn change(output: &Output, asked: &Fmt, one: &Asked, old: &str, new: &str) -> Result<(), Diagnostic> {
    let name = visible(&one.name);
    let written = !asked.check && !asked.diff;
    if written {
        file::replace(&one.path, new.as_bytes()).map_err(|error| {
            Diagnostic::new(Class::Environment, "fmt::unwritable", error.to_string())
                .help("the file is as it was; `kiln fmt --stdin` prints the formatted text instead")
        })?;
    }
    if output.json {
        output.answer(&json::document(&json!({ "file": name, "written": written })));
    } else if asked.diff {
        output.answer(&difference(&name, old, new));
    } else {
        output.answer(&format!("{}{name}\n", if written { "formatted " } else { "" }));
    }
    Ok(())
}

fn difference(name: &str, old: &str, new: &str) -> String {
    let mut text = format!("--- {name}\n+++ {name}, formatted\n");
    for line in diff::lines(old, new) {
        let (mark, line) = match line {
            DiffLine::Same(line) => (' ', line),
            DiffLine::Gone(line) => ('-', line),
            DiffLine::New(line) => ('+', line),
            DiffLine::Left(lines) => ('@', format!(" {lines} lines")),
        };
        text.push(mark);
        text.push_str(&visible(&line));
        text.push('\n');
    }
    text
}

/// Standard input to standard output.
fn stdin(output: &Output, asked: &Fmt) -> u8 {
    let text = file::read_input(syntax::LIMIT as u64 + 1)
        .map_err(|error| Diagnostics::from(Diagnostic::new(Class::Environment, "cli::unreadable-plan", error.to_string())))
        .and_then(|bytes| Ok(syntax::check_file_bytes("standard input", &bytes)?))
        .and_then(|source| one_form(asked, &source));
    match text {
        Ok(text) => {
            output.answer(&text);
            0
        }
        Err(faults) => output.faults(faults),
    }
}
