//! `kiln diff OTHER`: what another plan does otherwise; executes nothing, connects to nothing.

use std::collections::BTreeMap;

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::exec::compare::{self, Became, Side};
use crate::exec::gather::GatherError;
use crate::graph::ActionGraph;
use crate::graph::action::ActionKind;
use crate::plan::image::Elsewhere;
use crate::report::plan_diff::{self, BaseChange, DiffStep, DiffView, MovedTags, StepChange};

use super::causes::Between;
use super::machine;
use super::moves;
use super::open::{Asking, Reopen, World};
use super::other;
use super::output::Output;
use super::settings::Settings;

/// What was asked.
#[derive(Debug, clap::Args)]
pub struct Diff {
    /// A commit (`main`, `v1.2`; `main...` is where this branch left it; `git:NAME` is always one), a plan file, or a folder with
    /// a plan [default: HEAD]
    #[arg(value_name = "GITREF|FILE|DIR")]
    pub other: Option<String>,
    /// Prints Markdown, for a comment on a review
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    /// Ends with 1 when the plans differ
    #[arg(long)]
    pub exit_code: bool,
}

/// # Errors
/// The faults of both plans; a name that is no commit, file or folder; sources that cannot be read.
pub fn diff(settings: &Settings, output: &Output, asked: &Diff) -> Result<u8, Diagnostics> {
    let (reopen, opened) = Reopen::open(settings, World::Compared, Asking::Everything)?;
    let other = other::open(settings, asked.other.as_deref().unwrap_or("HEAD"))?;
    let machine = machine::still(settings, &opened)?;
    let tree = machine::glance(&machine)?;
    let here = Side { machine: &machine, graph: &opened.graph, tree: &tree, past: None };
    let found = compare::compare(other.side(), here).map_err(unreadable)?;
    let causes = Between::new(reopen, here, &other.opened.graph);
    let mut steps = Vec::new();
    for (name, became) in &found {
        let (change, differences, after) = match became {
            Became::Added => (StepChange::Added, Vec::new(), Vec::new()),
            Became::Removed => (StepChange::Removed, Vec::new(), Vec::new()),
            Became::Changed(differences) => (StepChange::Changed, causes.of(name, differences), Vec::new()),
            Became::Follows(on) => (StepChange::Follows, Vec::new(), on.iter().map(ToString::to_string).collect()),
        };
        steps.push(DiffStep { step: name.to_string(), target: name.target.to_string(), change, differences, after });
    }
    let same = opened.graph.len() - steps.iter().filter(|step| step.change != StepChange::Removed).count();
    let (tags, bases) = (moved(&other.opened.graph, &opened.graph), rebased(&other.opened.graph, &opened.graph));
    let view = DiffView { other: other.name.clone(), commit: other.commit().map(str::to_owned), same, steps, tags, bases };
    output.answer(&match (output.json, asked.markdown) {
        (true, _) => plan_diff::json(&view),
        (_, true) => plan_diff::markdown(&view),
        _ => plan_diff::screen(&view, output.out),
    });
    // What was learnt about files helps the next command; failing to keep it costs only time.
    let _ = machine.keep();
    Ok(u8::from(asked.exit_code && !view.is_empty()))
}

/// A source that cannot be read, as a fault.
pub fn unreadable(error: GatherError) -> Diagnostics {
    let fault = Diagnostic::new(Class::Plan, "plan::unreadable-source", error.reason);
    Diagnostics::from(match error.help {
        Some(help) => fault.help(help),
        None => fault,
    })
}

/// The tags that both plans give, by place. What already stands in a registry is not asked for.
fn moved(old: &ActionGraph, new: &ActionGraph) -> Vec<MovedTags> {
    let mut places: BTreeMap<String, [Vec<String>; 2]> = BTreeMap::new();
    for (side, graph) in [old, new].into_iter().enumerate() {
        for id in graph.order() {
            let ActionKind::Tag(publish) = &graph.action(*id).kind else { continue };
            let tags = publish.tags::<&str>(&[]);
            places.entry(moves::shown(publish)).or_default()[side].extend(tags.iter().map(ToString::to_string));
        }
    }
    let differ = places.into_iter().filter(|(_, [old, new])| old != new);
    differ.map(|(place, [old, new])| MovedTags { place, old, new }).collect()
}

/// The bases that images name, where both plans have the image.
fn rebased(old: &ActionGraph, new: &ActionGraph) -> Vec<BaseChange> {
    let bases = |graph: &ActionGraph| -> BTreeMap<String, String> {
        let of = |id| match &graph.action(id).kind {
            ActionKind::Fetch(fetch) => {
                let from = match &fetch.from {
                    Elsewhere::Registry { reference, .. } => reference.to_string(),
                    layout @ Elsewhere::Layout { .. } => layout.shown(),
                };
                Some((graph.action(id).name.to_string(), from))
            }
            _ => None,
        };
        graph.order().iter().filter_map(|id| of(*id)).collect()
    };
    let (before, now) = (bases(old), bases(new));
    let mut found: Vec<BaseChange> = Vec::new();
    for (step, new) in now {
        let Some(old) = before.get(&step).filter(|old| **old != new) else { continue };
        match found.iter_mut().find(|change| change.old == *old && change.new == new) {
            Some(change) => change.steps.push(step),
            None => found.push(BaseChange { steps: vec![step], old: old.clone(), new }),
        }
    }
    found
}
