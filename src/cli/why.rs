//! `kiln why STEP`: what changed in what a step takes in since it last ran here.

use std::sync::Arc;

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::event::Nobody;
use crate::exec::{foresee, look};
use crate::graph::select;
use crate::key;
use crate::record;
use crate::record::history::StepHistory;
use crate::report::why;
use crate::sys::cancel::Cancel;
use crate::sys::clock;

use super::machine;
use super::open::{self, World};
use super::output::Output;
use super::settings::Settings;

/// # Errors
/// The faults of the plan; an unknown step; files that cannot be read.
pub fn why(settings: &Settings, output: &Output, step: &str) -> Result<u8, Diagnostics> {
    let opened = open::open(settings, World::Asked)?;
    let machine =
        machine::machine(settings, &opened.plan, record::run_id(clock::now(), 0), Arc::new(Nobody), Cancel::new(), Box::new(|_| {}))?;
    let selection = select::select(&opened.graph, &[step.to_owned()])?;
    let history = StepHistory::load(settings.project().as_path());
    for id in &selection.asked {
        let action = opened.graph.action(*id);
        let name = action.name.to_string();
        let look = foresee::look_at(&machine, &opened.graph, &history, *id)
            .map_err(|error| Diagnostics::from(Diagnostic::new(Class::Step, "why::inputs", error.to_string())))?;
        let text = match (look, look::last_manifest(&machine, &history, action)) {
            (Err(on), _) => say(output, &name, &format!("that is known when `{}` has run", opened.graph.action(on).name)),
            (Ok(_), None) => say(output, &name, "it has not run here before"),
            (Ok(look), Some(old)) => {
                let when = history.get(&action.name).map(|last| last.at.to_string());
                let differences = why::differences(&old.0, &key::manifest(action, &look.taken).0);
                if output.json {
                    why::json(&name, when.as_deref(), &differences)
                } else {
                    why::screen(&name, when.as_deref(), &differences, output.out)
                }
            }
        };
        output.answer(&text);
    }
    Ok(0)
}

fn say(output: &Output, step: &str, what: &str) -> String {
    if output.json { format!("{}\n", serde_json::json!({ "step": step, "answer": what })) } else { format!("{step}: {what}\n") }
}
