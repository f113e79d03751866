//! `kiln clean`: removes what steps made, as it was recorded.

use std::collections::BTreeMap;

use clap::Args;

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::base::digest::ActionKey;
use crate::base::id::{StepId, StepName};
use crate::event::Event;
use crate::exec::look;
use crate::graph::select;
use crate::record::history::StepHistory;
use crate::report::clean::{self as screen, CleanView};
use crate::report::json;
use crate::store::clean::{self, Leave, Outputs};
use crate::store::local::Store;
use crate::store::stat_cache::StatCache;

use super::history;
use super::open::{self, World};
use super::output::Output;
use super::settings::{self, Settings};

/// Options of `clean`.
#[derive(Debug, Args)]
pub struct Clean {
    /// Only what these targets or steps made, and not what they need [default: everything]
    pub targets: Vec<String>,
    /// Only says what would go
    #[arg(long)]
    pub dry_run: bool,
    /// Also removes outputs that were changed since they were made
    #[arg(long)]
    pub force: bool,
}

/// # Errors
/// The faults of the plan, an unknown target, a file that cannot be removed.
pub fn run(settings: &Settings, output: &Output, asked: &Clean) -> Result<u8, Diagnostics> {
    let opened = open::open(settings, World::Asked)?;
    output.show(&opened.warnings);
    let steps: Vec<StepId> = if asked.targets.is_empty() {
        opened.graph.order().to_vec()
    } else {
        let selection = select::select(&opened.graph, &asked.targets)?;
        // A group stands for its members; what a target needs stays.
        let mut open = selection.asked;
        let mut found = Vec::new();
        while let Some(id) = open.pop() {
            if matches!(opened.graph.action(id).kind, crate::graph::action::ActionKind::Group) {
                open.extend(opened.graph.needs(id).into_iter().map(|(member, _)| member));
            }
            found.push(id);
        }
        found
    };
    let store = Store::open(settings.store()).map_err(|error| disk(&error))?;
    let keys = keys(settings)?;
    let mut outputs = Outputs::default();
    let mut unknown = Vec::new();
    for id in steps {
        let action = opened.graph.action(id);
        let declared = look::declared(action);
        if declared.is_empty() {
            continue;
        }
        let known = keys.get(&action.name).map(Vec::as_slice).unwrap_or_default();
        let results: Vec<_> = known.iter().filter_map(|key| store.result(*key).ok().flatten()).collect();
        if results.is_empty() && !known.is_empty() {
            unknown.push(action.name.to_string());
        }
        results.iter().for_each(|result| outputs.add(&result.outputs, &declared));
    }
    let stats = StatCache::open(settings.project().join(settings::STATS));
    let leave = Leave { force: asked.force, dry: asked.dry_run, within: None };
    let cleaned = clean::clean(&stats, &settings.root, &outputs, leave).map_err(|error| disk(&error))?;
    let text = |paths: &[crate::base::path::RelPath]| paths.iter().map(ToString::to_string).collect();
    let view = CleanView {
        dry_run: asked.dry_run,
        removed: text(&cleaned.removed),
        folders: text(&cleaned.folders),
        bytes: cleaned.bytes,
        kept: text(&cleaned.kept),
        unknown,
    };
    output.answer(&if output.json { json::document(&view) } else { screen::screen(&view, output.out) });
    Ok(0)
}

/// The keys that each step had in the runs on record. What an older key left may still stand there.
fn keys(settings: &Settings) -> Result<BTreeMap<StepName, Vec<ActionKey>>, Diagnostics> {
    let mut keys: BTreeMap<StepName, Vec<ActionKey>> = BTreeMap::new();
    let mut add = |name: StepName, key: ActionKey| {
        let known = keys.entry(name).or_default();
        if !known.contains(&key) {
            known.push(key);
        }
    };
    let history = StepHistory::load(settings.project().as_path());
    let journal = history::journal(settings)?;
    for run in journal.runs().unwrap_or_default() {
        for event in journal.read(&run).unwrap_or_default() {
            if let Event::StepEnded { step, key: Some(key), .. } = event {
                // The index knows steps whose runs are no longer on record.
                if let Some(last) = history.get(&step).and_then(|record| record.key) {
                    add(step.clone(), last);
                }
                add(step, key);
            }
        }
    }
    Ok(keys)
}

fn disk(error: &dyn std::fmt::Display) -> Diagnostics {
    Diagnostic::new(Class::Environment, "clean::files", error.to_string()).help("what could be removed is gone; run it again").into()
}
