//! `kiln log STEP`: what a step said when it last ran.

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::graph::select;
use crate::record::history::StepHistory;
use crate::report::sanitize::Cleaner;
use crate::store::local::Store;

use super::open::{self, World};
use super::output::Output;
use super::settings::Settings;

/// The largest log that is printed, in bytes; larger ones were cut when they were written.
const LIMIT: u64 = 128 << 20;

/// # Errors
/// The faults of the plan; an unknown step; a log that is gone.
pub fn log(settings: &Settings, output: &Output, step: &str) -> Result<u8, Diagnostics> {
    let opened = open::open(settings, World::Unasked)?;
    let selection = select::select(&opened.graph, &[step.to_owned()])?;
    let history = StepHistory::load(settings.project().as_path());
    let environment =
        |error: &dyn std::fmt::Display| Diagnostics::from(Diagnostic::new(Class::Environment, "log::store", error.to_string()));
    let store = Store::open(settings.store()).map_err(|error| environment(&error))?;
    let mut found = false;
    for id in &selection.asked {
        let name = &opened.graph.action(*id).name;
        let Some(digest) = history.get(name).and_then(|last| last.log) else { continue };
        let bytes = store.read(digest.0, LIMIT).map_err(|error| environment(&error))?;
        if selection.asked.len() > 1 {
            output.answer(&format!("── {name}\n"));
        }
        output.answer(&clean(&bytes, output.out.colour));
        found = true;
    }
    if found {
        return Ok(0);
    }
    Err(Diagnostic::new(Class::Usage, "log::none", format!("`{step}` has left no log here"))
        .help("a step has a log when it has run on this machine and printed something")
        .into())
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
