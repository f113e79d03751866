//! `kiln run` where a few files changed since everything was found in place, or brought there: only the steps that these files reach
//! are looked at; all others are told and recorded as they stand.
//! In: a former answer (`cli::glance`) and the files that are different. Out: a run that says, records and leaves what the ordinary way
//! would. Never: for a step that reads or makes what a pattern selects, or a plan that is not kept.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::base::diagnostic::Diagnostics;
use crate::base::digest::{Blake3, Digest};
use crate::base::id::StepId;
use crate::base::path::RelPath;
use crate::event::{Event, Listener};
use crate::exec::gather::Product;
use crate::graph::links::Before;
use crate::graph::select::Selection;
use crate::store::lately::Lately;
use crate::store::result::ActionResult;
use crate::sys::account::Sight;

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
    /// What was typed, or the plan's default.
    targets: Vec<String>,
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
        let Event::RunStarted { run, targets, .. } = told.started.clone() else { return None };
        let rows = start..start + rows;
        let pieces = answer.plan.pieces(answer.origin())?;
        let whole = pieces.links.reached(&answer.changed, Rows(&bytes[rows.clone()]).map(|row| row.id))?;
        let around = pieces.links.around(&whole);
        let reached: HashSet<StepId> = whole.iter().copied().collect();
        let lately = Lately::open(settings.project().join(RESULTS), &answer.store);
        let (mut before, mut products) = (Vec::new(), Vec::new());
        let mut made = HashSet::new();
        for row in Rows(&bytes[rows.clone()]) {
            if reached.contains(&row.id) {
                told.leave_out(&row.head()?);
            } else if let Some(is_read) = around.get(row.id.index()).copied().flatten() {
                let head = row.head()?;
                let result = if is_read { lately.result(head.key)? } else { ActionResult::empty(run.clone()) };
                let outputs: Vec<RelPath> = result.outputs.iter().map(|output| output.path.clone()).collect();
                made.extend(outputs.iter().cloned());
                before.push(Before { id: row.id, name: head.name, outputs });
                products.push((row.id, Product { result, digest: head.product, key: head.key }));
            }
        }
        let parts = pieces.links.targets(&whole);
        let (opened, places) = answer.plan.open(answer.origin(), pieces, &parts, before)?;
        let asked = told.asked.iter().filter_map(|id| places.get(StepId(*id))).collect();
        let steps = whole.iter().map(|id| places.get(*id)).collect::<Option<_>>()?;
        let products = products.into_iter().map(|(id, product)| Some((places.get(id)?, product))).collect::<Option<_>>()?;
        let selection = Selection { asked, left_out: Vec::new(), steps };
        let others = Others { bytes: Arc::clone(bytes), rows, without: reached };
        Some(Self { opened, selection, targets, whole, made, products, told, others })
    }

    /// Runs the steps, and keeps the answer for the next run.
    ///
    /// # Errors
    /// As `kiln run`.
    pub fn run(
        mut self,
        glance: Glance<'_>,
        answer: &Answer<'_>,
        settings: &Settings,
        output: &Output,
        how: &How,
    ) -> Result<u8, Diagnostics> {
        let selection = self.selection.clone();
        self.opened.ready(settings, output, &selection.steps)?;
        let watch = Arc::<Watch>::default();
        let standing = Standing { told: self.told.clone(), others: self.others.clone(), products: std::mem::take(&mut self.products) };
        let listeners = vec![Arc::clone(&watch) as Arc<dyn Listener>];
        let around = Around { listeners, standing: Some(standing), ..Around::default() };
        let carried = run::carry_out(settings, output, &self.opened, What { selection, targets: self.targets.clone(), around }, how)?;
        // A memory that cannot be written costs the next run some time.
        let _ = match Next::of(&self, &carried, &watch) {
            Some((next, seen)) => glance.amend(answer, &carried.machine, &seen, |bytes| next.write(&self.others, bytes)),
            None => glance.keep_former(answer),
        };
        // The process ends here: its memory goes back in one piece.
        std::mem::forget(self);
        Ok(carried.code)
    }
}

/// What the next answer says of the steps that took part in this run, and of the files that they read and made.
struct Next {
    told: Told,
    /// By place in the whole graph.
    ends: HashMap<StepId, (Event, Digest<Blake3>)>,
}

impl Next {
    /// With what stands there now; `None` when it cannot be told what the next run does.
    fn of(part: &Part, carried: &Carried, watch: &Watch) -> Option<(Self, Vec<Sight>)> {
        let mut events = watch.take().events.into_iter();
        let told = Told { started: events.next()?, ..part.told.clone() };
        let mut ends = rerun::in_place(&carried.end, events)?;
        let steps = &part.selection.steps;
        let seen = rerun::made(&part.opened, steps, carried, |path| part.made.contains(path))?;
        let ends = part.whole.iter().zip(steps).map(|(whole, place)| Some((*whole, ends.remove(place)?))).collect::<Option<_>>()?;
        Some((Self { told, ends }, seen))
    }

    /// Writes the answer behind other bytes.
    fn write(mut self, others: &Others, bytes: &mut Vec<u8>) -> Option<()> {
        for row in Rows(&others.bytes[others.rows.clone()]) {
            match self.ends.get(&row.id) {
                Some((end, product)) => self.told.take(bytes, row.id, *product, end)?,
                None => bytes.extend_from_slice(row.bytes),
            }
        }
        self.told.close(bytes)
    }
}
