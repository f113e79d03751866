//! `kiln affected --since REF`: the targets that a change can touch; executes nothing, connects to nothing.

use indexmap::IndexMap;

use crate::base::diagnostic::Diagnostics;
use crate::exec::compare::{self, Became, Side};
use crate::graph::action::ActionKind;
use crate::key::explain::Sort;
use crate::report::affected::{self, AffectedStep, AffectedTarget, AffectedView, Cause};
use crate::report::told::Told;

use super::causes::Between;
use super::diff::unreadable;
use super::machine;
use super::open::{Asking, Reopen, World};
use super::other;
use super::output::Output;
use super::settings::Settings;

/// What was asked.
#[derive(Debug, clap::Args)]
pub struct Affected {
    /// A commit: `main`, `v1.2`, `HEAD~1`; `main...` is where this branch left it
    #[arg(long, value_name = "REF")]
    pub since: String,
    /// Lists steps, not only their targets
    #[arg(long)]
    pub steps: bool,
    /// Prints names alone, one a line: `kiln run $(kiln affected --since main --names)`
    #[arg(long, conflicts_with = "json")]
    pub names: bool,
    /// Only targets of this kind: `task`, `image`, `group`
    #[arg(long, value_name = "KIND")]
    pub kind: Vec<String>,
}

/// # Errors
/// The faults of both plans; a name that is no commit; sources that cannot be read.
pub fn affected(settings: &Settings, output: &Output, asked: &Affected) -> Result<u8, Diagnostics> {
    let (reopen, opened) = Reopen::open(settings, World::Compared, Asking::Everything)?;
    let since = asked.since.strip_prefix("git:").unwrap_or(&asked.since);
    let other = other::open(settings, &format!("git:{since}"))?;
    let machine = machine::still(settings, &opened)?;
    let tree = machine::glance(&machine)?;
    let here = Side { machine: &machine, graph: &opened.graph, tree: &tree, past: None };
    let found = compare::compare(other.side(), here).map_err(unreadable)?;
    let causes = Between::new(reopen, here, &other.opened.graph);
    let kind = |name: &str| opened.plan.targets.values().find(|target| target.name.as_str() == name).map(|target| target.kind.word());
    let wanted = |name: &str| asked.kind.is_empty() || kind(name).is_some_and(|kind| asked.kind.iter().any(|wanted| wanted == kind));
    let mut targets: IndexMap<String, AffectedTarget> = IndexMap::new();
    for (name, became) in found {
        let because = match &became {
            Became::Removed => continue,
            Became::Added => vec![Cause::New],
            Became::Changed(differences) => causes.of(&name, differences).into_iter().map(cause).collect(),
            Became::Follows(on) => on.iter().map(|step| Cause::After { step: step.to_string(), target: step.target.to_string() }).collect(),
        };
        let target = name.target.to_string();
        if wanted(&target) {
            let entry = targets.entry(target.clone()).or_insert_with(|| AffectedTarget {
                kind: kind(&target).unwrap_or_default().to_owned(),
                name: target,
                steps: Vec::new(),
            });
            entry.steps.push(AffectedStep { step: name.to_string(), because });
        }
    }
    let always = opened.graph.order().iter().map(|id| opened.graph.action(*id)).filter(|action| match &action.kind {
        ActionKind::Run(cell) => cell.inputs.is_none() && wanted(action.name.target.as_str()),
        _ => false,
    });
    let mut always: Vec<String> = always.map(|action| action.name.target.to_string()).filter(|name| !targets.contains_key(name)).collect();
    always.dedup();
    let view = AffectedView {
        since: other.name.clone(),
        commit: other.commit().unwrap_or_default().to_owned(),
        targets: targets.into_values().collect(),
        always,
    };
    output.answer(&match (output.json, asked.names) {
        (true, _) => affected::json(&view),
        (_, true) => affected::names(&view, asked.steps),
        _ => affected::screen(&view, asked.steps, output.out),
    });
    let _ = machine.keep();
    Ok(0)
}

fn cause(told: Told) -> Cause {
    match told.sort {
        Sort::File => Cause::File { path: told.name, words: told.words },
        _ => Cause::Definition { words: told.words },
    }
}
