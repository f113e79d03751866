//! `kiln verify`: whether an image built twice is the same.
//! In: a [`VerifyView`]. Out: text for people or one JSON value for programs. Never: builds.

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::words::{count, visible};

use super::inspect::{self, DifferenceRow, DifferenceView};
use super::paint::{Ink, Mark};
use super::style::Style;

/// What two builds of one image gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct VerifyView {
    /// What was asked for.
    pub image: String,
    /// Whether the two are the same, byte by byte.
    pub same: bool,
    /// Their digests.
    pub digests: [String; 2],
    /// What was different for the second build.
    pub changed: Vec<String>,
    /// The steps whose outputs differ, in the order in which they ran.
    pub steps: Vec<StepView>,
    /// Where the images differ.
    pub differences: Vec<DifferenceRow>,
}

/// A step whose outputs differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StepView {
    /// Its printed name.
    pub step: String,
    /// The paths that differ.
    pub outputs: Vec<String>,
}

/// The lines.
#[must_use]
pub fn screen(view: &VerifyView, style: Style) -> String {
    let image = visible(&view.image);
    let circumstances = style.paint(Ink::Dim, &format!("  the second build had another {}", view.changed.join(", ")));
    if view.same {
        return format!("{} {image} is the same twice: {}\n{circumstances}\n", style.mark(Mark::Done), view.digests[0]);
    }
    let mut text = format!("{} {image} is not the same twice\n{circumstances}\n", style.mark(Mark::Failed));
    for step in &view.steps {
        let shown: Vec<String> = step.outputs.iter().take(5).map(|path| format!("`{}`", visible(path))).collect();
        let more = step.outputs.len().saturating_sub(shown.len());
        let more = if more > 0 { format!(" and {}", count(more, "other")) } else { String::new() };
        text.push_str(&format!("  {} makes {}{more} anew each time\n", style.paint(Ink::Name, &visible(&step.step)), shown.join(", ")));
    }
    let [before, after] = view.digests.clone();
    let rows = DifferenceView { before, after, same: false, differences: view.differences.clone() };
    text + &inspect::differences(&rows, style)
}
