//! `kiln run` where a few files changed since everything was found in place, or brought there: only the steps that these files reach
//! are looked at; all others are told and recorded as they stand.
//! In: a former answer (`cli::glance`) and the files that are different. Out: a run that says, records and leaves what the ordinary way
//! would. Never: for a step that reads or makes what a pattern selects, or a plan that is not kept.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::base::diagnostic::Diagnostics;
use crate::base::id::StepId;
use crate::base::path::RelPath;
use crate::event::{Event, Listener};
use crate::exec::afterwards;
use crate::exec::gather::{Ground, Product};
use crate::graph::links::Before;
use crate::graph::select::Selection;
use crate::store::lately::Lately;
use crate::store::result::ActionResult;
use crate::sys::account::Sight;
use crate::sys::tree::Tree;

use super::args::How;
use super::glance::{Answer, Glance};
use super::open::Opened;
use super::output::Output;
use super::rerun::{self, Watch};
use super::run::{self, Around, Carried, Standing, What};
use super::settings::{RESULTS, Settings};
use super::told::{Others, Rows, Told};

/// More changed files than this are looked at the ordinary way.
pub const MOST: usize = 1_000;

/// The steps that are run, and what is known of the others.
pub struct Part {
    opened: Opened,
    selection: Selection,
    /// The places in the whole graph of the selected steps, in their order.
    whole: Vec<StepId>,
    /// The files that other steps made and these read.
    made: HashSet<RelPath>,
    products: Vec<(StepId, Product)>,
    told: Told,
    others: Others,
}

impl Part {
    /// What the files that changed reach; `None` where only the ordinary way can tell.
    pub fn of(settings: &Settings, answer: &Answer<'_>) -> Option<Self> {
        let (bytes, start) = answer.among();
        let (mut told, rows) = Told::decode(&bytes[start..])?;
        let Event::RunStarted { run, .. } = &told.started else { return None };
        let (rows, run) = (start + rows..bytes.len(), run.clone());
        let pieces = answer.plan.pieces(answer.origin())?;
        let whole = pieces.links.reached(&answer.changed, Rows(&bytes[rows.clone()]).map(|row| row.id))?;
        let around = pieces.links.around(&whole);
        let reached: HashSet<StepId> = whole.iter().copied().collect();
        let lately = Lately::open(settings.project().join(RESULTS), &answer.store);
        let mut before = Vec::with_capacity(around.len());
        let mut products = Vec::with_capacity(around.len());
        let mut made = HashSet::new();
        for row in Rows(&bytes[rows.clone()]) {
            if reached.contains(&row.id) {
                told.leave_out(&row.head()?);
            } else if let Some(is_read) = around.get(&row.id) {
                let head = row.head()?;
                let result = if *is_read { lately.result(head.key)? } else { ActionResult::empty(run.clone()) };
                let outputs: Vec<RelPath> = result.outputs.iter().map(|output| output.path.clone()).collect();
                made.extend(outputs.iter().cloned());
                before.push(Before { id: row.id, name: head.name, outputs });
                products.push((row.id, Product { result, digest: head.product, key: head.key }));
            }
        }
        let targets = pieces.links.targets(&whole);
        let (opened, places) = answer.plan.open(answer.origin(), pieces, &targets, before)?;
        let asked = told.asked.iter().filter_map(|id| places.get(StepId(*id))).collect();
        let steps = whole.iter().map(|id| places.get(*id)).collect::<Option<_>>()?;
        let products = products.into_iter().map(|(id, product)| Some((places.get(id)?, product))).collect::<Option<_>>()?;
        let selection = Selection { asked, left_out: Vec::new(), steps };
        let others = Others { bytes: Arc::clone(bytes), rows, without: reached };
        Some(Self { opened, selection, whole, made, products, told, others })
    }

    /// Runs the steps, and keeps the answer for the next run.
    ///
    /// # Errors
    /// As `kiln run`.
    pub fn run(self, glance: Glance<'_>, answer: Answer<'_>, settings: &Settings, output: &Output, how: &How) -> Result<u8, Diagnostics> {
        let Self { opened, selection, whole, made, products, told, others } = self;
        opened.ready(settings, output, &selection.steps)?;
        let Event::RunStarted { targets, .. } = &told.started else { return Ok(0) };
        let watch = Arc::<Watch>::default();
        let standing = Standing { told: told.clone(), others: others.clone(), products };
        let listeners = vec![Arc::clone(&watch) as Arc<dyn Listener>];
        let around = Around { listeners, standing: Some(standing), ..Around::default() };
        let what = What { selection: selection.clone(), targets: targets.clone(), around };
        let carried = run::carry_out(settings, output, &opened, what, how)?;
        let next = Next { opened: &opened, steps: &selection.steps, whole: &whole, made: &made, carried: &carried, watch: &watch };
        // A memory that cannot be written costs the next run some time.
        let _ = match next.answer(told, &others) {
            Some((seen, next)) => glance.amend(answer, &carried.machine, &seen, &next),
            None => glance.keep_former(answer),
        };
        let code = carried.code;
        // The process ends here: its memory goes back in one piece.
        std::mem::forget((opened, others));
        Ok(code)
    }
}

/// What the next answer rests on.
struct Next<'a> {
    opened: &'a Opened,
    steps: &'a [StepId],
    whole: &'a [StepId],
    made: &'a HashSet<RelPath>,
    carried: &'a Carried,
    watch: &'a Watch,
}

impl Next<'_> {
    /// What stands there now, and what is told of a run that finds it so; `None` when it cannot be told what the next run does.
    fn answer(&self, mut told: Told, others: &Others) -> Option<(Vec<Sight>, Vec<u8>)> {
        let Carried { machine, end, .. } = self.carried;
        let mut events = self.watch.take().events.into_iter();
        told.started = events.next()?;
        let ends = rerun::in_place(end, events)?;
        let tree = Tree::open(&machine.root).ok()?;
        let ground = Ground { machine, graph: &self.opened.graph, tree: &tree, past: None };
        let key = |id: StepId| Some(end.left[id.index()]?.0);
        let seen = afterwards::sights(ground, self.steps, key, |path| self.made.contains(path))?;
        let places: HashMap<StepId, StepId> = self.whole.iter().copied().zip(self.steps.iter().copied()).collect();
        let mut rows = Vec::with_capacity(others.rows.len() + 4_096);
        for row in Rows(&others.bytes[others.rows.clone()]) {
            match places.get(&row.id) {
                Some(place) => {
                    let (event, product) = ends.get(place)?;
                    told.take(&mut rows, row.id, *product, event)?;
                }
                None => rows.extend_from_slice(row.bytes),
            }
        }
        Some((seen, told.encode(&rows)?))
    }
}
