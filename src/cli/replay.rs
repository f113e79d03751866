//! `kiln replay RUN`: shows a recorded run as it was shown when it happened, and writes its reports.

use std::collections::BTreeSet;

use clap::Args;

use crate::base::diagnostic::Diagnostics;
use crate::base::id::StepName;
use crate::event::{Ended, Event, Listener as _, Stream};
use crate::report::Options;
use crate::store::blob::StoreError;
use crate::store::local::Store;
use crate::sys::env;

use super::history;
use super::output::Output;
use super::reports::{ReportTo, Reports};
use super::run;
use super::settings::Settings;

/// The largest log that is shown again, in bytes.
const LIMIT: u64 = 64 << 20;

/// Options of `replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// The run, the beginning of its name, or `last`
    #[arg(default_value = "last")]
    pub run: String,
    /// Also lists cached steps and prints every log
    #[arg(short, long)]
    pub verbose: bool,
    /// Writes a report: junit, trace or markdown
    #[arg(long = "report", value_name = "KIND=FILE")]
    pub reports: Vec<ReportTo>,
}

/// # Errors
/// An unknown run, a record that cannot be read.
pub fn replay(settings: &Settings, output: &Output, asked: &Replay) -> Result<u8, Diagnostics> {
    let journal = history::journal(settings)?;
    let id = history::find(&journal, &asked.run)?;
    let events = journal.read(&id).map_err(|error| history::unreadable(&error))?;
    let store = Store::open(settings.store()).ok();
    let reports = Reports::new(&asked.reports, false);
    let mut screen = run::screen(output, Options { verbose: asked.verbose, ..Options::default() });
    let mut show = |event: Event| {
        screen.event(&event);
        if let Event::StepStarted { at_ms, .. } | Event::StepEnded { at_ms, .. } = &event {
            screen.tick(*at_ms);
        }
        if let Some(reports) = &reports {
            reports.event(event);
        }
    };
    let mut began: BTreeSet<StepName> = BTreeSet::new();
    let mut ended = false;
    for event in events {
        if let Event::StepStarted { step, .. } = &event {
            began.insert(step.clone());
        }
        // The journal names logs where the run had output.
        if let Event::StepEnded { step, log: Some(log), ended, asked, .. } = &event
            && (began.contains(step) || (*asked && matches!(ended, Ended::Cached { .. })))
        {
            match store.as_ref().map(|store| store.read(log.0, LIMIT)) {
                Some(Ok(bytes)) => show(Event::Output { step: step.clone(), stream: Stream::Out, bytes }),
                Some(Err(StoreError::TooLarge { .. })) => {
                    show(Event::Notice { step: Some(step.clone()), text: "its log is too long to be shown again".to_owned() });
                }
                Some(Err(_)) | None => {
                    show(Event::Notice { step: Some(step.clone()), text: "its log is no longer in the store".to_owned() })
                }
            }
        }
        ended |= matches!(event, Event::RunEnded { .. });
        show(event);
    }
    if !ended {
        show(Event::Notice { step: None, text: format!("the record of run `{id}` ends here: it was killed, or is still on its way") });
    }
    screen.finish();
    if let (Some(reports), Ok(here)) = (&reports, env::current_dir()) {
        let faults = reports.write(&here);
        output.complain(&faults);
        if !faults.is_empty() {
            return Ok(crate::base::diagnostic::Class::Environment.exit_code());
        }
    }
    Ok(0)
}
