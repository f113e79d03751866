//! Keys and all that went into them, as JSON that another machine can compare with.

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::base::id::StepId;
use crate::base::words;
use crate::exec::foresee::{self, Insight};
use crate::exec::gather::Ground;
use crate::key;
use crate::record::history::StepHistory;
use crate::report::json;

/// What `kiln why STEP --export` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Export {
    /// The steps that were named.
    pub steps: Vec<ExportedStep>,
}

/// One step.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ExportedStep {
    /// The printed name.
    pub step: String,
    /// The key.
    pub key: String,
    /// All that went into it: pairs of a name and a value.
    pub manifest: Vec<(String, String)>,
}

/// The steps with their keys.
///
/// # Errors
/// A step that waits for others has no key yet; files that cannot be read.
pub fn steps(ground: Ground<'_>, history: &StepHistory, ids: &[StepId]) -> Result<String, Diagnostics> {
    let graph = ground.graph;
    let mut export = Export { steps: Vec::new() };
    for id in ids {
        let action = graph.action(*id);
        let insight =
            foresee::look_into(ground, history, *id).map_err(|error| Diagnostic::new(Class::Step, "why::inputs", error.to_string()))?;
        match insight {
            Insight::Known(look) => export.steps.push(ExportedStep {
                step: action.name.to_string(),
                key: look.key.to_string(),
                manifest: key::record(action, &look.taken, &graph.basis(*id)).0,
            }),
            Insight::Waits { roots, .. } => {
                let names: Vec<String> = roots.iter().map(|(root, _)| graph.action(*root).name.to_string()).collect();
                let fault = Diagnostic::new(Class::Step, "why::not-known", format!("`{}` has no key yet", action.name));
                return Err(fault.help(format!("{} must run first", words::list(&names, "and"))).into());
            }
        }
    }
    Ok(json::document(&export))
}
