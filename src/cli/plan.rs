//! `kiln plan`: what a run would do, and why; executes no step.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::diagnostic::Diagnostics;
use crate::exec::foresee::{self, Foreseen, Sight};
use crate::exec::gather::Ground;
use crate::graph::select;
use crate::record::history::StepHistory;
use crate::report::plan_table::{self, PlanRow, PlanStatus, PlanView, StepKey};

use super::args::{Plan, PlanOther};
use super::diff;
use super::glance::Glance;
use super::machine;
use super::moves;
use super::open::{self, Opened, World};
use super::output::Output;
use super::settings::Settings;

/// # Errors
/// The faults of the plan; unknown targets; files that cannot be read.
pub fn plan(settings: &Settings, output: &Output, asked: &Plan) -> Result<u8, Diagnostics> {
    let glance = Glance::of_plan(settings, output, asked);
    if let Some(answer) = glance.as_ref().and_then(|glance| glance.answer(0)) {
        output.answer_bytes(answer.bytes());
        return Ok(0);
    }
    let mut typed = asked.targets.clone();
    if let Some(PlanOther::Diff(diff)) = &asked.other {
        // A plan may have a target of this name, and then it is meant.
        let looked = open::open(settings, World::Unasked)?;
        if !looked.plan.targets.keys().any(|name| name.as_str() == "diff") {
            return diff::diff(settings, output, diff);
        }
        typed = ["diff".to_owned()].into_iter().chain(diff.other.clone()).collect();
    }
    if asked.digest {
        return digest(settings, output, &open::open(settings, World::Asked)?);
    }
    let opened = open::open_for(settings, &typed)?;
    let selection = select::select(&opened.graph, &opened.targets(&typed)?)?;
    if Opened::only_left_out(output, &selection) {
        return Ok(0);
    }
    opened.ready(settings, output, &selection.steps)?;
    let machine = machine::still(settings, &opened)?;
    let account = Arc::default();
    let tree = machine::accounted(&machine, &account)?;
    let ground = Ground { machine: &machine, graph: &opened.graph, tree: &tree, past: None };
    let known = opened.undecided.is_empty();
    let digest = known.then(|| foresee::digest(ground)).transpose().map_err(diff::unreadable)?;
    output.show(&opened.warnings);
    let history = StepHistory::load(settings.project().as_path());
    let mut steps = Vec::new();
    let sights = foresee::foresee(ground, &history, &selection.steps);
    let tags = moves::moves(&machine, &opened.graph, &sights);
    for Sight { step, foreseen, .. } in sights {
        let name = &opened.graph.action(step).name;
        let (status, why) = match foreseen {
            Foreseen::InPlace => (PlanStatus::Cached, String::new()),
            Foreseen::Restorable => (PlanStatus::Restore("the store".to_owned()), String::new()),
            Foreseen::Runs(why) => (PlanStatus::Run, why),
            Foreseen::Depends(on) => (PlanStatus::DependsOn(opened.graph.action(on).name.to_string()), String::new()),
        };
        steps.push(PlanRow { step: name.to_string(), status, why, expected_ms: history.expected_ms(name) });
    }
    let runs = |row: &&PlanRow| matches!(row.status, PlanStatus::Run | PlanStatus::DependsOn(_));
    let expected_ms = steps.iter().filter(runs).map(|row| row.expected_ms).sum::<Option<u64>>();
    let params = opened.plan.params.values().filter_map(|param| Some((param.name.clone(), param.value.clone()?)));
    let values = params.chain(opened.plan.asked.clone()).collect();
    let keys = if asked.keys { foresee::keys(ground, &history, &selection.steps) } else { HashMap::new() };
    let keys = keys
        .into_iter()
        .map(|(id, (key, manifest))| (opened.graph.action(id).name.to_string(), StepKey { key: key.to_string(), manifest: manifest.0 }));
    let keys = keys.collect();
    let view = PlanView { digest: digest.map(|digest| digest.to_string()), values, steps, expected_ms, tags };
    let in_place = selection.left_out.is_empty() && view.steps.iter().all(|row| row.status == PlanStatus::Cached);
    let answer = if output.json { plan_table::json(&view, &keys) } else { plan_table::screen(&view, output.out) };
    output.answer(&answer);
    // What was learnt about files helps the next command; failing to keep it costs only time.
    let kept = machine.keep();
    if let Some(glance) = glance.filter(|_| in_place && kept.is_ok()) {
        let _ = glance.keep(&opened, &selection.steps, &machine, &account, answer.as_bytes());
    }
    // The process ends here: its memory goes back in one piece, not plan node by plan node.
    std::mem::forget(opened);
    Ok(0)
}

fn digest(settings: &Settings, output: &Output, opened: &Opened) -> Result<u8, Diagnostics> {
    opened.preflight(settings, opened.graph.order())?;
    let machine = machine::still(settings, opened)?;
    let tree = machine::glance(&machine)?;
    let ground = Ground { machine: &machine, graph: &opened.graph, tree: &tree, past: None };
    let digest = foresee::digest(ground).map_err(diff::unreadable)?;
    output.answer(&format!("{digest}\n"));
    let _ = machine.keep();
    Ok(0)
}
