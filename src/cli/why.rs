//! `kiln why STEP`: whether a step would run, and what changed in what it takes in since it last ran, or since another record.

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::base::id::StepId;
use crate::base::path::RelPath;
use crate::engine::Machine;
use crate::event::{Ended, Origin};
use crate::exec::compare::Side;
use crate::exec::foresee::{self, Insight};
use crate::exec::gather::Ground;
use crate::exec::look::{self, Look, Verdict};
use crate::graph::select;
use crate::graph::{ActionGraph, ingredients::Ingredients};
use crate::key::explain::{self, Change, Difference, Sort};
use crate::key::{self, KeyManifest};
use crate::record::history::StepHistory;
use crate::report::told::Told;
use crate::report::why::{self, Answer, Cause, WhyView};
use crate::sys::tree::Tree;

use super::against::{self, Against, Record};
use super::causes::{Caused, Causes, told};
use super::compared::compared;
use super::export;
use super::machine;
use super::open::{Asking, Opened, Reopen, World};
use super::output::Output;
use super::settings::Settings;

/// What was asked.
#[derive(Debug, clap::Args)]
pub struct Why {
    /// The step, as `plan` prints it
    pub step: String,
    /// Compares with something else: a run (or how its name begins), a FILE.json from `why --export` or `plan --json --keys`, a commit
    /// (`main`, `v1.2`; `main...` is where this branch left it; `git:NAME` is always one), a plan file, or a folder with a plan
    #[arg(long, value_name = "RUN|FILE.json|GITREF|FILE.kdl|DIR", conflicts_with = "export")]
    pub against: Option<String>,
    /// Prints all that goes into the key, as JSON for `--against` elsewhere
    #[arg(long)]
    pub export: bool,
}

/// What all answers of one command are made from.
struct Compare<'a> {
    machine: &'a Machine,
    opened: &'a Opened,
    tree: &'a Tree,
    history: &'a StepHistory,
    against: Against,
    causes: Causes<'a>,
}

/// # Errors
/// The faults of the plan; an unknown step; files that cannot be read; a record that is not there.
pub fn why(settings: &Settings, output: &Output, asked: &Why) -> Result<u8, Diagnostics> {
    let against = against::find(settings, asked.against.as_deref())?;
    if let Against::Plan(other) = &against {
        return compared(settings, output, &asked.step, other);
    }
    let (reopen, opened) = Reopen::open(settings, World::Asked, Asking::For(std::slice::from_ref(&asked.step)))?;
    let selection = select::select(&opened.graph, std::slice::from_ref(&asked.step))?;
    opened.arguments(&selection.steps)?;
    let machine = machine::still(settings, &opened)?;
    let tree = machine::glance(&machine)?;
    let history = StepHistory::load(settings.project().as_path());
    if asked.export {
        output.answer(&export::steps(
            Ground { machine: &machine, graph: &opened.graph, tree: &tree, past: None },
            &history,
            &selection.asked,
        )?);
        return Ok(0);
    }
    let causes = Causes::new(reopen, Side { machine: &machine, graph: &opened.graph, tree: &tree, past: None });
    let asking = Compare { machine: &machine, opened: &opened, tree: &tree, history: &history, against, causes };
    for id in selection.asked {
        let view = asking.view(id)?;
        output.answer(&if output.json { why::json(&view) } else { why::screen(&view, output.out) });
    }
    Ok(0)
}

impl Compare<'_> {
    fn ground(&self) -> Ground<'_> {
        Ground { machine: self.machine, graph: self.graph(), tree: self.tree, past: None }
    }

    fn graph(&self) -> &ActionGraph {
        &self.opened.graph
    }

    fn view(&self, id: StepId) -> Result<WhyView, Diagnostics> {
        let action = self.graph().action(id);
        let insight = foresee::look_into(self.ground(), self.history, id).map_err(|error| {
            let fault = Diagnostic::new(Class::Step, "why::inputs", error.to_string());
            Diagnostics::from(match error.help {
                Some(help) => fault.help(help),
                None => fault,
            })
        })?;
        let record = against::record(&self.against, self.machine, self.history, &action.name)?;
        let (taken, open) = match &insight {
            Insight::Known(look) => (&look.taken, &[][..]),
            Insight::Waits { taken, open, .. } => (taken, open.as_slice()),
        };
        let differences = record.manifest.as_ref().map_or_else(Vec::new, |old| self.differences(id, old, taken, open));
        let answer = match insight {
            Insight::Waits { roots, .. } => Answer::Waits { on: roots.into_iter().map(|(root, look)| self.cause(root, look)).collect() },
            Insight::Known(look) => self.answer(id, look, &record),
        };
        Ok(WhyView { step: action.name.to_string(), answer, since: record.name, failed: record.failed, differences })
    }

    /// What differs, without what the steps that must run first have yet to make.
    fn differences(&self, id: StepId, old: &KeyManifest, taken: &Ingredients, open: &[StepId]) -> Vec<Told> {
        let graph = self.graph();
        let names: Vec<String> = open.iter().map(|id| graph.action(*id).name.to_string()).collect();
        let makers = |difference: &Difference| match difference.thing.sort {
            Sort::File => RelPath::from_escaped(&difference.thing.name).map(|path| graph.makers(&path)).unwrap_or_default(),
            _ => Vec::new(),
        };
        let unknown = |difference: &Difference| match difference.thing.sort {
            Sort::Image | Sort::Need => names.contains(&difference.thing.name) && matches!(difference.change, Change::Removed(_)),
            Sort::File => makers(difference).iter().any(|maker| open.contains(maker)),
            _ => false,
        };
        let mut found = explain::differences(old, &key::manifest(graph.action(id), taken));
        found.retain(|difference| !unknown(difference));
        let maker = |caused: &Caused| makers(&caused.difference).first().map(|maker| graph.action(*maker).name.to_string());
        self.causes.of(id, &old.basis(), found).iter().map(|caused| told(caused, maker(caused))).collect()
    }

    fn answer(&self, id: StepId, look: Look, record: &Record) -> Answer {
        match look.verdict {
            Verdict::Known { result, origin: Origin::InPlace, .. } => Answer::InPlace { made_by: result.run.to_string() },
            Verdict::Known { result, origin: Origin::Restored, .. } => Answer::Restore { made_by: result.run.to_string() },
            Verdict::Runs { .. } if record.name.is_none() && look.cacheable => {
                Answer::Runs { because: against::never(self.history, &self.graph().action(id).name) }
            }
            Verdict::Runs { why } => Answer::Runs { because: why },
        }
    }

    /// Why a step that must run first would run.
    fn cause(&self, root: StepId, look: Look) -> Cause {
        let action = self.graph().action(root);
        let differences = look::last_manifest(self.machine, self.history, action)
            .map_or_else(Vec::new, |old| self.differences(root, &old, &look.taken, &[]));
        let failed = matches!(self.history.get(&action.name).map(|last| last.ended), Some(Ended::Failed { .. }));
        let because = match look.verdict {
            Verdict::Runs { why } if !failed || differences.is_empty() => why,
            _ => "it failed last time".to_owned(),
        };
        Cause { step: action.name.to_string(), because, differences }
    }
}
