//! `kiln check`: every fault of the plan; executes nothing.

use crate::base::diagnostic::Diagnostics;
use crate::base::words::count;

use super::open::{self, World};
use super::output::Output;
use super::pins;
use super::settings::Settings;

/// # Errors
/// The faults.
pub fn check(settings: &Settings, output: &Output) -> Result<u8, Diagnostics> {
    let opened = open::open(settings, World::Unasked)?;
    pins::load(settings)?;
    output.show(&opened.warnings);
    if !output.json {
        let (targets, steps) = (count(opened.plan.targets.len(), "target"), count(opened.graph.len(), "step"));
        output.answer(&format!("{} is sound: {targets}, {steps}\n", settings.plan_name));
    }
    Ok(0)
}
