//! `kiln history`: the runs on record, and whether anybody changed them.

use clap::{Args, Subcommand};
use rayon::prelude::*;

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::base::id::RunId;
use crate::base::words;
use crate::record::journal::{Journal, JournalError};
use crate::record::read::Verdict;
use crate::report::history::{self, RunRow, VerifyRow};
use crate::report::json;
use crate::sys::clock;

use super::output::Output;
use super::settings::Settings;

/// Options of `history`.
#[derive(Debug, Args)]
pub struct History {
    #[command(subcommand)]
    pub command: Option<Act>,
    /// Lists so many runs, the newest
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub last: usize,
}

/// What can be done with records, besides listing them.
#[derive(Debug, Subcommand)]
pub enum Act {
    /// Follows the chain of digests of every record, or of one, and names the first line that was changed
    Verify {
        /// The run, the beginning of its name, or `last`
        run: Option<String>,
    },
}

/// # Errors
/// Records that cannot be listed; an unknown run.
pub fn run(settings: &Settings, output: &Output, asked: &History) -> Result<u8, Diagnostics> {
    let journal = journal(settings)?;
    match &asked.command {
        None => list(&journal, output, asked.last),
        Some(Act::Verify { run }) => {
            let runs = match run {
                Some(text) => vec![find(&journal, text)?],
                None => journal.runs().map_err(|error| disk(&error))?,
            };
            Ok(verify(&journal, output, &runs))
        }
    }
}

fn list(journal: &Journal, output: &Output, last: usize) -> Result<u8, Diagnostics> {
    let now = clock::now();
    let runs = journal.runs().map_err(|error| disk(&error))?;
    // What cannot be read has nothing to list; `verify` names it.
    let rows: Vec<RunRow> = runs[..last.min(runs.len())]
        .par_iter()
        .filter_map(|run| journal.overview(run).ok().flatten())
        .map(|run| RunRow {
            run: run.run.0,
            at: run.at.to_string(),
            ago_s: u64::try_from((now.0 - run.at.0) / 1_000).unwrap_or(0),
            targets: run.targets,
            steps: run.steps,
            ran: run.ran,
            cached: run.cached,
            failed: run.failed,
            took_ms: run.end.map(|(took, _)| took),
            exit: run.end.map(|(_, exit)| exit),
            saved_ms: run.saved_ms,
        })
        .collect();
    let text = if output.json { rows.iter().map(json::document).collect() } else { history::screen(&rows, output.out) };
    output.answer(&text);
    Ok(0)
}

fn verify(journal: &Journal, output: &Output, runs: &[RunId]) -> u8 {
    let row = |run: &RunId| {
        let row = |state, lines, broken_line| VerifyRow { run: run.0.clone(), state, lines, broken_line, reason: None };
        match journal.verify(run) {
            Ok(Verdict::Whole { lines }) => row("whole", lines, None),
            Ok(Verdict::Open { lines }) => row("open", lines, None),
            Ok(Verdict::Broken { line }) => row("broken", line, Some(line)),
            Err(error) => VerifyRow { reason: Some(error.to_string()), ..row("unreadable", 0, None) },
        }
    };
    let rows: Vec<VerifyRow> = runs.par_iter().map(row).collect();
    let bad = rows.iter().any(|row| !matches!(row.state, "whole" | "open"));
    output.answer(&if output.json { rows.iter().map(json::document).collect() } else { history::verdicts(&rows, output.out) });
    if bad { Class::Environment.exit_code() } else { 0 }
}

/// The records of this project.
///
/// # Errors
/// When their folder cannot be made.
pub fn journal(settings: &Settings) -> Result<Journal, Diagnostics> {
    Journal::open(settings.project().as_path()).map_err(|error| disk(&error))
}

/// The run that is meant: its name, the beginning of one, or `last`.
///
/// # Errors
/// When none or several are meant.
pub fn find(journal: &Journal, text: &str) -> Result<RunId, Diagnostics> {
    let runs = journal.runs().map_err(|error| disk(&error))?;
    let unknown =
        |message: String, help: String| Diagnostics::from(Diagnostic::new(Class::Usage, "history::unknown-run", message).help(help));
    let Some(newest) = runs.first() else {
        return Err(unknown("no run is on record here".to_owned(), "`kiln run` leaves a record".to_owned()));
    };
    if text == "last" {
        return Ok(newest.clone());
    }
    let fits: Vec<&RunId> = runs.iter().filter(|run| run.0.starts_with(text)).collect();
    match fits.as_slice() {
        [] => Err(unknown(
            format!("no run `{}` is on record", words::shorten(&words::visible(text), 60)),
            format!("the newest is `{newest}`; `kiln history` lists them, and `last` names the newest"),
        )),
        [one] => Ok((*one).clone()),
        [first, second, ..] if first.0 != text => Err(unknown(
            format!("`{text}` begins the names of {}", words::count(fits.len(), "run")),
            format!("for instance `{first}` and `{second}`; write more of the name"),
        )),
        [first, ..] => Ok((*first).clone()),
    }
}

/// A record that cannot be used.
pub fn unreadable(error: &JournalError) -> Diagnostics {
    Diagnostic::new(Class::Environment, "history::unreadable", error.to_string()).into()
}

fn disk(error: &crate::sys::file::FileError) -> Diagnostics {
    Diagnostic::new(Class::Environment, "history::unreadable", error.to_string())
        .help("`kiln cache doctor` looks at the folder that holds results and records")
        .into()
}
