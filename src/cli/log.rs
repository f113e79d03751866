//! `kiln log`: what steps said, when they last ran or in a run on record.

use clap::Args;

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::base::digest::ContentDigest;
use crate::event::Event;
use crate::graph::select;
use crate::record::history::StepHistory;
use crate::report::sanitize::Cleaner;
use crate::store::blob::StoreError;
use crate::store::local::Store;

use super::history;
use super::open::{self, World};
use super::output::Output;
use super::settings::Settings;

/// The largest log that is printed, in bytes; larger ones were cut when they were written.
const LIMIT: u64 = 128 << 20;

/// Options of `log`.
#[derive(Debug, Args)]
pub struct Log {
    /// The step, as the run printed it [default: every step of the last run]
    pub step: Option<String>,
    /// A run on record, the beginning of its name, or `last` [default: the step's own last run]
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
    /// Prints the bytes as they came, also those that a terminal obeys
    #[arg(long)]
    pub raw: bool,
}

/// # Errors
/// The faults of the plan; an unknown step or run; a log that is gone.
pub fn log(settings: &Settings, output: &Output, asked: &Log) -> Result<u8, Diagnostics> {
    let logs = match (&asked.step, &asked.run) {
        (Some(step), None) => of_step(settings, step)?,
        (step, run) => of_run(settings, step.as_deref(), run.as_deref().unwrap_or("last"))?,
    };
    if logs.is_empty() {
        let what = asked.step.as_ref().map_or_else(|| "no step".to_owned(), |step| format!("`{}`", crate::base::words::visible(step)));
        let message =
            if asked.step.is_some() { format!("{what} has left no log here") } else { format!("{what} has left a log in this run") };
        let fault = Diagnostic::new(Class::Usage, "log::none", message);
        return Err(fault.help("a step has a log when it has run on this machine and printed something").into());
    }
    let environment = |error: &StoreError| {
        let fault = Diagnostic::new(Class::Environment, "log::store", error.to_string());
        Diagnostics::from(if error.is_missing() {
            fault.help("it was collected; the next run of the step leaves a new one")
        } else {
            fault
        })
    };
    let store = Store::open(settings.store()).map_err(|error| environment(&error))?;
    for (name, digest) in &logs {
        let bytes = store.read(digest.0, LIMIT).map_err(|error| environment(&error))?;
        if logs.len() > 1 || asked.step.is_none() {
            output.answer(&format!("── {}\n", crate::base::words::visible(name)));
        }
        if asked.raw {
            output.answer_bytes(&bytes);
        } else {
            output.answer(&clean(&bytes, output.out.colour));
        }
    }
    Ok(0)
}

/// Names with logs.
type Logs = Vec<(String, ContentDigest)>;

fn of_step(settings: &Settings, step: &str) -> Result<Logs, Diagnostics> {
    let opened = open::open(settings, World::Unasked)?;
    let selection = select::select(&opened.graph, &[step.to_owned()])?;
    let history = StepHistory::load(settings.project().as_path());
    let names = selection.asked.iter().map(|id| &opened.graph.action(*id).name);
    Ok(names.filter_map(|name| Some((name.to_string(), history.get(name)?.log?))).collect())
}

/// The plan may have changed since: names are looked up in the record.
fn of_run(settings: &Settings, step: Option<&str>, run: &str) -> Result<Logs, Diagnostics> {
    let journal = history::journal(settings)?;
    let run = history::find(&journal, run)?;
    let events = journal.read(&run).map_err(|error| history::unreadable(&error))?;
    let ends = events.into_iter().filter_map(|event| match event {
        Event::StepEnded { step, log: Some(log), .. } => Some((step, log)),
        _ => None,
    });
    let meant = |name: &crate::base::id::StepName| step.is_none_or(|text| name.to_string() == text || name.target.as_str() == text);
    Ok(ends.filter(|(name, _)| meant(name)).map(|(name, log)| (name.to_string(), log)).collect())
}

/// The log with everything made visible that would act on a terminal.
fn clean(bytes: &[u8], colour: bool) -> String {
    let mut text = String::new();
    let mut cleaner = Cleaner::new(colour);
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    cleaner.feed(bytes, &mut line);
    cleaner.finish(&mut line);
    text
}
