//! `kiln query`: what was found, one name a line, or as one JSON value.

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::words::visible;

/// A step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct QueryStep {
    /// The printed name.
    pub step: String,
    /// Its target.
    pub target: String,
    /// What it does: `run`, `build`, …
    pub kind: String,
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct QueryView {
    /// The question.
    pub query: String,
    /// Steps, where it asks for steps: in the order in which they could run, or along a path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<Vec<QueryStep>>,
    /// Paths below the project, where it asks for paths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<String>>,
}

/// One name a line; with `targets`, those of the steps' targets, each once.
#[must_use]
pub fn lines(view: &QueryView, targets: bool) -> String {
    let steps = view.steps.iter().flatten().map(|step| if targets { &step.target } else { &step.step });
    let mut seen: Vec<&String> = Vec::new();
    let mut text = String::new();
    for name in steps.chain(view.paths.iter().flatten()) {
        if !targets || !seen.contains(&name) {
            seen.push(name);
            text.push_str(&visible(name));
            text.push('\n');
        }
    }
    text
}

/// One JSON value on one line.
#[must_use]
pub fn json(view: &QueryView) -> String {
    super::json::document(view)
}
