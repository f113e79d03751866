//! `kiln why STEP --against` another plan: what a step does otherwise there, from definitions and sources alone; executes nothing.

use crate::base::diagnostic::Diagnostics;
use crate::base::id::StepName;
use crate::exec::compare::{self, Became, Side};
use crate::graph::select;
use crate::report::why::{self, Answer, Cause, WhyView};

use super::causes::Between;
use super::diff::unreadable;
use super::machine;
use super::open::{Asking, Reopen, World};
use super::other;
use super::output::Output;
use super::settings::Settings;

/// # Errors
/// The faults of both plans; an unknown step; a name that is nothing to compare with; sources that cannot be read.
pub fn compared(settings: &Settings, output: &Output, step: &str, against: &str) -> Result<u8, Diagnostics> {
    let (reopen, opened) = Reopen::open(settings, World::Compared, Asking::Everything)?;
    let selection = select::select(&opened.graph, &[step.to_owned()])?;
    let other = other::open(settings, against)?;
    let machine = machine::still(settings, &opened)?;
    let tree = machine::glance(&machine)?;
    let here = Side { machine: &machine, graph: &opened.graph, tree: &tree, past: None };
    let found = compare::compare(other.side(), here).map_err(unreadable)?;
    let became = |name: &StepName| found.iter().find(|(known, _)| known == name).map(|(_, became)| became);
    let causes = Between::new(reopen, here, &other.opened.graph);
    let differences = |name: &StepName| match became(name) {
        Some(Became::Changed(differences)) => causes.of(name, differences),
        _ => Vec::new(),
    };
    for id in selection.asked {
        let action = opened.graph.action(id);
        let upstream = select::closure(&opened.graph, &[id]).into_iter().filter(|need| *need != id);
        let on = upstream.filter_map(|need| {
            let name = &opened.graph.action(need).name;
            let because = match became(name)? {
                Became::Added => "it is new",
                Became::Changed(_) => "it differs",
                Became::Removed | Became::Follows(_) => return None,
            };
            Some(Cause { step: name.to_string(), because: because.to_owned(), differences: differences(name) })
        });
        let view = WhyView {
            step: action.name.to_string(),
            answer: Answer::Compared { other: other.name.clone(), on: on.collect() },
            since: (!matches!(became(&action.name), Some(Became::Added))).then(|| other.name.clone()),
            failed: None,
            differences: differences(&action.name),
        };
        output.answer(&if output.json { why::json(&view) } else { why::screen(&view, output.out) });
    }
    Ok(0)
}
